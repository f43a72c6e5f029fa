"""Rows of requests: reservation of a mail, what recovers by itself, and housekeeping in steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.model import SubjectKeys
from relay.ports import NewEvent
from relay.store import ImportRow, Store
from relay.store.erasure.traces import Person
from relay.store.people.signup_caps import DAY, Caps
from relay.store.people.signups import AT_ONCE, POSTING_SECONDS, Recorded, Request
from tests.support.clock import FakeClock
from tests.unit.store.samples import person

CAPS = Caps(1, 3, 5, 10, 60, 1_000, 7 * DAY)
JANE = person("jane@ok.test")


def request(clock: FakeClock, keys: SubjectKeys = JANE, **fields: object) -> Request:
    values = {
        "tenant_id": 1,
        "list_id": 7,
        "keys": keys,
        "address": "jane@ok.test",
        "language": "en",
        "notice_id": 1,
        "at": clock.now(),
        "network": "192.0.2.1",
        "form": "form",
        "pending": NewEvent(
            1,
            "consent.pending",
            clock.now(),
            keys,
            {"brand": None, "list": 7, "basis": "confirmed", "evidence": {"act": "tick"}},
        ),
        **fields,
    }
    return Request(**values)  # type: ignore[arg-type]


async def ask(
    store: Store, clock: FakeClock, message_id: str = "m1", caps: Caps = CAPS, **fields: object
) -> Recorded:
    recorded = await store.signups.ask(request(clock, **fields), caps, message_id)  # type: ignore[arg-type]
    assert recorded is not None
    return recorded


async def test_a_reserved_mail_counts_until_it_is_given_back(
    store: Store, clock: FakeClock
) -> None:
    first = await ask(store, clock)
    assert (first.mail, first.signup.state, first.signup.message_id) == (True, "posting", "m1")
    assert not (await ask(store, clock, "m2")).mail
    await store.signups.settle(first.signup.id, taken=False)
    again = await ask(store, clock, "m3")
    assert (again.mail, again.signup.id) == (True, first.signup.id)
    assert again.signup.nonce == first.signup.nonce


async def test_settling_comes_too_late_for_what_is_delivered(
    store: Store, clock: FakeClock
) -> None:
    first = await ask(store, clock)
    assert await store.signups.mailed("m1", "250 ok", at=clock.now())
    await store.signups.settle(first.signup.id, taken=False)
    found = await store.signups.of_message("m1")
    assert found is not None
    assert (found.state, found.mail_reply) == ("mailed", "250 ok")
    assert await store.signups.mailed("m1", "250 ok", at=clock.now()) is None


async def test_a_mail_nobody_knows_of_is_given_back_after_a_while(
    store: Store, clock: FakeClock
) -> None:
    await ask(store, clock)
    clock.advance(POSTING_SECONDS)
    assert not (await ask(store, clock, "m2")).mail
    clock.advance(1)
    assert (await ask(store, clock, "m3")).mail


async def test_housekeeping_recovers_too(store: Store, clock: FakeClock) -> None:
    first = await ask(store, clock)
    clock.advance(POSTING_SECONDS + 1)
    assert await store.signups.lapse(now=clock.now(), lifetime=7 * DAY, kept=DAY) == []
    living = await store.signups.peek(first.signup.nonce, JANE, now=clock.now(), lifetime=7 * DAY)
    assert living is None


async def test_no_more_persons_of_a_network(store: Store, clock: FakeClock) -> None:
    caps = replace(CAPS, persons_of_network=2)
    for name in ("a", "b", "a", "b"):
        await ask(store, clock, caps=caps, keys=person(f"{name}@ok.test"))
    refused = request(clock, person("c@ok.test"))
    assert await store.signups.ask(refused, caps, "m9") is None
    events = [event async for event in store.ledger.export(1)]
    assert len(events) == 2


async def test_fetches_are_counted_up_to_a_point(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.people.signups.MOST_FETCHES", 3)
    nonce = (await ask(store, clock)).signup.nonce
    first_at = clock.now()
    for number in range(5):
        await store.signups.fetch(
            nonce,
            JANE,
            now=clock.now(),
            lifetime=DAY,
            user_agent=f"agent{number}",
            network=f"192.0.2.{number}",
        )
        clock.advance(1)
    found = await store.signups.peek(nonce, JANE, now=clock.now(), lifetime=DAY)
    assert found is not None
    assert (found.fetches, found.fetched_at, found.last_fetched_at) == (3, first_at, first_at + 4)
    assert (found.fetch_agent, found.fetch_network) == ("agent0", "192.0.2.0")


async def test_nobody_elses_keys_open_a_request(store: Store, clock: FakeClock) -> None:
    nonce = (await ask(store, clock)).signup.nonce
    other = SubjectKeys(JANE.exact, b"x" * 16)
    assert await store.signups.peek(nonce, other, now=clock.now(), lifetime=DAY) is None


async def test_many_lapse_in_steps(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert AT_ONCE > 2
    monkeypatch.setattr("relay.store.people.signups.AT_ONCE", 2)
    for number in range(5):
        await ask(store, clock, f"m{number}", keys=person(f"p{number}@ok.test"))
    clock.advance(DAY)
    assert await store.signups.lapse(now=clock.now(), lifetime=DAY, kept=DAY) == [1] * 5
    clock.advance(DAY)
    assert await store.signups.lapse(now=clock.now(), lifetime=DAY, kept=DAY) == []
    left = await store.writer.write(
        lambda tx: tx.raw.execute(
            "SELECT (SELECT count(*) FROM signups), (SELECT count(*) FROM subjects)"
        ).fetchone()
    )
    assert left == (0, 0)


async def test_an_address_that_is_needed_elsewhere_stays(store: Store, clock: FakeClock) -> None:
    await ask(store, clock)
    await store.consents.withdraw(2, JANE, at=clock.now(), channel="page")
    clock.advance(2 * DAY)
    await store.signups.lapse(now=clock.now(), lifetime=DAY, kept=DAY)
    assert await store.consents.address_of(JANE, None) == "jane@ok.test"


async def test_nothing_of_an_erased_person_stays_behind_a_strangers_request(
    store: Store, clock: FakeClock
) -> None:
    """The opt-out stays for ever; whoever types the address must not bring it back for ever."""
    await store.consents.withdraw(1, JANE, at=clock.now(), channel="erasure")
    found = await store.erasure.find(Person(JANE), None)
    await store.erasure.remove(Person(JANE), found, None, clock.now())
    await ask(store, clock)
    clock.advance(2 * DAY)
    await store.signups.lapse(now=clock.now(), lifetime=DAY, kept=DAY)
    assert await store.consents.address_of(JANE, None) is None


async def test_no_erasure_makes_room_for_more_mail(store: Store, clock: FakeClock) -> None:
    """Else a tenant that erases and asks in turns could write to anybody without end."""
    everything = Caps(5, 3, 5, 10, 60, 2, 7 * DAY)
    assert (await ask(store, clock)).mail
    person_of = Person(JANE)
    for _ in range(2):
        found = await store.erasure.find(person_of, 1)
        await store.erasure.remove(person_of, found, 1, clock.now())
        clock.advance(60)
    assert not (await ask(store, clock, "m2")).mail, "one mail a day to a person of a tenant"
    other = person("other@ok.test")
    assert (await ask(store, clock, "m3", everything, keys=other)).mail
    third = person("third@ok.test")
    assert not (await ask(store, clock, "m4", everything, keys=third)).mail, "two of a tenant"
    clock.advance(DAY)
    assert (await ask(store, clock, "m5")).mail


async def test_the_weekly_file_of_old_opt_outs_ends_no_request(
    store: Store, clock: FakeClock
) -> None:
    async def imported(left: float) -> None:
        number = await store.imports.begin("optout", 1, at=clock.now())
        await store.imports.stage(number, [ImportRow(1, JANE, "", left)])
        await store.imports.commit(number)

    async def alive() -> bool:
        found = await store.signups.peek(nonce, JANE, now=clock.now(), lifetime=DAY)
        return found is not None

    left = clock.now()
    await imported(left)
    clock.advance(5)
    nonce = (await ask(store, clock)).signup.nonce
    await imported(left)
    assert await alive()
    await imported(left + 1)
    assert not await alive()
