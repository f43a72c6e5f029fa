from __future__ import annotations

import pytest

from relay.model import Basis
from relay.ports import NewEvent
from relay.store import Store
from relay.store.people.changes import SEEN, StrangeMark
from relay.store.people.imports import ImportRow
from tests.support.clock import FakeClock
from tests.unit.store.samples import person


async def grant(store: Store, clock: FakeClock, who: str, tenant_id: int = 1) -> int:
    return await store.consents.grant(
        tenant_id, person(who), basis=Basis.APPROVED, at=clock.now(), list_id=7, address=who
    )


async def test_only_changes_of_consent_are_in_it(store: Store, clock: FakeClock) -> None:
    await grant(store, clock, "a@ok.test")
    keys = person("a@ok.test")
    at = clock.now()
    for kind in ("confirmation.mailed", "copy.delivered", "copy.dropped", "notice.version"):
        await store.ledger.record([NewEvent(1, kind, at, keys, {})])
    await store.consents.withdraw(1, keys, at=at, channel="page", list_id=7)
    page = await store.changes.after(1, 0, b"", 100)
    assert [(change.seq, change.type) for change in page.changes] == [
        (1, "consent.granted"),
        (6, "optout"),
    ]
    assert (page.seq, page.more) == (6, False)
    seen = await store.changes.of_person(1, keys, after=(0, 0), limit=100)
    assert [change.seq for change in seen] == [1, 6]


async def test_how_another_tenant_wrote_the_address_shows_nowhere(
    store: Store, clock: FakeClock
) -> None:
    keys = person("anna@ok.test")
    for tenant_id, wire in ((1, "Anna@OK.test"), (2, "ANNA@ok.test")):
        await store.consents.grant(
            tenant_id, keys, basis=Basis.APPROVED, at=clock.now(), address=wire
        )
    for tenant_id in (1, 2):
        (change,) = (await store.changes.after(tenant_id, 0, b"", 10)).changes
        assert change.address == "anna@ok.test"


async def test_a_long_stretch_of_mail_is_passed_in_steps(store: Store, clock: FakeClock) -> None:
    at = clock.now()
    await store.ledger.record([NewEvent(1, "copy.delivered", at)] * (SEEN + 1))
    await grant(store, clock, "a@ok.test")
    first = await store.changes.after(1, 0, b"", 10)
    assert (first.changes, first.seq, first.more) == ((), SEEN, True)
    second = await store.changes.after(1, first.seq, first.mark, 10)
    assert [change.address for change in second.changes] == ["a@ok.test"]
    assert not second.more


async def test_a_mark_must_be_of_this_chain(store: Store, clock: FakeClock) -> None:
    await grant(store, clock, "a@ok.test")
    await grant(store, clock, "a@ok.test", tenant_id=2)
    page = await store.changes.after(1, 0, b"", 10)
    assert (await store.changes.after(1, page.seq, page.mark, 10)).changes == ()
    for tenant, seq, mark in ((2, 1, page.mark), (1, 2, page.mark), (1, 0, page.mark), (1, 1, b"")):
        with pytest.raises(StrangeMark):
            await store.changes.after(tenant, seq, mark, 10)


async def test_rows_of_imports_are_in_a_persons_timeline(store: Store, clock: FakeClock) -> None:
    number = await store.imports.begin("consent", 1, at=clock.now(), list_id=7)
    rows = [
        ImportRow(line, person("a@ok.test"), "a@ok.test", clock.now(), Basis.ATTESTED, {"x": "y"})
        for line in (2, 3)
    ]
    await store.imports.stage(number, rows)
    assert await store.changes.of_person(1, person("a@ok.test"), after=(0, 0), limit=9) == ()
    await store.imports.commit(number)
    found = await store.changes.of_person(1, person("a@ok.test"), after=(0, 0), limit=9)
    assert [(change.seq, change.line, change.type) for change in found] == [
        (1, 2, "consent.imported"),
        (1, 3, "consent.imported"),
    ]
    rest = await store.changes.of_person(1, person("a@ok.test"), after=(1, 2), limit=9)
    assert rest == found[1:]
    assert [change.data["list"] for change in found if change.data is not None] == [7, 7]
    assert await store.changes.of_person(2, person("a@ok.test"), after=(0, 0), limit=9) == ()


async def test_events_are_numbered_by_their_own_chain(store: Store, clock: FakeClock) -> None:
    await grant(store, clock, "a@ok.test", tenant_id=2)
    event = await grant(store, clock, "a@ok.test")
    assert await store.changes.sequence(1, event) == 1
    with pytest.raises(KeyError):
        await store.changes.sequence(2, event)
