"""The connections: one that writes, in one thread, and some that read, each in its own.

SQLite releases before 3.51.3 can corrupt a WAL file when two connections write or checkpoint at
once. Here one connection does all of both. Writers queue up and share a transaction; everything
in it is acknowledged after COMMIT has synced the WAL (``synchronous=FULL``), never before.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from relay.ports import Clock, DiskFull, StoreTrouble
from relay.store.sqlite.disk import Reserve
from relay.store.sqlite.journal import Journal
from relay.store.sqlite.transaction import (
    Lane,
    Transaction,
    connect,
    is_busy,
    is_fatal,
    is_ruined,
    trouble,
)
from relay.store.sqlite.worker import Unit, Worker

log = logging.getLogger("relay.store")

T = TypeVar("T")

LOCK_SLICE: Final = 0.2
"""Seconds between looks at who else waits while another process holds the lock."""
FEW_ROWS: Final = 200
"""Rows that the event loop writes itself: some milliseconds at most."""
REOPEN_AFTER: Final = 1.0
"""Seconds after an I/O error before the store is opened anew."""

_MAGIC: Final = b"SQLite format 3\x00"


class Writer(Worker):
    """The connection that writes."""

    def __init__(
        self,
        path: Path,
        *,
        wait: float,
        clock: Clock,
        journal: Journal,
        reserve: Reserve,
        prepare: Callable[[Transaction], None],
        tick: Callable[[bool], None],
    ) -> None:
        """``prepare`` runs in a transaction whenever the store was opened (also after an I/O
        error); ``tick(closing)`` runs between transactions."""
        super().__init__("store-writer", clock)
        self._path: Final = path
        self._wait: Final = wait
        self._journal: Final = journal
        self._reserve: Final = reserve
        self._prepare: Final = prepare
        self._periodic: Final = tick
        self._connection: Connection | None = None
        self._name: Final = str(path)
        self._guard: int | None = None
        self._identity = (0, 0)
        self._why: str | None = "the store is not open yet"
        self._ruined = False
        self._failed = False
        self._failed_at = float("-inf")
        self.commits = 0
        """Transactions committed so far."""
        self._turn: Final = threading.Lock()
        """Whose connection it is now: the event loop's or the thread's."""
        self._begun: Transaction | None = None
        """What the event loop has left for the thread to commit."""

    async def open(self) -> None:
        """Open, migrate and load. Raises StoreTrouble."""
        self._thread.start()
        try:
            await self.write(lambda _: None, essential=True)
        except StoreTrouble:
            await self.close()
            raise

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written now; None when all is well."""
        return self._why

    async def write(self, work: Callable[[Transaction], T], *, essential: bool = False) -> T:
        """Run ``work`` in a savepoint of the shared transaction; returns after it is synced.

        ``essential`` may use the disk's reserve. Raises StoreTrouble, or what ``work`` raised.
        """
        result: T = await self._submit(None, work, essential)
        return result

    async def submit(self, lane: Lane, item: object, *, rows: int, essential: bool = False) -> None:
        """Write ``item``, about so many rows, along with all others of its lane; returns after it
        is synced."""
        await self._submit(lane, item, essential, rows)

    # --- in the event loop ------------------------------------------------------------------

    def _before(self, batch: list[Unit]) -> None:
        """Write the rows of a small batch of mail here, and leave the thread only the commit.

        The driver lets go of the interpreter at every row. In the thread, under load, each time
        means a fight with the event loop for it, dozens for one mail; here nobody contends. What
        would have to wait, and whatever goes wrong, is left to the thread from the start.
        """
        if any(unit.lane is None for unit in batch) or sum(unit.rows for unit in batch) > FEW_ROWS:
            return
        if not self._turn.acquire(blocking=False):
            return
        begun = None
        if self._connection is not None and self._reserve.held and self._why is None:
            begun = Transaction(self._connection)
            try:
                self._check_file()
                begun.raw.execute("BEGIN IMMEDIATE")
                for lane, members in _lanes(batch).items():
                    lane.apply(begun, [unit.work for unit in members])
            except Exception:  # the thread does it again, and says what is wrong
                begun.rollback()
                begun = None
        self._begun = begun
        if begun is None:
            self._turn.release()

    # --- in the writer's thread -------------------------------------------------------------

    def _perform(self, batch: list[Unit]) -> None:
        if self._begun is None:
            self._turn.acquire()
        try:
            if not self._commit_begun(batch):
                self._perform_here(batch)
        finally:
            self._turn.release()

    def _commit_begun(self, batch: list[Unit]) -> bool:
        """Commit what the event loop has written; False when all is to be done again."""
        begun, self._begun = self._begun, None
        if begun is None:
            return False
        try:
            begun.commit(self._journal)
        except Exception as error:  # the thread must outlive any bug: all mail passes here
            begun.rollback()
            driver = isinstance(error, sqlite3.Error | DBAPIError | OSError)
            if not driver or isinstance(trouble(error), DiskFull):
                return False
            # After a failed sync the kernel may have dropped the pages: a second one on this
            # connection would succeed and mean nothing.
            self._give_up(error)
            _fail(batch, trouble(error))
            return True
        self.commits += 1
        try:
            begun.acknowledge()
        except Exception:  # committed it is; what comes after must not undo that
            log.exception("what follows a commit failed")
        return True

    def _perform_here(self, batch: list[Unit]) -> None:
        units = batch
        try:
            units = self._admit(batch)
            if units:
                self._commit(units)
        except StoreTrouble as error:
            _fail(batch, error)
        except (sqlite3.Error, DBAPIError, OSError) as error:
            self._give_up(error)
            _fail(batch, trouble(error))
        except Exception as error:  # the thread must outlive any bug: all mail passes here
            log.exception("the store's writer failed")
            _fail(batch, StoreTrouble(f"the store failed: {type(error).__name__}"))

    def _admit(self, batch: list[Unit]) -> list[Unit]:
        """Open the store if need be; while the reserve is given up, only the essential passes."""
        self._open()
        if self._reserve.hold():
            return batch
        for unit in batch:
            if not unit.essential:
                unit.error = DiskFull("no room left on the store's disk")
        return [unit for unit in batch if unit.essential]

    def _commit(self, units: list[Unit]) -> None:
        try:
            self._transact(units)
        except (sqlite3.Error, DBAPIError, OSError) as error:
            if not isinstance(trouble(error), DiskFull):
                raise
            self._commit_essential(units, trouble(error))

    def _commit_essential(self, units: list[Unit], full: StoreTrouble) -> None:
        """Only an opt-out, or the fate of mail already taken, opens the reserve."""
        essential = [unit for unit in units if unit.essential]
        for unit in units:
            unit.error = None if unit.essential else full
        if not essential:
            return
        if self._reserve.release():
            log.error("no room left on the store's disk: the reserve is given up, mail must wait")
        try:
            self._transact(essential)
        except (sqlite3.Error, DBAPIError, OSError) as error:
            if not isinstance(trouble(error), DiskFull):
                raise
            _fail(essential, DiskFull("no room left on the store's disk, nor in its reserve"))

    def _transact(self, units: list[Unit]) -> None:
        assert self._connection is not None
        tx = Transaction(self._connection)
        pending = self._begin(tx, units)
        if not pending:
            return
        try:
            if not self._work_plainly(tx, pending):
                self._work(tx, pending)
            tx.commit(self._journal)
        except BaseException:
            tx.rollback()
            raise
        self.commits += 1
        tx.acknowledge()

    def _begin(self, tx: Transaction, units: list[Unit]) -> list[Unit]:
        """Wait for the lock as long as any unit may still wait; returns those that got it."""
        try:
            tx.raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
        else:
            return units
        tx.raw.execute(f"PRAGMA busy_timeout = {int(min(LOCK_SLICE, self._wait) * 1000)}")
        try:
            return self._begin_late(tx, units)
        finally:
            tx.raw.execute("PRAGMA busy_timeout = 0")

    def _begin_late(self, tx: Transaction, units: list[Unit]) -> list[Unit]:
        while True:
            try:
                tx.raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                oldest = self._clock.monotonic() - self._wait
                _fail([unit for unit in units if unit.since <= oldest], trouble(error))
                units = [unit for unit in units if unit.since > oldest]
                if not units:
                    return []
            else:
                return units

    def _work_plainly(self, tx: Transaction, units: Sequence[Unit]) -> bool:
        """The usual batch: mail only, and nothing wrong with it. Does without savepoints, each of
        which costs as much as a row; False when it has to be done again with them."""
        if any(unit.lane is None for unit in units):
            return False
        try:
            for lane, members in _lanes(units).items():
                lane.apply(tx, [unit.work for unit in members])
        except Exception as error:  # one bad item must not take the others down
            if is_fatal(error):
                raise
            tx.rollback()
            tx.raw.execute("BEGIN IMMEDIATE")
            return False
        return True

    def _work(self, tx: Transaction, units: Sequence[Unit]) -> None:
        for lane, members in _lanes(units).items():
            self._run_lane(tx, lane, members)
        for unit in units:
            if unit.lane is None:
                self._isolate(tx, unit, lambda unit=unit: unit.work(tx))  # type: ignore[misc]

    def _run_lane(self, tx: Transaction, lane: Lane, members: list[Unit]) -> None:
        try:
            tx.attempt(lambda: lane.apply(tx, [unit.work for unit in members]))
        except Exception as error:  # one bad item must not take the others down
            if is_fatal(error):
                raise
            for unit in members:
                self._isolate(tx, unit, lambda unit=unit: lane.apply(tx, [unit.work]))  # type: ignore[misc]

    @staticmethod
    def _isolate(tx: Transaction, unit: Unit, work: Callable[[], Any]) -> None:
        try:
            unit.result = tx.attempt(work)
        except Exception as error:  # the unit's own: its caller must hear of it
            if is_fatal(error):
                raise
            driver = isinstance(error, sqlite3.Error | DBAPIError)
            unit.error = trouble(error) if driver else error

    def _open(self) -> None:
        """Make sure that the connection stands on the file it was opened on.

        Raises StoreTrouble."""
        if self._connection is not None:
            self._check_file()
            return
        if self._ruined or self._clock.monotonic() - self._failed_at < REOPEN_AFTER:
            raise StoreTrouble(self._why or "the store is not open")
        try:
            self._connect()
        except (sqlite3.Error, DBAPIError, OSError, StoreTrouble) as error:
            self._give_up(error)
            if self._ruined:
                raise StoreTrouble(self._why) from error
            raise trouble(error) from error
        self._why = None
        self._failed = False

    def _connect(self) -> None:
        self._connection = connect(self._path, wait=self._wait, writer=True)
        # Held as long as the connection: closing any descriptor of the file would drop the
        # process's POSIX locks on it.
        if self._guard is None:
            self._guard = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            opened = os.fstat(self._guard)
            self._identity = (opened.st_dev, opened.st_ino)
        tx = Transaction(self._connection)
        if self._failed:
            # After a failed sync the kernel may have dropped pages: have them written again.
            tx.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        tx.raw.execute("BEGIN IMMEDIATE")
        try:
            self._prepare(tx)
            tx.commit(self._journal)
        except BaseException:
            tx.rollback()
            self._close_connection()
            raise
        tx.acknowledge()
        # The event loop must not wait for a lock; the thread says so when it will.
        tx.raw.execute("PRAGMA busy_timeout = 0")

    def _check_file(self) -> None:
        """A store replaced under us takes commits that nobody will find again."""
        assert self._guard is not None
        try:
            named = os.stat(self._name)
        except FileNotFoundError:
            same = False
        else:
            same = (named.st_dev, named.st_ino) == self._identity
        if not same or os.pread(self._guard, len(_MAGIC), 0) != _MAGIC:
            self._ruined = True
            self._why = "the store's file was replaced or overwritten while the relay ran"
            self._close_connection()
            log.critical("%s: %s", self._path, self._why)
            raise StoreTrouble(self._why)

    def _give_up(self, error: BaseException) -> None:
        """Close what cannot be trusted; ``_open`` tries anew, unless the file itself is bad."""
        self._ruined = is_ruined(error)
        self._why = f"{self._path}: {trouble(error)}" if self._ruined else str(trouble(error))
        self._failed = True
        self._failed_at = self._clock.monotonic()
        self._close_connection()
        log.error("store: %s", self._why)

    def _close_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error, DBAPIError):
                self._connection.close()
            self._connection = None

    def _tick(self) -> None:
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._look_around()
        finally:
            self._turn.release()

    def _look_around(self) -> None:
        if self._connection is not None:
            # Readiness must show it also while nobody writes.
            with contextlib.suppress(StoreTrouble):
                self._check_file()
        if self._connection is not None:
            self._periodic(False)
        elif self._why is not None and not self._ruined and not self._closing:
            with contextlib.suppress(StoreTrouble):
                self._open()

    def _end(self) -> None:
        if self._connection is not None:
            self._periodic(True)
        self._close_connection()
        if self._guard is not None:
            os.close(self._guard)
            self._guard = None


def _lanes(units: Sequence[Unit]) -> dict[Lane, list[Unit]]:
    lanes: dict[Lane, list[Unit]] = {}
    for unit in units:
        if unit.lane is not None:
            lanes.setdefault(unit.lane, []).append(unit)
    return lanes


def _fail(units: Sequence[Unit], error: StoreTrouble) -> None:
    for unit in units:
        if unit.error is None:
            unit.error = error
