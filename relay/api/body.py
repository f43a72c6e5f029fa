"""Reads request bodies: whole, small, and JSON that means one thing only."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from relay.api.problems import ApiProblem, Kind

MAX_BODY: Final = 1_000_000
"""Octets of a JSON body."""
BODY_SECONDS: Final = 30.0
"""Seconds that a client has for a JSON body."""


async def read_body(request: Request) -> bytes:
    """The whole body. Raises ApiProblem."""
    chunks = [chunk async for chunk in limited(request, MAX_BODY, BODY_SECONDS)]
    return b"".join(chunks)


async def limited(request: Request, most: int, seconds: float) -> AsyncIterator[bytes]:
    """The body piece by piece, at most ``most`` octets, all of them within ``seconds``.

    Raises ApiProblem.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise _too_large(most)
    read = 0
    stream = request.stream()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(until):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise ApiProblem(
                Kind.TIMEOUT, f"The body must be here within {seconds:.0f} s. Send it again."
            ) from error
        except ClientDisconnect as error:
            raise ApiProblem(Kind.BAD_REQUEST, "The body ended too soon.") from error
        if chunk is None:
            return
        read += len(chunk)
        if read > most:
            raise _too_large(most)
        yield chunk


def parse_json(body: bytes) -> Any:
    """The one value that a body stands for. Raises ApiProblem.

    Refuses what parsers disagree on: repeated names, NaN and infinite numbers, half characters,
    and what is nested so deeply that it was never meant.
    """
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_float,
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        why = {
            UnicodeDecodeError: "it is not UTF-8",
            UnicodeEncodeError: "it holds half of a surrogate pair",
            RecursionError: "it is nested too deeply",
        }.get(type(error), "it is not well-formed, or a name or number in it is ambiguous")
        raise ApiProblem(Kind.BAD_REQUEST, f"The body is not JSON (RFC 8259): {why}.") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is repeated")
    return members


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _too_large(most: int) -> ApiProblem:
    return ApiProblem(
        Kind.TOO_LARGE, f"A body here has at most {most:,} octets. Send it in smaller parts."
    )
