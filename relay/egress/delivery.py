"""Takes what may go, and has it delivered: the second half of the path, kept running."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from relay.egress.circuit import Circuit
from relay.ports import Batch, Clock, Waiting
from relay.tasks import Tasks

log = logging.getLogger("relay.egress.delivery")

AFTER_FAILURE = 60.0
"""Seconds before a batch whose attempt raised is tried again."""
LONGEST_SLEEP = 3_600.0
"""Seconds; the loop looks again now and then even when nobody wakes it (clocks get set)."""


class Schedule(Protocol):
    """What delivery needs of ``relay.throttle.scheduler.Scheduler``."""

    def offer(self, items: Iterable[Waiting]) -> None:
        """Take in copies that wait."""

    def next(self, now: float) -> Batch | float:
        """A batch that may go now, or the seconds until something may be due."""

    def done(self, batch: Batch) -> None:
        """End the lease of a batch."""


class DeliveryLoop:
    """Runs ``attempt`` for every batch that may go, ``workers`` at once.

    ``attempt`` judges again, composes, signs, sends and records; it returns the copies that wait
    again. When it raises, the batch waits for 60 s and nothing else does. While ``circuit`` says
    that the upstream is down, only its probes go out. Nothing is polled: ``wake`` says that there
    is new mail.
    """

    def __init__(
        self,
        scheduler: Schedule,
        attempt: Callable[[Batch], Awaitable[Sequence[Waiting]]],
        clock: Clock,
        tasks: Tasks,
        workers: int,
        circuit: Circuit | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._attempt = attempt
        self._clock = clock
        self._tasks = tasks
        self._workers = workers
        self._circuit = circuit or Circuit()
        self._running: set[asyncio.Task[None]] = set()
        self._awake = asyncio.Event()
        self._stopping = False

    def start(self) -> None:
        """Begin to deliver."""
        self._tasks.start(self._run(), "delivery")

    def wake(self) -> None:
        """Look at the schedule now: something was offered, or may go earlier than thought."""
        self._awake.set()

    async def drain(self, seconds: float) -> int:
        """Take nothing more and wait up to ``seconds`` for attempts under way.

        Returns how many still run; they are left to ``Tasks.drain``.
        """
        self._stopping = True
        self._awake.set()
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)
        return len(self._running)

    async def _run(self) -> None:
        while not self._stopping:
            self._awake.clear()
            try:
                pause = self._fill()
            except Exception:
                # A fault in the schedule (a tenant that is gone, say) must not end all delivery.
                log.exception("delivery cannot take the next batch")
                pause = AFTER_FAILURE
            try:
                async with asyncio.timeout(min(pause, LONGEST_SLEEP)):
                    await self._awake.wait()
            except TimeoutError:
                continue

    def _fill(self) -> float:
        """Start what may go now; returns the seconds until there may be more."""
        while len(self._running) < self._workers and not self._stopping:
            now = self._clock.now()
            wait = self._circuit.wait(now)
            if wait > 0:
                return wait
            batch = self._scheduler.next(now)
            if isinstance(batch, float):
                return batch
            self._circuit.admitted(now)
            task = self._tasks.start(self._work(batch), f"deliver {batch.message_id}")
            self._running.add(task)
            task.add_done_callback(self._ended)
        return math.inf

    async def _work(self, batch: Batch) -> None:
        try:
            again = await self._attempt(batch)
        except Exception:
            # Whatever one message does to us, the others go on. The store still has it waiting.
            log.exception("delivery of %s failed", batch.message_id)
            later = self._clock.now() + AFTER_FAILURE
            again = [replace(item, next_at=later) for item in batch.items]
        self._scheduler.done(batch)
        self._scheduler.offer(again)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._awake.set()
