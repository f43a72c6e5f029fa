"""How long the event loop keeps work waiting: one number that tells an overloaded relay."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from relay.ports import Clock

INTERVAL = 0.5
"""Seconds between two looks."""
WINDOW = 60.0
"""Seconds that the reported maximum looks back: longer than the usual scrape interval, so that
no stall falls between two scrapes."""


async def watch_lag(
    clock: Clock,
    report: Callable[[float], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Report every ``INTERVAL`` seconds the longest oversleep of the last ``WINDOW`` seconds.

    Runs until it is cancelled.
    """
    recent: deque[float] = deque(maxlen=round(WINDOW / INTERVAL))
    while True:
        due = clock.monotonic() + INTERVAL
        await sleep(INTERVAL)
        recent.append(max(0.0, clock.monotonic() - due))
        report(max(recent))
