"""The only clock. Everything else is handed one."""

from __future__ import annotations

import time
from typing import Final

DAY: Final = 86_400
"""Seconds of a day in UTC."""


class SystemClock:
    """Wall-clock and monotonic time, in seconds."""

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        return time.monotonic()
