"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int | None], None]
"""Told what is done and what there is to do in all; None is not known."""


def no_progress(done: int, total: int | None) -> None:
    """For callers that do not watch."""
