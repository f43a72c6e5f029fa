"""``/u/TOKEN``: GET shows and changes nothing, POST withdraws at once (RFC 8058; B18, B21, B22)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from relay.model import ScopeLevel
from relay.ports import StoreTrouble
from relay.web.messages import NOT_UNDERSTOOD, RECORD_ASKED, UNSUBSCRIBE_UNKNOWN, message
from relay.web.optouts import OptOuts
from relay.web.own_view import OwnRecords
from relay.web.pages import language_of, page
from relay.web.visitors import Visitors, agent, fields, later, token_of

_ONE_CLICK = ("List-Unsubscribe", "One-Click")
_BUTTON = ("confirm", "1")
_RECORD = ("record", "1")
_SCOPE = "scope"
_WIDER = {"brand": ScopeLevel.BRAND, "tenant": ScopeLevel.TENANT}


class Unsubscribe:
    """Handles both methods of ``/u/TOKEN``."""

    def __init__(
        self,
        optouts: OptOuts,
        own_records: OwnRecords,
        visitors: Visitors,
        operator: str,
    ) -> None:
        self._optouts = optouts
        self._own_records = own_records
        self._visitors = visitors
        self._operator = operator

    async def show(self, request: Request) -> Response:
        """GET and HEAD: who sends what to whom, and what each button stops."""
        try:
            found = await self._optouts.describe(token_of(request))
        except StoreTrouble:
            return later(request)
        if found is None:
            return self._unknown(request)
        return page(request, "unsubscribe.html", optout=found, operator=self._operator)

    async def withdraw(self, request: Request) -> Response:
        """POST: the one-click body of a mail program, or a button of our page.

        The one-click body never names a scope: what stops there is what was agreed to.
        """
        form = await fields(request)
        if isinstance(form, Response):
            return form
        asked = [value for name, value in form if name == _SCOPE]
        try:
            if _ONE_CLICK in form:
                return await self._withdraw(request, "one-click", None)
            if _BUTTON in form and not asked:
                return await self._withdraw(request, "page", None)
            if _BUTTON in form and len(asked) == 1 and asked[0] in _WIDER:
                return await self._withdraw(request, "page", _WIDER[asked[0]])
            if _RECORD in form:
                return await self._record(request)
            # A token that we never made gets the same answer whatever the body was.
            known = await self._optouts.describe(token_of(request)) is not None
        except StoreTrouble:
            return later(request)
        return message(request, NOT_UNDERSTOOD, 400) if known else self._unknown(request)

    async def _withdraw(self, request: Request, channel: str, scope: ScopeLevel | None) -> Response:
        done = await self._optouts.withdraw(
            token_of(request),
            channel=channel,
            ip=self._visitors.ip(request),
            user_agent=agent(request),
            scope=scope,
        )
        if done is None:
            return self._unknown(request)
        if channel == "one-click":
            return PlainTextResponse("unsubscribed\n")
        return page(request, "unsubscribed.html", optout=done, operator=self._operator)

    async def _record(self, request: Request) -> Response:
        known = await self._own_records.request_link(
            token_of(request), language=language_of(request), ip=self._visitors.ip(request)
        )
        return message(request, RECORD_ASKED) if known else self._unknown(request)

    def _unknown(self, request: Request) -> Response:
        return self._visitors.unknown(request, UNSUBSCRIBE_UNKNOWN)
