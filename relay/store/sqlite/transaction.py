"""An open connection and a shared transaction on it, and what the driver's errors mean."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from relay.ports import DiskFull, Json, StoreTrouble
from relay.store.sqlite.journal import Journal

T = TypeVar("T")

_FATAL: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_RUINED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Session:
    """An open connection, as SQLAlchemy's and as the driver's (the hot path's)."""

    def __init__(self, connection: Connection) -> None:
        self.connection: Final = connection
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        self.raw: Final[sqlite3.Connection] = raw


class Transaction(Session):
    """What a unit of writing gets: the connection, and what to do besides the rows."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._undo: list[Callable[[], None]] = []
        self._after: list[Callable[[], None]] = []
        self._journal: list[Mapping[str, Json]] = []

    def undo(self, step: Callable[[], None]) -> None:
        """Run ``step`` if this unit, or the whole transaction, is rolled back."""
        self._undo.append(step)

    def after(self, step: Callable[[], None]) -> None:
        """Run ``step`` in the writer's thread after COMMIT, before the unit is acknowledged."""
        self._after.append(step)

    def journal(self, record: Mapping[str, Json]) -> None:
        """Append ``record`` to the opt-out journal, synced before COMMIT."""
        self._journal.append(record)

    def commit(self, journal: Journal) -> None:
        """Journal first: a crash between the two leaves an opt-out too many, never one too few."""
        if self._journal:
            journal.append(self._journal)
        self.raw.execute("COMMIT")
        self.connection.commit()

    def acknowledge(self) -> None:
        """Run what was left for after the commit."""
        for step in self._after:
            step()

    def rollback(self) -> None:
        """Take back rows and memory."""
        # After an I/O error there may be nothing left to roll back.
        with contextlib.suppress(sqlite3.Error, DBAPIError):
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            self.connection.rollback()
        self._cut(0, 0, 0)

    def attempt(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a savepoint; when it raises, only its own traces go."""
        marks = (len(self._undo), len(self._after), len(self._journal))
        self.raw.execute("SAVEPOINT unit")
        try:
            result = work()
        except BaseException:
            # A fatal error has ended the transaction, and its savepoints with it.
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK TO unit")
                self.raw.execute("RELEASE unit")
            self._cut(*marks)
            raise
        self.raw.execute("RELEASE unit")
        return result

    def _cut(self, undo: int, after: int, journal: int) -> None:
        while len(self._undo) > undo:
            self._undo.pop()()
        del self._after[after:]
        del self._journal[journal:]


class Lane(Protocol):
    """Writes many items of one sort at once: the hot path."""

    def apply(self, tx: Transaction, items: Sequence[Any]) -> None:
        """Write all ``items``; when this raises, they are tried one by one."""


def connect(path: Path, *, wait: float, writer: bool) -> Connection:
    """Open the store's file for this thread alone. Raises StoreTrouble."""

    def dial() -> sqlite3.Connection:
        raw = sqlite3.connect(
            path,
            timeout=wait,
            isolation_level=None,
            cached_statements=256,
            # The writer's is used in two threads, one at a time (see engine.Writer).
            check_same_thread=not writer,
        )
        try:
            if writer:
                raw.execute("PRAGMA journal_mode = WAL")
                raw.execute("PRAGMA synchronous = FULL")
                raw.execute("PRAGMA foreign_keys = ON")
                raw.execute("PRAGMA secure_delete = FAST")
                raw.execute("PRAGMA journal_size_limit = 67108864")
            else:
                raw.execute("PRAGMA query_only = ON")
                raw.execute("PRAGMA wal_autocheckpoint = 0")
            raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            raw.close()
            raise
        return raw

    try:
        return create_engine("sqlite+pysqlite://", creator=dial, poolclass=NullPool).connect()
    except (sqlite3.Error, DBAPIError) as error:
        raise trouble(error) from error


def trouble(error: BaseException) -> StoreTrouble:
    """What callers get to see of an error of the driver or the operating system."""
    if isinstance(error, StoreTrouble):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("no room left on the store's disk")
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return DiskFull("no room left on the store's disk")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreTrouble("the store is locked by another process")
    if code in _RUINED:
        return StoreTrouble(f"the store's file is damaged or not a store: {_original(error)}")
    return StoreTrouble(f"the store failed: {_original(error)}")


def _original(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _code(error: BaseException) -> int | None:
    """SQLite's primary result code."""
    code = getattr(_original(error), "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def is_fatal(error: BaseException) -> bool:
    """Whether no further statement on this connection can be trusted."""
    return isinstance(error, OSError) or _code(error) in _FATAL


def is_busy(error: BaseException) -> bool:
    """Whether another process holds the lock."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_ruined(error: BaseException) -> bool:
    """Whether the file itself is bad, so that opening it again cannot help."""
    return _code(error.__cause__ or error) in _RUINED
