"""``/u/TOKEN``: GET shows and changes nothing, POST withdraws at once (RFC 8058; B18, B22)."""

from __future__ import annotations

import math
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from relay.ports import StoreTrouble
from relay.web.body import BadForm, read_form
from relay.web.client_address import IPNetwork, client_address
from relay.web.invalid_tokens import InvalidTokens
from relay.web.optouts import OptOuts
from relay.web.pages import page

RETRY_AFTER = 30
"""Seconds after which a client may ask again when the store could not answer."""

_ONE_CLICK = ("List-Unsubscribe", "One-Click")
_BUTTON = ("confirm", "1")
_LONGEST_TOKEN = 512


class Unsubscribe:
    """Handles both methods of ``/u/TOKEN``."""

    def __init__(
        self,
        optouts: OptOuts,
        invalid: InvalidTokens,
        trusted: tuple[IPNetwork, ...],
        on_optout: Callable[[str, str], None],
        operator: str,
    ) -> None:
        self._optouts = optouts
        self._invalid = invalid
        self._trusted = trusted
        self._on_optout = on_optout
        self._operator = operator

    async def show(self, request: Request) -> Response:
        """GET and HEAD: who sends what to whom, and one button."""
        try:
            found = await self._optouts.describe(_token(request))
        except StoreTrouble:
            return _later(request)
        if found is None:
            return self._unknown(request)
        return page(request, "unsubscribe.html", optout=found, operator=self._operator)

    async def withdraw(self, request: Request) -> Response:
        """POST: the one-click body of a mail program, or the button of our page."""
        try:
            form = await read_form(request)
        except BadForm as error:
            if error.status != 400:
                return page(request, "not_understood.html", error.status)
            form = []
        try:
            if _ONE_CLICK in form:
                return await self._withdraw(request, "one-click")
            if _BUTTON in form:
                return await self._withdraw(request, "page")
            # A token that we never made gets the same answer whatever the body was.
            known = await self._optouts.describe(_token(request)) is not None
        except StoreTrouble:
            return _later(request)
        return page(request, "not_understood.html", 400) if known else self._unknown(request)

    async def _withdraw(self, request: Request, channel: str) -> Response:
        done = await self._optouts.withdraw(
            _token(request),
            channel=channel,
            ip=self._client(request),
            user_agent=request.headers.get("user-agent", "")[:300],
        )
        if done is None:
            return self._unknown(request)
        if done.recorded:
            self._on_optout(done.tenant, channel)
        if channel == "one-click":
            return PlainTextResponse("unsubscribed\n")
        return page(request, "unsubscribed.html", optout=done.page, operator=self._operator)

    def _unknown(self, request: Request) -> Response:
        wait = self._invalid.count(self._client(request))
        if wait > 0:
            response = page(request, "too_many.html", 429)
            response.headers["Retry-After"] = str(math.ceil(wait))
            return response
        return page(request, "not_found.html", 404)

    def _client(self, request: Request) -> str:
        peer = request.client.host if request.client else ""
        return client_address(peer, request.headers.getlist("x-forwarded-for"), self._trusted)


def _token(request: Request) -> str:
    token: str = request.path_params["token"]
    return token if len(token) <= _LONGEST_TOKEN else ""


def _later(request: Request) -> Response:
    response = page(request, "later.html", 503)
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response
