from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from relay.egress.circuit import THRESHOLD, Circuit
from relay.egress.delivery import AFTER_FAILURE, DeliveryLoop
from relay.model import Kind
from relay.ports import Batch, Waiting
from relay.tasks import Tasks
from relay.throttle.gcra import GcraThrottle
from relay.throttle.scheduler import Scheduler
from relay.throttle.spec import Spec
from tests.support.clock import FakeClock
from tests.support.eventually import eventually_async

PLENTY = Spec(1_000_000, 1, 1_000_000)
Attempt = Callable[[Batch], Awaitable[Sequence[Waiting]]]


class Rig:
    """A delivery loop on a real scheduler with a clock that stands still."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.tasks = Tasks()
        self.circuit = Circuit()
        self.scheduler = Scheduler(GcraThrottle(lambda tenant: PLENTY, lambda tenant, d: PLENTY))
        self.attempted: list[str] = []
        self.at_once = 0
        self.most = 0
        self.loop: DeliveryLoop | None = None

    def start(self, attempt: Attempt, workers: int = 5) -> DeliveryLoop:
        async def counted(batch: Batch) -> Sequence[Waiting]:
            self.attempted.append(batch.message_id)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            try:
                return await attempt(batch)
            finally:
                self.at_once -= 1

        self.loop = DeliveryLoop(
            self.scheduler, counted, self.clock, self.tasks, workers, self.circuit
        )
        self.loop.start()
        return self.loop

    def offer(self, *names: str) -> None:
        self.scheduler.offer(
            Waiting(name, 0, 1, "ok.test", Kind.PERSONAL, self.clock.now()) for name in names
        )

    async def until(self, count: int) -> None:
        await eventually_async(lambda: len(self.attempted) >= count, f"{count} attempts")


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    if rig.loop is not None:
        await rig.loop.drain(5)
    await rig.tasks.drain(5)


async def delivered(batch: Batch) -> Sequence[Waiting]:
    return ()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_all_that_waits_goes(rig: Rig) -> None:
    names = [f"m{n}" for n in range(50)]
    rig.offer(*names)
    rig.start(delivered)
    await rig.until(50)
    assert sorted(rig.attempted) == sorted(names)
    assert len(rig.scheduler) == 0


async def test_woken_by_new_mail(rig: Rig) -> None:
    loop = rig.start(delivered)
    await settle()
    rig.offer("a")
    await settle()
    assert rig.attempted == []
    loop.wake()
    await rig.until(1)


async def test_never_more_at_once_than_workers(rig: Rig) -> None:
    gate = asyncio.Event()

    async def slow(batch: Batch) -> Sequence[Waiting]:
        await gate.wait()
        return ()

    rig.offer(*(f"m{n}" for n in range(20)))
    rig.start(slow, workers=3)
    await rig.until(3)
    await settle()
    assert len(rig.attempted) == 3
    gate.set()
    await rig.until(20)
    assert rig.most == 3


async def test_what_waits_again_comes_again(rig: Rig) -> None:
    async def deferred_once(batch: Batch) -> Sequence[Waiting]:
        (item,) = batch.items
        if rig.attempted.count(batch.message_id) > 1:
            return ()
        return [replace(item, next_at=rig.clock.now() + 60)]

    rig.offer("a")
    loop = rig.start(deferred_once)
    await rig.until(1)
    loop.wake()
    await settle()
    assert len(rig.attempted) == 1
    rig.clock.advance(60)
    loop.wake()
    await rig.until(2)


async def test_poison_waits_and_the_rest_goes_on(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async def choke(batch: Batch) -> Sequence[Waiting]:
        if batch.message_id == "bad":
            raise RuntimeError("poison")
        return ()

    rig.offer("bad", *(f"m{n}" for n in range(10)))
    loop = rig.start(choke, workers=1)
    with caplog.at_level(logging.ERROR):
        await rig.until(11)
        await settle()
    assert "delivery of bad failed" in caplog.text
    assert rig.attempted.count("bad") == 1
    assert len(rig.scheduler) == 1
    rig.clock.advance(AFTER_FAILURE)
    loop.wake()
    await rig.until(12)
    assert rig.attempted[-1] == "bad"


async def test_a_fault_in_the_schedule_does_not_end_delivery(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.scheduler, "next", lambda now: 1 / 0)
    loop = rig.start(delivered)
    with caplog.at_level(logging.ERROR):
        await settle()
    assert "cannot take the next batch" in caplog.text
    monkeypatch.undo()
    rig.offer("a")
    loop.wake()
    await rig.until(1)


async def test_drain_lets_attempts_finish_and_takes_no_more(rig: Rig) -> None:
    gate = asyncio.Event()
    finished: list[str] = []

    async def slow(batch: Batch) -> Sequence[Waiting]:
        await gate.wait()
        finished.append(batch.message_id)
        return ()

    rig.offer("a", "b", "c")
    loop = rig.start(slow, workers=2)
    await rig.until(2)
    assert await loop.drain(0) == 2
    draining = asyncio.ensure_future(loop.drain(5))
    gate.set()
    assert await draining == 0
    await settle()
    assert sorted(finished) == ["a", "b"]
    assert len(rig.scheduler) == 1


async def test_while_the_upstream_is_down_only_probes_go(rig: Rig) -> None:
    async def unreachable(batch: Batch) -> Sequence[Waiting]:
        rig.circuit.failed(rig.clock.now())
        return ()

    rig.offer(*(f"m{n}" for n in range(1_000)))
    loop = rig.start(unreachable, workers=1)
    await rig.until(THRESHOLD)
    await settle()
    assert len(rig.attempted) == THRESHOLD
    for probes in range(1, 4):
        rig.clock.advance(rig.circuit.wait(rig.clock.now()))
        loop.wake()
        await settle()
        assert len(rig.attempted) == THRESHOLD + probes


async def test_one_success_sets_all_free(rig: Rig) -> None:
    async def back_again(batch: Batch) -> Sequence[Waiting]:
        rig.circuit.succeeded()
        return ()

    for _ in range(THRESHOLD):
        rig.circuit.failed(rig.clock.now())
    rig.offer(*(f"m{n}" for n in range(100)))
    loop = rig.start(back_again)
    await settle()
    assert rig.attempted == []
    rig.clock.advance(1)
    loop.wake()
    await rig.until(100)
