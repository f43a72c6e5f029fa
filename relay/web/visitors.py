"""What the pages have in common: who asks, with which token, and what a wrong one is answered."""

from __future__ import annotations

import math

from starlette.requests import Request
from starlette.responses import Response

from relay.ports import Clock
from relay.settings import Settings
from relay.web.body import BadForm, read_form
from relay.web.client_address import client_address, networks
from relay.web.leaky_buckets import LeakyBuckets
from relay.web.messages import LATER, NOT_UNDERSTOOD, TOO_MANY, Message, message

RETRY_AFTER = 30
"""Seconds after which a client may ask again when the store could not answer."""

_LONGEST_TOKEN = 512
_LONGEST_AGENT = 300


class Visitors:
    """Knows the people at the public door, and counts the wrong tokens that they bring."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Raises ValueError when ``http.trusted_proxies`` names something that is no network."""
        self._invalid = LeakyBuckets(settings.http.invalid_tokens_per_minute, clock)
        self._trusted = networks(settings.http.trusted_proxies)

    def ip(self, request: Request) -> str:
        """Address of the client, seen through trusted proxies."""
        peer = request.client.host if request.client else ""
        return client_address(peer, request.headers.getlist("x-forwarded-for"), self._trusted)

    def unknown(self, request: Request, said: Message) -> Response:
        """The one answer for every token that is not good: 404, or 429 for who tries many."""
        wait = self._invalid.count(self.ip(request))
        if wait > 0:
            response = message(request, TOO_MANY, 429)
            response.headers["Retry-After"] = str(math.ceil(wait))
            return response
        return message(request, said, 404)


def token_of(request: Request) -> str:
    """The token in the path; empty when it is longer than any of ours."""
    token: str = request.path_params["token"]
    return token if len(token) <= _LONGEST_TOKEN else ""


def agent(request: Request) -> str:
    """User-Agent for the evidence, cut to a sane length."""
    return request.headers.get("user-agent", "")[:_LONGEST_AGENT]


async def fields(request: Request) -> list[tuple[str, str]] | Response:
    """The form of a POST, empty when it cannot be read; or the answer to one too long or slow."""
    try:
        return await read_form(request)
    except BadForm as error:
        if error.status != 400:
            return message(request, NOT_UNDERSTOOD, error.status)
        return []


def later(request: Request) -> Response:
    """Our store could not answer: nothing has changed, ask again."""
    response = message(request, LATER, 503)
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response
