"""What deletion leaves in the files is overwritten, and what is left is found."""

from __future__ import annotations

import sqlite3

import pytest

from relay.ports import StoreTrouble
from relay.store import Store
from relay.store.sqlite.transaction import Transaction
from tests.support.residue import traces

WHO = "jane.quixotic@person.test"


async def leave(store: Store, number: int = 40, octets: int = 5_000) -> None:
    """Rows that name somebody, written and deleted again: their pages are free now."""

    def write(tx: Transaction) -> None:
        text = WHO.encode() + bytes(octets)
        for _ in range(number):
            tx.raw.execute("INSERT INTO filler (octets) VALUES (?)", (text,))

    await store.writer.write(write)
    await store.writer.write(lambda tx: tx.raw.execute("DELETE FROM filler"))
    await store.writer.write(
        lambda tx: tx.after(lambda: tx.raw.execute("PRAGMA wal_checkpoint").fetchone())
    )


async def test_free_pages_and_the_log_are_overwritten(store: Store) -> None:
    await leave(store)
    assert traces(store.data_dir, WHO).keys() == {"store.db", "store.db-wal"}
    size = (store.data_dir / "store.db").stat().st_size
    done = await store.scrub.run([WHO], vacuum_below=0)
    assert (done.done, done.problem, done.found_in) == (True, "", ())
    assert traces(store.data_dir, WHO) == {}
    grown = (store.data_dir / "store.db").stat().st_size - size
    assert grown <= 2 * 4_096, "it takes up free pages, and hardly any besides"
    assert await store.writer.write(
        lambda tx: tx.raw.execute("SELECT count(*) FROM filler").fetchone()
    ) == (0,)


async def test_no_step_is_longer_than_its_share(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.erasure.scrub.STEP_PAGES", 8)
    await leave(store, number=60)
    (free,) = await store.writer.write(
        lambda tx: tx.raw.execute("PRAGMA freelist_count").fetchone()
    )
    commits = store.writer.commits
    done = await store.scrub.run([WHO])
    assert done.done
    assert free > 60
    assert store.writer.commits - commits > 2 * free // 8, "each step is undone in one of its own"
    assert traces(store.data_dir, WHO) == {}


async def test_other_deletions_are_as_quick_as_before(store: Store) -> None:
    await store.scrub.run([WHO])
    assert await store.writer.write(
        lambda tx: tx.raw.execute("PRAGMA secure_delete").fetchone()
    ) == (2,)


async def test_a_reader_in_the_way_is_said_and_waits_for_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.erasure.scrub.TRUNCATE_PAUSE", 0.0)
    await leave(store)
    reader = sqlite3.connect(store.data_dir / "store.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    done = await store.scrub.run([WHO])
    assert not done.done
    assert done.found_in
    reader.execute("ROLLBACK")
    reader.close()
    assert (await store.scrub.run([WHO])).done


async def test_trouble_of_the_store_is_in_the_result(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(work: object) -> None:
        raise StoreTrouble("the disk is gone")

    monkeypatch.setattr(store.writer, "write", broken)
    done = await store.scrub.run([WHO])
    assert (done.done, "the disk is gone" in done.problem) == (False, True)
