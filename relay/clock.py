"""The only clock. Everything else is handed one."""

from __future__ import annotations

import time


class SystemClock:
    """Wall-clock and monotonic time, in seconds."""

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        return time.monotonic()
