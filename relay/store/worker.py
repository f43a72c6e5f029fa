"""Threads that own a connection: units queue up, many are taken at once, one wake-up for all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy.exc import DBAPIError

from relay.ports import Clock, StoreTrouble
from relay.store.transaction import Lane, Session, connect, is_fatal, trouble

log = logging.getLogger("relay.store")

T = TypeVar("T")

BATCH: Final = 500
"""Most units in one transaction."""
TICK: Final = 1.0
"""Seconds between chances for periodic work when nothing is written."""


class Unit:
    """One piece of work, its caller's future, and what came of it."""

    __slots__ = ("error", "essential", "future", "lane", "result", "since", "work")

    def __init__(
        self, future: asyncio.Future[Any], lane: Lane | None, work: Any, essential: bool, at: float
    ) -> None:
        self.future = future
        self.lane = lane
        self.work = work
        self.essential = essential
        self.since = at
        self.result: Any = None
        self.error: BaseException | None = None


class Worker(ABC):
    """A thread that takes units off a queue, many at a time, and wakes the loop once for all."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._clock: Final = clock
        self._queue: Final[queue.SimpleQueue[Unit | None]] = queue.SimpleQueue()
        self._closing = False
        self._thread: Final = threading.Thread(target=self._run, name=name, daemon=True)

    async def close(self) -> None:
        """Finish what is queued and end the thread."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _submit(self, lane: Lane | None, work: Any, essential: bool) -> asyncio.Future[Any]:
        if self._closing:
            raise StoreTrouble("the store is closed")
        future = self._loop.create_future()
        self._queue.put(Unit(future, lane, work, essential, self._clock.monotonic()))
        return future

    def _run(self) -> None:
        last = False
        while not last:
            batch: list[Unit] = []
            with contextlib.suppress(queue.Empty):
                last = self._take(self._queue.get(timeout=TICK), batch)
                while not last and len(batch) < BATCH:
                    last = self._take(self._queue.get_nowait(), batch)
            if batch:
                self._perform(batch)
            try:
                self._tick()
            except Exception:  # the thread must outlive any bug: all mail passes here
                log.exception("periodic work of the store failed")
        self._end()

    @staticmethod
    def _take(unit: Unit | None, batch: list[Unit]) -> bool:
        if unit is None:
            return True
        batch.append(unit)
        return False

    def _settle(self, units: Sequence[Unit]) -> None:
        # The loop is gone only when the process is on its way out.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, units)

    @abstractmethod
    def _perform(self, batch: list[Unit]) -> None:
        """Do all units of a batch and settle them."""

    def _tick(self) -> None:  # noqa: B027 - a reader has none
        """Periodic work, after each batch and at least each ``TICK`` seconds."""

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
        self._settle(batch)

    def _end(self) -> None:
        if self._session is not None:
            self._session.connection.close()
            self._session = None
