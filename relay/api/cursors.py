"""Cursors: where the next page begins, in a form that clients pass back and do not take apart."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Final

from fastapi import Query

from relay.api.problems import ApiProblem, invalid

MOST: Final = 500
"""Entries of one page."""

Limit = Annotated[int, Query(ge=1, le=MOST, description="Most entries in the answer.")]
After = Annotated[
    str | None,
    Query(
        max_length=500,
        description="The `next` of the answer before this one; without it, from the beginning.",
    ),
]


def encode(*parts: str | float) -> str:
    """A cursor that stands for these values."""
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode("ascii").rstrip("=")


def decode(cursor: str, *types: type) -> list[Any]:
    """The values of a cursor, which must be of these types. Raises ApiProblem."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise strange() from error
    if not isinstance(parts, list) or [type(part) for part in parts] != list(types):
        raise strange()
    if any(isinstance(part, int | float) and not 0 <= part < 2**62 for part in parts):
        raise strange()
    return parts


def strange(detail: str = "") -> ApiProblem:
    """What is no cursor of this list."""
    return invalid(
        detail or "It is not the `next` of an answer to this call. Begin without it.",
        parameter="after",
    )
