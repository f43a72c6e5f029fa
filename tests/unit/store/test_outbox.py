"""What has to be told: written with the event, without an address, forgotten when it must be."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.model import Basis, Brand, SubjectKeys, Tenant
from relay.ports import DiskFull, NewEvent, OneClick
from relay.store import Store
from relay.store.outbox import outbox
from relay.store.outbox.outbox import Lane, Notice, host_of
from relay.store.outbox.webhooks import MOST, WebhookError
from relay.store.sqlite.transaction import Transaction
from tests.support.clock import FakeClock
from tests.unit.store.samples import copy, message, newsletter, open_store, person, tenant

ANN = person("ann@ok.test")
TAGGED = person("ann+x@ok.test", wide="ann@ok.test")
HOOK = "https://shop.test/hook"


async def shop(store: Store, hooks: int = 1) -> Tenant:
    made = await store.registry.add_tenant(tenant())
    for number in range(hooks):
        await store.webhooks.add(made.id, f"{HOOK}{number or ''}", at=1.0)
    return made


async def consents(store: Store, owner: Tenant, at: float = 10.0, **more: Any) -> int:
    return await store.consents.grant(
        owner.id, ANN, basis=Basis.CONFIRMED, at=at, own_act=True, address="Ann@ok.test", **more
    )


async def waiting(store: Store, now: float = 4e9) -> list[Notice]:
    """The next notice of every lane."""
    found = [await store.outbox.next(lane, now) for lane in await store.outbox.lanes()]
    return [notice for notice in found if notice is not None]


async def rows(store: Store) -> list[tuple[Any, ...]]:
    return await store.writer.write(
        lambda tx: tx.raw.execute(
            "SELECT kind, url, exact, json, state FROM outbox ORDER BY id"
        ).fetchall()
    )


async def remembered(
    store: Store,
    owner: Tenant,
    url: str,
    list_id: int | None = None,
    keys: SubjectKeys = ANN,
    number: str = "m",
    at: float = 1_800_000_000.0,
) -> None:
    mail = replace(message(number, at=at), tenant_id=owner.id, list_id=list_id)
    await store.mail.accept(mail, b"hello", [copy(number)], [], 0, OneClick(keys, url))


async def test_an_opt_out_is_told_to_every_webhook_of_the_tenant(store: Store) -> None:
    owner, other = await shop(store, 2), await store.registry.add_tenant(tenant("club"))
    await store.webhooks.add(other.id, HOOK, at=1.0)
    listed = await store.registry.add_list(newsletter(owner.id))
    await consents(store, owner, list_id=listed.id)
    await store.consents.withdraw(owner.id, ANN, at=20.5, channel="page", list_id=listed.id)
    found = await rows(store)
    assert [row[1] for row in found] == [HOOK, HOOK + "1", HOOK, HOOK + "1"]
    granted, left = json.loads(found[0][3]), json.loads(found[2][3])
    assert granted["id"] != left["id"]
    assert found[2][3] == found[3][3], "the same thing has the same id at both places"
    del granted["id"], left["id"]
    shared = {"tenant": "shop", "brand": None, "list": "news", "scope": "list"}
    assert granted == {
        **shared,
        "type": "consent.granted",
        "at": "1970-01-01T00:00:10.000Z",
        "channel": None,
        "basis": "confirmed",
    }
    assert left == {
        **shared,
        "type": "optout",
        "at": "1970-01-01T00:00:20.500Z",
        "channel": "page",
        "basis": None,
    }


async def test_the_set_of_events_that_are_told(store: Store) -> None:
    owner = await shop(store)
    brand = await store.registry.add_brand(Brand(0, owner.id, "kids", "Kids"))
    book = store.consents
    await book.grant(owner.id, ANN, basis=Basis.CONFIRMED, at=1.0, pending=True)
    await consents(store, owner, brand_id=brand.id)
    await book.withdraw(owner.id, ANN, at=20.0, channel="api", brand_id=brand.id)
    await book.complain(owner.id, ANN, at=30.0)
    await book.suppress_bounce(owner.id, ANN, at=40.0, evidence={})
    await book.lift(owner.id, ANN, at=50.0, reason="asked")
    await book.suppress_operator(ANN, at=60.0, reason="court")
    await store.ledger.record([NewEvent(owner.id, "copy.delivered", 70.0, ANN, {})])
    told = [json.loads(row[3]) for row in await rows(store)]
    assert [(one["type"], one["scope"], one["brand"]) for one in told] == [
        ("consent.granted", "brand", "kids"),
        ("optout", "brand", "kids"),
        ("complaint", "tenant", None),
        ("bounce", "tenant", None),
        ("suppression.lifted", "tenant", None),
    ]


async def test_the_address_is_looked_up_at_sending_and_gone_once_erased(
    store: Store, tmp_path: Path
) -> None:
    owner = await shop(store)
    await consents(store, owner)
    (notice,) = await waiting(store)
    assert (notice.address, notice.secret is None) == ("ann@ok.test", False)
    assert "ok.test" not in (await rows(store))[0][3].lower()
    assert notice.secret not in repr(notice)
    await store.writer.write(lambda tx: tx.raw.execute("UPDATE subjects SET address = NULL"))
    (notice,) = await waiting(store)
    assert notice.address is None


async def test_an_address_that_only_another_tenant_has_is_not_told(store: Store) -> None:
    await consents(store, await shop(store))
    club = await store.registry.add_tenant(tenant("club"))
    await store.webhooks.add(club.id, "https://club.test/hook", at=1.0)
    await store.consents.withdraw(club.id, ANN, at=2.0, channel="api")
    (told,) = [one for one in await waiting(store) if one.tenant_id == club.id]
    assert told.address is None


async def test_it_is_there_or_not_there_with_its_event(store: Store) -> None:
    owner = await shop(store)

    def work(tx: Transaction) -> None:
        event = NewEvent(owner.id, "optout", 5.0, ANN, {"channel": "page"})
        store.ledger.append(tx, [event])
        raise RuntimeError("and then something goes wrong")

    with pytest.raises(RuntimeError):
        await store.writer.write(work)
    assert await rows(store) == []
    assert await store.consents.acts(owner.id, [ANN]) == [()]


async def test_an_opt_out_with_notices_works_on_a_full_disk(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await shop(store, MOST)
    await remembered(store, owner, "https://shop.test/u?t=1")
    reserve = tmp_path / "data" / "reserve"
    monkeypatch.setattr("relay.store.sqlite.disk.free_bytes", lambda _: 0)

    def full(tx: Transaction) -> None:
        if reserve.exists():
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[attr-defined]
            raise error

    await asyncio.gather(
        store.writer.write(full, essential=True),
        store.consents.withdraw(owner.id, ANN, at=20.0, channel="page"),
    )
    assert not reserve.exists(), "it came out of the reserve"
    assert len(await waiting(store)) == MOST + 1
    with pytest.raises(DiskFull):
        await store.webhooks.remove(owner.id, HOOK)


async def test_who_is_told_learns_of_it(store: Store) -> None:
    owner = await shop(store)
    told: list[bool] = []
    store.outbox.told = lambda: told.append(True)
    await store.ledger.record([NewEvent(owner.id, "copy.dropped", 5.0, ANN, {})])
    assert told == []
    await store.consents.withdraw(owner.id, ANN, at=20.0, channel="page")
    assert told == [True]


async def test_senders_one_click_addresses_under_the_closed_scope(store: Store) -> None:
    owner = await store.registry.add_tenant(tenant())
    brand = await store.registry.add_brand(Brand(0, owner.id, "kids", "Kids"))
    news = await store.registry.add_list(newsletter(owner.id))
    toys = await store.registry.add_list(newsletter(owner.id, "toys", brand_id=brand.id))
    bare = "https://shop.test/u?l="
    for number, (listed, keys, url) in enumerate(
        [
            (news.id, ANN, bare + "news"),
            (toys.id, ANN, bare + "toys"),
            (toys.id, TAGGED, bare + "tagged"),
            (None, ANN, bare + "none"),
            (news.id, person("bob@ok.test"), bare + "bob"),
        ]
    ):
        await remembered(store, owner, url, listed, keys, f"m{number}")
    book = store.consents

    async def passed_on() -> set[str]:
        urls = {row[1].removeprefix(bare) for row in await rows(store)}
        await store.writer.write(lambda tx: tx.raw.execute("DELETE FROM outbox"))
        return urls

    await book.withdraw(owner.id, ANN, at=1.0, channel="api", brand_id=brand.id, list_id=toys.id)
    assert await passed_on() == set(), "the sender's own software knows"
    await book.withdraw(owner.id, ANN, at=2.0, channel="page", brand_id=brand.id)
    assert await passed_on() == {"toys", "tagged"}
    await book.withdraw(owner.id, ANN, at=3.0, channel="one-click", list_id=news.id)
    assert await passed_on() == {"news"}
    await book.complain(owner.id, ANN, at=4.0)
    assert await passed_on() == {"none"}, "and none of them a second time"


async def test_who_has_come_back_is_not_taken_off_late(store: Store) -> None:
    """A call that was tried again for days would unsubscribe somebody who has confirmed since."""
    owner = await store.registry.add_tenant(tenant())
    brand = await store.registry.add_brand(Brand(0, owner.id, "kids", "Kids"))
    news = await store.registry.add_list(newsletter(owner.id))
    toys = await store.registry.add_list(newsletter(owner.id, "toys", brand_id=brand.id))
    bare = "https://shop.test/u?l="
    for number, (listed, url) in enumerate(
        [(news.id, "news"), (toys.id, "toys"), (None, "none"), (news.id, "bob")]
    ):
        keys = ANN if url != "bob" else person("bob@ok.test")
        await remembered(store, owner, bare + url, listed, keys, f"m{number}")
    await store.consents.withdraw(owner.id, ANN, at=20.0, channel="page")
    await store.consents.withdraw(owner.id, person("bob@ok.test"), at=20.0, channel="page")

    async def left() -> set[str]:
        return {row[1].removeprefix(bare) for row in await rows(store)}

    # An import, or the tenant's word, brings nobody back.
    await store.consents.grant(owner.id, ANN, basis=Basis.ATTESTED, at=25.0, list_id=news.id)
    assert await left() == {"news", "toys", "none", "bob"}
    await consents(store, owner, at=30.0, brand_id=brand.id)
    assert await left() == {"news", "none", "bob"}
    for notice in await waiting(store):
        await store.outbox.give_up(notice, "status 500")
    await consents(store, owner, at=40.0, list_id=news.id)
    assert await left() == {"none", "bob"}, "nor by a retry of what was given up"
    await consents(store, owner, at=50.0)
    assert await left() == {"bob"}


async def test_what_brings_nobody_back_leaves_the_call_to_be_made(
    store: Store, clock: FakeClock
) -> None:
    """A consent signed before the opt-out, and the button pressed by a machine."""
    owner = await store.registry.add_tenant(tenant())
    news = await store.registry.add_list(newsletter(owner.id))
    await remembered(store, owner, "https://shop.test/u?l=news", news.id)
    at, book = clock.now(), store.consents
    await book.withdraw(owner.id, ANN, at=at, channel="page", list_id=news.id)
    await book.grant(owner.id, ANN, basis=Basis.APPROVED, at=at - 60, own_act=True)
    await consents(store, owner, at=at + 60, automated=["no-page-fetch"])
    assert [row[0] for row in await rows(store)] == ["one-click"]
    await book.grant(owner.id, ANN, basis=Basis.APPROVED, at=at + 60, own_act=True)
    assert await rows(store) == []


async def test_the_newest_address_is_kept_and_for_sixty_days(
    store: Store, clock: FakeClock
) -> None:
    owner = await store.registry.add_tenant(tenant())
    now = clock.now()
    await remembered(store, owner, "https://shop.test/1", 3, number="a", at=now)
    await remembered(store, owner, "https://shop.test/2", 3, number="b", at=now + 86_400)
    assert await store.one_click_urls.forget_old(now + 61 * 86_400 - 1) == 0
    await store.consents.withdraw(owner.id, ANN, at=1.0, channel="page")
    assert [row[1] for row in await rows(store)] == ["https://shop.test/2"]
    await remembered(store, owner, "https://shop.test/3", 3, number="c", at=now)
    assert await store.one_click_urls.forget_old(now + 60 * 86_400 + 1) == 1


async def test_order_of_a_person_is_kept_when_the_first_notice_must_be_retried(
    store: Store, clock: FakeClock
) -> None:
    owner = await shop(store)
    now = clock.now()
    await consents(store, owner)
    (lane,) = await store.outbox.lanes()
    granted = await store.outbox.next(lane, now)
    assert granted is not None
    await store.consents.withdraw(owner.id, ANN, at=20.0, channel="page")
    await store.outbox.postpone(granted, now + 30, "status 500")
    await store.consents.complain(owner.id, ANN, at=30.0)
    await store.consents.withdraw(owner.id, person("bob@ok.test"), at=20.0, channel="page")
    other = await store.outbox.next(lane, now)
    assert other is not None
    assert other.attempts == 0
    await store.outbox.sent(other)
    assert await store.outbox.next(lane, now + 29) is None
    order = []
    while (notice := await store.outbox.next(lane, now + 30)) is not None:
        order.append((json.loads(notice.payload)["type"], notice.attempts))
        await store.outbox.sent(notice)
    assert order == [("consent.granted", 1), ("optout", 0), ("complaint", 0)]


async def test_dead_letters_are_kept_shown_retried_and_forgotten(
    store: Store, clock: FakeClock
) -> None:
    owner = await shop(store)
    await remembered(store, owner, "https://user-token.test:8443/u/SECRET")
    await store.consents.withdraw(owner.id, ANN, at=20.0, channel="page")
    for notice in await waiting(store):
        await store.outbox.give_up(notice, "status 500")
    assert await store.outbox.counts() == {(owner.id, "dead"): 2}
    letters = sorted(await store.outbox.dead(owner.id), key=lambda letter: letter.kind)
    assert [(one.kind, one.host, one.type, one.last_answer) for one in letters] == [
        ("one-click", "user-token.test:8443", "", "status 500"),
        ("webhook", "shop.test", "optout", "status 500"),
    ]
    assert "SECRET" not in repr(letters)
    assert await store.outbox.retry(owner.id) == 2
    assert [notice.attempts for notice in await waiting(store, clock.now())] == [0, 0]
    old = await store.outbox.give_up_old(clock.now() + 1)
    assert sorted(old) == [(owner.id, "one-click"), (owner.id, "webhook")]
    assert await store.outbox.purge_dead(clock.now() + 1) == 2
    assert await store.outbox.counts() == {}


async def test_many_notices_are_retried_and_removed_a_few_at_a_time(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, other = await shop(store, 2), await store.registry.add_tenant(tenant("club"))
    await store.webhooks.add(other.id, HOOK, at=1.0)
    people = [person(f"p{number}@ok.test") for number in range(7)]
    for who in people:
        await store.consents.withdraw(owner.id, who, at=20.0, channel="page")
        await store.consents.withdraw(other.id, who, at=20.0, channel="page")
    for lane in await store.outbox.lanes():
        notice = await store.outbox.next(lane, clock.now())
        assert notice is not None
        await store.outbox.postpone(notice, 4e9, "status 500")
    monkeypatch.setattr(outbox, "_ONCE", 4)
    before, told = store.writer.commits, []
    store.outbox.retried = told.append
    assert await store.outbox.retry(owner.id) == 14
    # 21 rows are six steps; the sender is told once, of all.
    assert (store.writer.commits - before, told) == (7, [owner.id])
    lane, _, clubs = await store.outbox.lanes()
    assert (lane.next_at, clubs.next_at) == (clock.now(), clock.now())
    order = []
    while (notice := await store.outbox.next(lane, clock.now())) is not None:
        order.append(notice.id)
        await store.outbox.sent(notice)
    assert order == sorted(order)
    assert len(order) == 7
    await store.webhooks.remove(owner.id, HOOK + "1")
    assert await store.outbox.counts() == {(other.id, "waiting"): 7}


async def test_a_removed_webhook_is_told_nothing_more(store: Store) -> None:
    owner = await shop(store, 2)
    await store.consents.withdraw(owner.id, ANN, at=20.0, channel="page")
    await store.webhooks.remove(owner.id, HOOK)
    assert [row[1] for row in await rows(store)] == [HOOK + "1"]
    with pytest.raises(WebhookError, match="no webhook"):
        await store.webhooks.remove(owner.id, HOOK)


async def test_webhooks_are_few_different_and_secret(store: Store) -> None:
    owner = await shop(store, MOST)
    with pytest.raises(WebhookError, match="the most"):
        await store.webhooks.add(owner.id, "https://shop.test/more", at=1.0)
    await store.webhooks.remove(owner.id, HOOK)
    with pytest.raises(WebhookError, match="already"):
        await store.webhooks.add(owner.id, HOOK + "1", at=1.0)
    hooks = await store.webhooks.all(owner.id)
    assert len({hook.secret for hook in hooks}) == MOST - 1
    assert all(hook.secret.startswith("whsec_") for hook in hooks)
    assert "whsec_" not in repr(hooks)
    assert await store.webhooks.all(owner.id + 1) == ()


async def test_it_survives_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path / "data", clock)
    owner = await shop(store)
    await store.consents.withdraw(owner.id, ANN, at=20.0, channel="page")
    before = await waiting(store)
    await store.close()
    store = await open_store(tmp_path / "data", clock)
    assert await waiting(store) == before
    assert [lane.name for lane in await store.outbox.lanes()] == [before[0].lane]
    await store.close()


async def test_rebuilding_the_projections_tells_nothing_twice(store: Store) -> None:
    owner = await shop(store)
    await store.consents.withdraw(owner.id, ANN, at=20.0, channel="page")
    await store.consents.rebuild()
    assert len(await rows(store)) == 1


def test_only_the_host_is_shown() -> None:
    assert host_of("https://a.test:8443/u/token?x=1") == "a.test:8443"
    assert host_of("https://user:pass@a.test/") == "a.test"


async def test_an_empty_lane(store: Store) -> None:
    assert await store.outbox.next(Lane(1, "webhook:1", 0.0), 4e9) is None
