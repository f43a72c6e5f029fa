"""One wake-up each way for many jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from relay.gather import Gatherer


class Job:
    def __init__(self, number: int) -> None:
        self.number = number
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()


def settle(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.done.set_result(job.number)


async def test_what_gathers_while_the_thread_is_busy_is_one_batch() -> None:
    batches: list[list[int]] = []
    busy = threading.Event()

    def perform(jobs: list[Job]) -> None:
        busy.wait()
        batches.append([job.number for job in jobs])

    gatherer = Gatherer[Job]("test", perform, settle)
    gatherer.start()
    jobs = [Job(number) for number in range(10)]
    for job in jobs:
        gatherer.put(job)
    busy.set()
    assert await asyncio.gather(*(job.done for job in jobs)) == list(range(10))
    assert batches == [[0], list(range(1, 10))]
    await gatherer.close()


async def test_no_batch_is_larger_than_allowed_and_none_is_lost() -> None:
    sizes: list[int] = []
    gatherer = Gatherer[Job]("test", lambda jobs: sizes.append(len(jobs)), settle, most=3)
    gatherer.start()
    jobs = [Job(number) for number in range(20)]
    for job in jobs:
        gatherer.put(job)
    await asyncio.gather(*(job.done for job in jobs))
    assert sum(sizes) == 20
    assert max(sizes) == 3
    await gatherer.close()


async def test_close_finishes_what_was_put_and_may_come_twice() -> None:
    ended: list[str] = []
    gatherer = Gatherer[Job]("test", lambda jobs: None, settle, end=lambda: ended.append("end"))
    gatherer.start()
    jobs = [Job(number) for number in range(5)]
    for job in jobs:
        gatherer.put(job)
    await gatherer.close()
    await gatherer.close()
    assert all(job.done.done() for job in jobs)
    assert ended == ["end"]
