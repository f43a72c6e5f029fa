"""Knows when the upstream as a whole is down, so that waiting mail does not hammer it."""

from __future__ import annotations

THRESHOLD = 5
"""Failures in a row, of the session and not of single mails, after which it counts as down."""
FIRST_INTERVAL = 1.0
LONGEST_INTERVAL = 60.0


class Circuit:
    """While the upstream is down, one batch may try per interval; the interval doubles to 60 s.

    Times are any clock's seconds, as long as it is always the same.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._interval = FIRST_INTERVAL
        self._next_probe = 0.0

    @property
    def is_open(self) -> bool:
        """True while the upstream counts as down."""
        return self._failures >= THRESHOLD

    def wait(self, now: float) -> float:
        """Seconds until the next batch may try; 0.0 for now."""
        return max(0.0, self._next_probe - now) if self.is_open else 0.0

    def admitted(self, now: float) -> None:
        """A batch goes out; while the upstream is down it is the probe of this interval."""
        if self.is_open:
            self._next_probe = now + self._interval
            self._interval = min(2 * self._interval, LONGEST_INTERVAL)

    def failed(self, now: float) -> None:
        """The upstream could not be reached, turned us away, or went away."""
        self._failures += 1
        if self._failures == THRESHOLD:
            self._interval = FIRST_INTERVAL
            self._next_probe = now + self._interval

    def succeeded(self) -> None:
        """The upstream carried a transaction to an answer, whatever the answer was."""
        self._failures = 0
