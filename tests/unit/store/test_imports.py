"""Imports count whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.model import Basis, StandingState
from relay.store import ImportClosed, ImportRow, Store
from relay.store.erasure.traces import Person
from relay.store.sqlite.transaction import Transaction
from tests.support.clock import FakeClock
from tests.unit.store.samples import open_store, person


def rows(first: int, last: int) -> list[ImportRow]:
    return [
        ImportRow(n, person(f"p{n}@ok.test"), f"p{n}@ok.test", 5.0, Basis.ATTESTED, {"n": n})
        for n in range(first, last)
    ]


def leftovers(tx: Transaction) -> dict[str, int]:
    tables = ("imports", "import_rows", "consents", "suppressions", "subjects")
    return {t: tx.raw.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}


async def test_staged_rows_count_from_the_commit_on(store: Store) -> None:
    keys = [row.keys for row in rows(2, 12)]
    number = await store.imports.begin("consent", 1, at=9.0, list_id=3, brand_id=2, source_id=4)
    await store.imports.stage(number, rows(2, 7))
    await store.imports.stage(number, rows(7, 12))
    assert await store.consents.acts(1, keys) == [()] * 10
    generation = store.consents.generation
    result = await store.imports.commit(number)
    assert (result.rows, result.opted_out) == (10, 0)
    for acts in await store.consents.acts(1, keys):
        (act,) = acts
        assert (act.state, act.basis, act.at) == (StandingState.GRANTED, Basis.ATTESTED, 5.0)
        assert (act.brand_id, act.list_id, act.own_act) == (2, 3, False)
        assert act.event_id == result.event_id
    assert store.consents.generation > generation
    (event,) = [row async for row in store.ledger.export(1)]
    assert event["type"] == "consent.imported"
    assert event["data"]["content"] == result.content  # type: ignore[index,call-overload]
    assert (await store.ledger.verify()).ok


async def test_rows_of_people_who_left_are_counted(store: Store) -> None:
    await store.consents.withdraw(1, person("p3@ok.test"), at=1.0, channel="link", list_id=3)
    await store.consents.withdraw(1, person("p4@ok.test"), at=1.0, channel="link", list_id=9)
    await store.consents.complain(1, person("p5@ok.test"), at=1.0)
    await store.consents.withdraw(2, person("p6@ok.test"), at=1.0, channel="link")
    number = await store.imports.begin("consent", 1, at=9.0, list_id=3)
    await store.imports.stage(number, rows(2, 8))
    assert (await store.imports.commit(number)).opted_out == 3


async def test_abort_leaves_nothing_of_it(store: Store) -> None:
    await store.consents.grant(
        1, person("p3@ok.test"), basis=Basis.CONFIRMED, at=1.0, address="p3@ok.test"
    )
    before = await store.writer.write(leftovers)
    number = await store.imports.begin("consent", 1, at=9.0)
    await store.imports.stage(number, rows(2, 8))
    await store.imports.abort(number)
    assert await store.writer.write(leftovers) == before
    with pytest.raises(ImportClosed):
        await store.imports.commit(number)
    with pytest.raises(ImportClosed):
        await store.imports.stage(number, rows(8, 9))


async def test_a_committed_import_is_closed(store: Store) -> None:
    number = await store.imports.begin("consent", 1, at=9.0)
    await store.imports.stage(number, rows(2, 8))
    await store.imports.commit(number)
    with pytest.raises(ImportClosed):
        await store.imports.commit(number)
    await store.imports.abort(number)
    assert await store.consents.acts(1, [person("p3@ok.test")]) != [()]


async def test_what_a_crash_left_staged_is_given_up_at_start_and_cleared_in_steps(
    tmp_path: Path, clock: FakeClock
) -> None:
    store = await open_store(tmp_path, clock)
    before = await store.writer.write(leftovers)
    number = await store.imports.begin("optout", 1, at=9.0)
    await store.imports.stage(number, rows(2, 8))
    other = await store.imports.begin("consent", 1, at=9.0)
    await store.imports.stage(other, rows(2, 8))
    await store.close()
    store = await open_store(tmp_path, clock)
    assert (await store.writer.write(leftovers))["import_rows"] == 12, "the start waits for none"
    with pytest.raises(ImportClosed):
        await store.imports.commit(number)
    assert await store.consents.acts(1, [row.keys for row in rows(2, 8)]) == [()] * 6
    assert (await store.ledger.verify()).ok
    assert await store.imports.clear_stale(0.0) == 2
    assert await store.writer.write(leftovers) == before
    await store.close()


async def test_imported_opt_outs_block(store: Store) -> None:
    number = await store.imports.begin("optout", 1, at=9.0)
    await store.imports.stage(number, rows(2, 4))
    who = person("p3@ok.test")
    assert await store.consents.acts(1, [who]) == [()]
    result = await store.imports.commit(number)
    ((act,),) = await store.consents.acts(1, [who])
    assert (act.state, act.at, act.event_id) == (StandingState.WITHDRAWN, 5.0, result.event_id)
    assert (act.tenant_id, act.detail) == (1, "import")
    assert (await store.writer.write(leftovers))["subjects"] == 0


async def test_an_empty_import_is_an_import(store: Store) -> None:
    number = await store.imports.begin("consent", 1, at=9.0)
    await store.imports.stage(number, [])
    assert (await store.imports.commit(number)).rows == 0
    assert (await store.ledger.verify()).ok


async def test_a_stale_import_is_taken_back_a_fresh_one_is_not(store: Store) -> None:
    before = await store.writer.write(leftovers)
    old = await store.imports.begin("consent", 1, at=9.0)
    for first in range(2, 1_402, 200):
        await store.imports.stage(old, rows(first, first + 200))
    done = await store.imports.begin("optout", 1, at=9.0)
    await store.imports.stage(done, rows(2, 3))
    await store.imports.commit(done)
    fresh = await store.imports.begin("consent", 1, at=50.0)
    assert await store.imports.clear_stale(50.0) == 1
    assert await store.imports.clear_stale(50.0) == 0
    with pytest.raises(ImportClosed):
        await store.imports.stage(old, rows(1_402, 1_403))
    await store.imports.stage(fresh, rows(2, 3))
    await store.imports.abort(fresh)
    after = await store.writer.write(leftovers)
    assert after == {**before, "imports": 1, "import_rows": 1, "suppressions": 1}
    assert (await store.ledger.verify()).ok


async def test_what_is_half_taken_back_never_counts(store: Store) -> None:
    number = await store.imports.begin("consent", 1, at=9.0)
    await store.imports.stage(number, rows(2, 8))
    await store.writer.write(
        lambda tx: tx.raw.execute("UPDATE imports SET kind = 'given up' WHERE id = ?", (number,))
    )
    with pytest.raises(ImportClosed):
        await store.imports.commit(number)
    assert (await store.ledger.verify()).ok
    assert await store.imports.clear_stale(10.0) == 1
    assert (await store.writer.write(leftovers))["import_rows"] == 0


async def test_nothing_of_an_erased_person_is_kept_but_the_hash(store: Store) -> None:
    erased, other = rows(2, 4)
    gone = Person(erased.keys, erased.address, frozenset({erased.address}))
    await store.erasure.remove(gone, await store.erasure.find(gone, 1), 1, 4.0)
    number = await store.imports.begin("consent", 1, at=9.0, list_id=3)
    await store.imports.stage(number, [erased, other])
    result = await store.imports.commit(number)
    assert (result.rows, result.opted_out) == (2, 1)
    assert await store.consents.acts(1, [erased.keys]) == [()]
    assert await store.consents.address_of(erased.keys, None) is None
    kept = await store.writer.write(
        lambda tx: tx.raw.execute(
            "SELECT exact, wide, basis, salt, json FROM import_rows WHERE line = 2"
        ).fetchone()
    )
    wide = erased.keys.wide.hex()
    assert kept == (wide, wide, "none", None, None)
    verified = await store.ledger.verify()
    assert verified.ok, verified.first_broken
    elsewhere = await store.imports.begin("consent", 2, at=9.0)
    await store.imports.stage(elsewhere, [erased])
    assert (await store.imports.commit(elsewhere)).opted_out == 0


async def test_what_is_imported_again_after_a_crash_is_in_use_since_then(
    tmp_path: Path, clock: FakeClock
) -> None:
    store = await open_store(tmp_path, clock)
    lost = await store.imports.begin("consent", 1, at=9.0)
    await store.imports.stage(lost, rows(2, 4))
    await store.close()
    store = await open_store(tmp_path, clock)
    # The rows of the lost one are still there: nobody came on record by them.
    number = await store.imports.begin("consent", 1, at=50.0)
    await store.imports.stage(number, rows(2, 4))
    await store.imports.commit(number)
    ((act,), _) = await store.consents.acts(1, [row.keys for row in rows(2, 4)])
    assert act.used_at == 50.0
    await store.close()
