"""Waiting for a condition of another process, with a deadline instead of a guess."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

EVERY = 0.02
"""Seconds between two looks."""


def eventually(look: Callable[[], T], what: str, within: float = 20.0) -> T:
    """Call ``look`` until it returns something true and return that.

    Raises AssertionError with ``what`` and the last answer after ``within`` seconds.
    """
    deadline = time.monotonic() + within
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}; last seen: {answer!r}")
        time.sleep(EVERY)


async def eventually_async(look: Callable[[], T], what: str, within: float = 20.0) -> T:
    """As ``eventually``, for tests whose own event loop must go on running."""
    deadline = time.monotonic() + within
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}; last seen: {answer!r}")
        await asyncio.sleep(EVERY)
