"""Threads that own a connection: units queue up, many are taken at once, one wake-up for all."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy.exc import DBAPIError

from relay.gather import Gatherer
from relay.ports import Clock, StoreTrouble
from relay.store.sqlite.transaction import Lane, Session, connect, is_fatal, trouble

log = logging.getLogger("relay.store")

T = TypeVar("T")

BATCH: Final = 500
"""Most units in one transaction."""


class Unit:
    """One piece of work, its caller's future, and what came of it."""

    __slots__ = ("error", "essential", "future", "lane", "result", "rows", "since", "work")

    def __init__(
        self,
        future: asyncio.Future[Any],
        lane: Lane | None,
        work: Any,
        essential: bool,
        rows: int,
        at: float,
    ) -> None:
        self.future = future
        self.lane = lane
        self.work = work
        self.essential = essential
        self.rows = rows
        self.since = at
        self.result: Any = None
        self.error: BaseException | None = None


class Worker(ABC):
    """A thread that takes units as they gather, and wakes the loop once for all of them."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._clock: Final = clock
        self._closing = False
        self._thread: Final = Gatherer[Unit](
            name,
            self._perform,
            _resolve,
            prepare=self._before,
            tick=self._safe_tick,
            end=self._end,
            most=BATCH,
        )

    async def close(self) -> None:
        """Finish what is queued and end the thread."""
        self._closing = True
        await self._thread.close()

    def _submit(
        self, lane: Lane | None, work: Any, essential: bool, rows: int = 1
    ) -> asyncio.Future[Any]:
        if self._closing:
            raise StoreTrouble("the store is closed")
        future = self._loop.create_future()
        self._thread.put(Unit(future, lane, work, essential, rows, self._clock.monotonic()))
        return future

    def _safe_tick(self) -> None:
        try:
            self._tick()
        except Exception:  # the thread must outlive any bug: all mail passes here
            log.exception("periodic work of the store failed")

    def _before(self, batch: list[Unit]) -> None:  # noqa: B027 - a reader has none
        """In the event loop, before the batch goes to the thread; never raises."""

    @abstractmethod
    def _perform(self, batch: list[Unit]) -> None:
        """Do all units of a batch; never raises."""

    def _tick(self) -> None:  # noqa: B027 - a reader has none
        """Periodic work, after each batch and at least each second."""

    @abstractmethod
    def _end(self) -> None:
        """Close what the thread opened."""


def _resolve(units: Sequence[Unit]) -> None:
    for unit in units:
        if unit.future.done():
            continue
        if unit.error is not None:
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_result(unit.result)


class Reader(Worker):
    """A connection that only reads; it never checkpoints and holds no lock between units."""

    def __init__(self, path: Path, *, wait: float, clock: Clock) -> None:
        super().__init__("store-reader", clock)
        self._path: Final = path
        self._wait: Final = wait
        self._session: Session | None = None
        self._thread.start()

    async def read(self, work: Callable[[Session], T]) -> T:
        """The result of ``work``, run in the reader's thread. Raises StoreTrouble."""
        result: T = await self._submit(None, work, False)
        return result

    def _perform(self, batch: list[Unit]) -> None:
        for unit in batch:
            try:
                if self._session is None:
                    self._session = Session(connect(self._path, wait=self._wait, writer=False))
                unit.result = unit.work(self._session)
            except (sqlite3.Error, DBAPIError, OSError) as error:
                unit.error = trouble(error)
                if is_fatal(error):
                    self._end()
            except Exception as error:  # the unit's own: its caller must hear of it
                unit.error = error
        if self._session is not None:
            self._session.connection.rollback()

    def _end(self) -> None:
        if self._session is not None:
            self._session.connection.close()
            self._session = None
