"""A thread that works on whatever gathered while it was busy.

One wake-up each way stands for many jobs. Waking a thread for each of them, and fighting with the
event loop for the interpreter each time, costs more than the jobs themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

Job = TypeVar("Job")

TICK: Final = 1.0
"""Seconds between calls of ``tick`` when there is nothing to do."""


class Gatherer(Generic[Job]):
    """Made and used in the event loop's thread.

    ``perform`` does a batch of jobs in the thread and must not raise; ``settle`` is then called
    with the same batch in the event loop. ``prepare`` sees it there before. ``tick`` runs in the
    thread after each batch and at least each ``TICK`` seconds, ``end`` when the thread ends.
    """

    def __init__(
        self,
        name: str,
        perform: Callable[[list[Job]], None],
        settle: Callable[[Sequence[Job]], None],
        *,
        prepare: Callable[[list[Job]], None] = lambda batch: None,
        tick: Callable[[], None] = lambda: None,
        end: Callable[[], None] = lambda: None,
        most: int = 500,
    ) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._perform: Final = perform
        self._settle: Final = settle
        self._prepare: Final = prepare
        self._tick: Final = tick
        self._end: Final = end
        self._most: Final = most
        self._waiting: list[Job] = []
        self._busy = False
        self._drained: asyncio.Future[None] | None = None
        self._batches: Final[queue.SimpleQueue[list[Job] | None]] = queue.SimpleQueue()
        self._thread: Final = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, job: Job) -> None:
        """Have a job done: now, or along with others when the thread is busy."""
        self._waiting.append(job)
        if not self._busy:
            self._hand_over()

    async def close(self) -> None:
        """Finish what was put and end the thread; may be called again."""
        if not self._thread.is_alive():
            return
        if self._busy or self._waiting:
            self._drained = self._loop.create_future()
            await self._drained
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join)

    # --- in the event loop ----------------------------------------------------------------------

    def _hand_over(self) -> None:
        batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        self._busy = True
        self._prepare(batch)
        self._batches.put(batch)

    def _settled(self, batch: list[Job]) -> None:
        self._settle(batch)
        # What the answers set off in this turn of the loop joins the next batch.
        self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._waiting:
            self._hand_over()
            return
        self._busy = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # --- in the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                batch = self._batches.get(timeout=TICK)
            except queue.Empty:
                self._tick()
                continue
            if batch is None:
                break
            self._perform(batch)
            # The loop is gone only when the process is on its way out.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._settled, batch)
            self._tick()
        self._end()
