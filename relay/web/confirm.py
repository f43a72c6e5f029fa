"""``/c/TOKEN``: GET shows what was asked for, POST with the button's field confirms (A4, A5).

Mail scanners open links, follow them with HEAD, add parameters and rewrite methods; none of that
is an act of the person, so none of it changes anything.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from relay.ports import StoreTrouble
from relay.web.confirming import Confirmations, ConfirmPage
from relay.web.messages import CONFIRMATION_DEAD, NOT_UNDERSTOOD, message
from relay.web.pages import page
from relay.web.visitors import Visitors, agent, fields, later, token_of

_BUTTON = ("confirm", "1")


class Confirm:
    """Handles both methods of ``/c/TOKEN``."""

    def __init__(self, confirmations: Confirmations, visitors: Visitors, operator: str) -> None:
        self._confirmations = confirmations
        self._visitors = visitors
        self._operator = operator

    async def show(self, request: Request) -> Response:
        """GET and HEAD: who sends what, how often, to which address, and one button.

        A GET is noted as evidence that the page was seen; a HEAD leaves no trace.
        """
        token = token_of(request)
        try:
            if request.method == "HEAD":
                found = await self._confirmations.peek(token)
            else:
                found = await self._confirmations.fetch(
                    token, ip=self._visitors.ip(request), user_agent=agent(request)
                )
        except StoreTrouble:
            return later(request)
        return self._page(request, found)

    async def confirm(self, request: Request) -> Response:
        """POST: the button."""
        form = await fields(request)
        if isinstance(form, Response):
            return form
        token = token_of(request)
        try:
            if _BUTTON not in form:
                if await self._confirmations.peek(token) is not None:
                    return message(request, NOT_UNDERSTOOD, 400)
                return self._page(request, None)
            done = await self._confirmations.confirm(
                token, ip=self._visitors.ip(request), user_agent=agent(request)
            )
        except StoreTrouble:
            return later(request)
        return self._page(request, done)

    def _page(self, request: Request, found: ConfirmPage | None) -> Response:
        if found is None:
            return self._visitors.unknown(request, CONFIRMATION_DEAD)
        template = "confirmed.html" if found.confirmed else "confirm.html"
        return page(request, template, asked=found, notice=found.notice, operator=self._operator)
