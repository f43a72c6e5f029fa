"""Look-ups so small that changing threads would cost more than the answer.

Under load the event loop and the reader's thread contend for the interpreter; an answer of a few
index pages then takes milliseconds to come back. Here it takes tens of microseconds, in the loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError

from relay.ports import StoreTrouble
from relay.store.sqlite.transaction import Session, connect
from relay.store.sqlite.worker import Reader

T = TypeVar("T")


class Glance:
    """A read connection of the event loop's own, which never waits: what would have to goes to
    ``reader`` instead."""

    def __init__(self, path: Path, reader: Reader) -> None:
        self._path: Final = path
        self._reader: Final = reader
        self._session: Session | None = None

    async def read(self, work: Callable[[Session], T]) -> T:
        """The result of ``work``, which must touch a few pages only. Raises StoreTrouble."""
        try:
            if self._session is None:
                self._session = Session(connect(self._path, wait=0.0, writer=False))
            return work(self._session)
        except (sqlite3.Error, DBAPIError, StoreTrouble):
            # Locked, or broken: the reader waits as long as it takes, and says what is wrong.
            self.close()
            return await self._reader.read(work)

    def close(self) -> None:
        """Close the connection; the next look-up opens one again."""
        if self._session is not None:
            self._session.connection.close()
            self._session = None
