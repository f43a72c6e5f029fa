"""Names of messages: short, in order of time, never twice."""

from __future__ import annotations

from relay.ports import Clock

# Postfix's alphabet of long queue ids: no vowels, so that no id spells a word.
_ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"


class QueueIds:
    """Makes queue ids out of the time in microseconds, as Postfix's long queue ids are.

    Two calls in one microsecond, or a clock that steps back, still give increasing ids within one
    process; across a restart the clock does.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def __call__(self) -> str:
        """A new id of ten characters."""
        self._last = max(self._last + 1, int(self._clock.now() * 1_000_000))
        number, digits = self._last, []
        while number:
            number, digit = divmod(number, len(_ALPHABET))
            digits.append(_ALPHABET[digit])
        return "".join(reversed(digits))
