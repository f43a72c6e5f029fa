"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    check: str
    ok: bool
    detail: str
    next: str = ""
    """What to do; empty when nothing is."""
