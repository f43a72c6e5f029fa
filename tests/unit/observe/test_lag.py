from __future__ import annotations

import asyncio

import pytest

from relay.observe.lag import INTERVAL, WINDOW, watch_lag
from tests.support.clock import FakeClock


class Over(Exception):
    """Ends the endless watch."""


async def _watch(oversleeps: list[float]) -> list[float]:
    clock = FakeClock()
    left = iter(oversleeps)
    reported: list[float] = []

    async def sleep(seconds: float) -> None:
        extra = next(left, None)
        if extra is None:
            raise Over
        clock.advance(seconds + extra)

    with pytest.raises(Over):
        await watch_lag(clock, reported.append, sleep)
    return reported


async def test_reports_the_longest_recent_oversleep() -> None:
    assert await _watch([0.0, 0.3, 0.1]) == pytest.approx([0.0, 0.3, 0.3])


async def test_a_stall_is_forgotten_after_the_window() -> None:
    looks = round(WINDOW / INTERVAL)
    reported = await _watch([2.0] + [0.0] * looks)
    assert reported[looks - 1] == pytest.approx(2.0)
    assert reported[looks] == pytest.approx(0.0)


async def test_runs_on_the_real_loop_until_cancelled() -> None:
    seen = asyncio.Event()
    watching = asyncio.ensure_future(
        watch_lag(FakeClock(), lambda lag: seen.set(), lambda seconds: asyncio.sleep(0))
    )
    await seen.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
