"""A clock that stands still until a test moves it."""

from __future__ import annotations


class FakeClock:
    """Implements ``relay.ports.Clock``; both times move only by ``advance`` (or ``set_wall``)."""

    def __init__(self, now: float = 1_800_000_000.0, monotonic: float = 1_000.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        if seconds < 0:
            raise ValueError("monotonic time never goes back; use set_wall for the wall clock")
        self._now += seconds
        self._monotonic += seconds

    def set_wall(self, now: float) -> None:
        """Set the wall clock alone, as an administrator or NTP would."""
        self._now = now
