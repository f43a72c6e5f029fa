"""One writer: grouped, synced, isolated, and honest about trouble."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from relay.model import CopyState
from relay.ports import CopyChange, DiskFull, StoreTrouble
from relay.store import Store
from relay.store.sqlite.journal import Journal
from relay.store.sqlite.transaction import Transaction
from tests.support.clock import FakeClock
from tests.support.eventually import eventually_async
from tests.unit.store.samples import copy, message, open_store, person, tenant


def count(tx: Transaction, table: str = "sources") -> int:
    return int(tx.raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def add(slug: str):  # type: ignore[no-untyped-def]
    return lambda tx: tx.raw.execute("INSERT INTO sources (slug, approved) VALUES (?, 0)", (slug,))


def raise_full(tx: Transaction, reserve: Path) -> None:
    """What SQLite says while the reserve still takes up the room."""
    if reserve.exists():
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[attr-defined]
        raise error


async def test_waiting_units_share_one_transaction(store: Store) -> None:
    before = store.writer.commits
    await asyncio.gather(*(store.writer.write(add(f"s{n}")) for n in range(200)))
    assert store.writer.commits - before < 20
    assert await store.writer.write(count) == 200


async def test_a_failing_unit_spoils_no_other(store: Store) -> None:
    def bad(tx: Transaction) -> None:
        add("lost")(tx)
        raise ValueError("no")

    results = await asyncio.gather(
        store.writer.write(add("a")),
        store.writer.write(bad),
        store.writer.write(add("a")),
        store.writer.write(add("b")),
        return_exceptions=True,
    )
    assert isinstance(results[1], ValueError)
    assert isinstance(results[2], StoreTrouble)
    assert isinstance(results[2].__cause__ or results[2], StoreTrouble | IntegrityError)
    assert await store.writer.write(count) == 2


async def test_a_bad_message_in_a_batch_is_refused_alone(store: Store) -> None:
    await store.mail.accept(message("twice"), b"hello", [copy("twice")], [], 0)
    results = await asyncio.gather(
        *(
            store.mail.accept(message(number), b"hello", [copy(number)], [], 0)
            for number in ("m1", "twice", "m2")
        ),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), StoreTrouble, type(None)]
    assert store.mail.usage(1) == (3, 15)


async def test_acknowledged_only_after_commit(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "data" / "store.db")
    for number in range(5):
        await store.writer.write(add(f"s{number}"))
        assert other.execute("SELECT count(*) FROM sources").fetchone() == (number + 1,)
    other.close()


async def test_the_wal_is_synced_at_each_commit(store: Store) -> None:
    def pragmas(tx: Transaction) -> tuple[object, ...]:
        names = ("synchronous", "journal_mode", "foreign_keys")
        return tuple(tx.raw.execute(f"PRAGMA {name}").fetchone()[0] for name in names)

    assert await store.writer.write(pragmas) == (2, "wal", 1)


async def test_readers_cannot_write_nor_checkpoint(store: Store) -> None:
    reader = store.consents._reader
    with pytest.raises(StoreTrouble):
        await reader.read(lambda session: session.raw.execute("DELETE FROM sources"))
    (pages,) = await reader.read(
        lambda session: session.raw.execute("PRAGMA wal_autocheckpoint").fetchone()
    )
    assert pages == 0


async def test_a_locked_store_is_waited_for(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "data" / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.ensure_future(store.writer.write(add("late")))
    for _ in range(10):
        await store.consents._reader.read(lambda session: None)
        assert await store.consents.acts(1, [person("a@b.test")]) == [()]
    assert not writing.done()
    other.execute("ROLLBACK")
    other.close()
    await writing
    assert store.healthy


async def test_a_store_locked_for_longer_than_the_wait_is_trouble(
    store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    other = sqlite3.connect(tmp_path / "data" / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.ensure_future(store.writer.write(add("never")))
    await store.consents._reader.read(lambda session: None)
    clock.advance(6)
    with pytest.raises(StoreTrouble, match="locked"):
        await writing
    other.execute("ROLLBACK")
    other.close()
    await store.writer.write(add("again"))


async def test_garbage_is_refused_at_open_and_left_alone(tmp_path: Path, clock: FakeClock) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    garbage = b"this is not a database" * 400
    (data_dir / "store.db").write_bytes(garbage)
    with pytest.raises(StoreTrouble, match="not a store"):
        await open_store(data_dir, clock)
    assert (data_dir / "store.db").read_bytes() == garbage
    (data_dir / "store.db").unlink()
    await (await open_store(data_dir, clock)).close()


@pytest.mark.parametrize("in_place", [True, False])
async def test_a_store_replaced_while_open_takes_nothing_more(
    store: Store, tmp_path: Path, in_place: bool
) -> None:
    path = tmp_path / "data" / "store.db"
    if in_place:
        with path.open("r+b") as file:
            file.write(os.urandom(8_192))
    else:
        (tmp_path / "other").write_bytes(b"garbage")
        (tmp_path / "other").rename(path)
    with pytest.raises(StoreTrouble, match="replaced"):
        await store.mail.accept(message("m"), b"hello", [copy("m")], [], 0)
    assert not store.healthy
    with pytest.raises(StoreTrouble):
        await store.consents.withdraw(1, person("a@b.test"), at=1.0, channel="link")


async def test_a_store_overwritten_while_nobody_writes_is_noticed(
    store: Store, tmp_path: Path
) -> None:
    with (tmp_path / "data" / "store.db").open("r+b") as file:
        file.write(os.urandom(8_192))
    await eventually_async(lambda: not store.healthy, "the store shows that it is ruined")


async def test_a_newer_store_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    await (await open_store(tmp_path, clock)).close()
    raw = sqlite3.connect(tmp_path / "store.db")
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()
    raw.close()
    with pytest.raises(StoreTrouble, match="another release"):
        await open_store(tmp_path, clock)


async def test_a_full_disk_refuses_mail_and_keeps_opt_outs(
    store: Store, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.registry.add_tenant(tenant())
    pages = await store.writer.write(
        lambda tx: tx.raw.execute("PRAGMA page_count").fetchone()[0], essential=True
    )
    # The same error as ENOSPC on the WAL, without filling a disk.
    await store.writer.write(lambda tx: tx.raw.execute(f"PRAGMA max_page_count = {pages}"))
    reserve = tmp_path / "data" / "reserve"
    assert reserve.stat().st_size == 65_536
    monkeypatch.setattr("relay.store.sqlite.disk.free_bytes", lambda _: 0)
    body = b"x" * 100_000
    with pytest.raises(DiskFull):
        await store.mail.accept(message("m", size=len(body)), body, [copy("m")], [], 0)
    assert reserve.exists(), "mail must not open the reserve"
    assert store.mail.usage(1) == (0, 0)
    opt_outs = [
        store.consents.withdraw(1, person(f"p{number}@b.test"), at=1.0, channel="link")
        for number in range(3)
    ]
    await asyncio.gather(
        store.writer.write(lambda tx: raise_full(tx, reserve), essential=True), *opt_outs
    )
    assert not reserve.exists()
    with pytest.raises(DiskFull):
        await store.mail.accept(message("n"), b"tiny", [copy("n")], [], 0)
    monkeypatch.undo()
    await store.writer.write(lambda tx: tx.raw.execute("PRAGMA max_page_count = 1000000"))
    await store.mail.accept(message("o"), b"tiny", [copy("o")], [], 0)
    assert reserve.exists()
    assert (await store.ledger.verify()).ok


async def test_an_opt_out_that_shares_its_batch_with_too_much_mail_gets_through(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.registry.add_tenant(tenant())
    pages = await store.writer.write(lambda tx: tx.raw.execute("PRAGMA page_count").fetchone()[0])
    await store.writer.write(lambda tx: tx.raw.execute(f"PRAGMA max_page_count = {pages}"))
    monkeypatch.setattr("relay.store.sqlite.disk.free_bytes", lambda _: 0)
    body = b"x" * 100_000
    mail, opt_out = await asyncio.gather(
        store.mail.accept(message("m", size=len(body)), body, [copy("m")], [], 0),
        store.consents.withdraw(1, person("a@b.test"), at=1.0, channel="link"),
        return_exceptions=True,
    )
    assert isinstance(mail, DiskFull)
    assert isinstance(opt_out, int)
    assert await store.consents.acts(1, [person("a@b.test")]) != [()]
    assert (await store.ledger.verify()).events == 1


async def test_a_failed_sync_is_trouble_and_mends_by_reopening(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.registry.add_tenant(tenant())
    real = os.fsync

    def failing(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", failing)
    with pytest.raises(StoreTrouble):
        await store.consents.withdraw(1, person("a@b.test"), at=1.0, channel="link")
    assert not store.healthy
    monkeypatch.setattr("os.fsync", real)
    with pytest.raises(StoreTrouble):
        await store.consents.withdraw(1, person("a@b.test"), at=1.0, channel="link")
    clock.advance(2)
    event = await store.consents.withdraw(1, person("a@b.test"), at=1.0, channel="link")
    assert store.healthy
    ((act,),) = await store.consents.acts(1, [person("a@b.test")])
    assert act.event_id == event
    assert (await store.ledger.verify()).events == 1


async def test_one_process_at_a_time(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(StoreTrouble, match=f"in use by process {os.getpid()}"):
        await open_store(tmp_path / "data", clock)


async def test_a_closed_store_says_so(tmp_path: Path, clock: FakeClock) -> None:
    opened = await open_store(tmp_path, clock)
    await opened.close()
    with pytest.raises(StoreTrouble, match="closed"):
        await opened.mail.change([CopyChange("m", 1, CopyState.SENT, 0.0, 1)])


async def test_the_event_loop_writes_rows_of_mail_and_the_thread_commits_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[str] = []
    commit = Transaction.commit

    def traced(self: Transaction, journal: Journal) -> None:
        where.append(threading.current_thread().name)
        commit(self, journal)

    monkeypatch.setattr(Transaction, "commit", traced)
    applied: list[str] = []
    lane = store.mail._accepts
    apply = lane.apply
    monkeypatch.setattr(
        lane,
        "apply",
        lambda tx, items: (applied.append(threading.current_thread().name), apply(tx, items)),
    )
    await store.mail.accept(message("small"), b"hello", [copy("small")], [], 0)
    many = [copy("large", seq) for seq in range(1, 301)]
    await store.mail.accept(message("large", n=300), b"hello", many, [], 0)
    assert applied == ["MainThread", "store-writer"]
    assert where == ["store-writer", "store-writer"]
    assert store.mail.usage(1) == (301, 10)


async def test_what_the_event_loop_wrote_in_vain_is_written_again_by_the_thread(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[str] = []
    lane = store.mail._accepts
    apply = lane.apply

    def failing_in_the_loop(tx: Transaction, items: Sequence[Any]) -> None:
        where.append(threading.current_thread().name)
        apply(tx, items)
        if len(where) == 1:
            raise sqlite3.IntegrityError("only here")

    monkeypatch.setattr(lane, "apply", failing_in_the_loop)
    await store.mail.accept(message("m"), b"hello", [copy("m")], [], 0)
    assert where == ["MainThread", "store-writer"]
    assert store.mail.usage(1) == (1, 5)
    assert await store.mail.body("m") == b"hello"


async def test_a_failed_sync_is_never_tried_again_on_the_same_connection(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may have dropped the pages: a second sync would succeed and mean nothing."""
    connection = store.writer._connection
    commit = Transaction.commit
    failures = iter([OSError(errno.EIO, "sync failed")])

    def failing_once(self: Transaction, journal: Journal) -> None:
        for error in failures:
            raise error
        commit(self, journal)

    monkeypatch.setattr(Transaction, "commit", failing_once)
    with pytest.raises(StoreTrouble):
        await store.mail.accept(message("m"), b"hello", [copy("m")], [], 0)
    assert not store.healthy
    assert store.mail.usage(1) == (0, 0)
    clock.advance(2)
    await store.mail.accept(message("m"), b"hello", [copy("m")], [], 0)
    assert store.writer._connection is not connection
    assert store.mail.usage(1) == (1, 5)


async def test_trouble_after_a_commit_does_not_end_the_writer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledge = Transaction.acknowledge
    failures = iter([RuntimeError("afterwards")])

    def failing_once(self: Transaction) -> None:
        acknowledge(self)
        for error in failures:
            raise error

    monkeypatch.setattr(Transaction, "acknowledge", failing_once)
    await store.mail.accept(message("m"), b"hello", [copy("m")], [], 0)
    await store.mail.accept(message("n"), b"hello", [copy("n")], [], 0)
    assert store.mail.usage(1) == (2, 10)
