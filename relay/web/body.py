"""Reads the small forms that the public pages take; nothing larger, nothing slower."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from urllib.parse import parse_qsl

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

MAX_BODY = 8_192
"""Octets: the longest form we have is a few dozen."""
BODY_SECONDS = 10.0
"""Seconds that a client has for it."""


class BadForm(Exception):
    """The body is no form that we could read; ``status`` is the HTTP status that says why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def read_form(request: Request) -> list[tuple[str, str]]:
    """Names and values of an urlencoded or multipart body, in order; files are left out.

    A body without Content-Type is read as urlencoded: a mail provider that forgets the field
    still means what it says. Raises BadForm.
    """
    body = await read_body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("", "application/x-www-form-urlencoded"):
        try:
            # A line end behind the form is a program's habit, and no part of the last value.
            text = body.decode("ascii").rstrip("\r\n")
            return parse_qsl(text, keep_blank_values=True, max_num_fields=20)
        except ValueError as error:
            raise BadForm(400) from error
    if kind == "multipart/form-data":
        parser = MultiPartParser(request.headers, _once(body), max_files=0, max_fields=20)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise BadForm(400) from error
        return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    raise BadForm(400)


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """The octets of a body of at most ``most``. Raises BadForm: 413, 408, or 400 when the client
    is gone."""
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise BadForm(413)
    except TimeoutError as error:
        raise BadForm(408) from error
    except ClientDisconnect as error:
        raise BadForm(400) from error
    return body


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
