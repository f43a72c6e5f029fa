"""Rates as people write them: ``1000/hour,burst=50``."""

from __future__ import annotations

import re
from dataclasses import dataclass

SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_SPEC = re.compile(r"([0-9]{1,9})/(second|minute|hour|day)(?:,burst=([0-9]{1,9}))?")


@dataclass(frozen=True, slots=True)
class Spec:
    """A literal rate: ``recipients`` in every ``period`` seconds, of which ``burst`` at once."""

    recipients: int
    period: int
    burst: int

    @property
    def interval(self) -> float:
        """Seconds that one recipient costs."""
        return self.period / self.recipients


def parse(text: str) -> Spec:
    """The rate that ``N/second|minute|hour|day[,burst=M]`` names.

    Without ``burst`` recipients go evenly spaced (burst 1): any larger default would let twice
    the written number through in one period. Raises ValueError, which quotes the text.
    """
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no rate: write N/second|minute|hour|day[,burst=M]")
    recipients, period, burst = int(match[1]), SECONDS[match[2]], int(match[3] or 1)
    if recipients < 1 or burst < 1:
        raise ValueError(f"{text!r} is no rate: rate and burst must be at least 1")
    return Spec(recipients, period, burst)
