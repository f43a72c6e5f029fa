"""``/p/TOKEN``: a person's own record, its stop buttons and its receipt (no login, no cookie).

The link was mailed to the address on request and is good for one hour.
"""

from __future__ import annotations

import json
import re

from starlette.requests import Request
from starlette.responses import Response

from relay.ports import Clock, StoreTrouble
from relay.web.messages import NOT_UNDERSTOOD, RECORD_EXPIRED, message
from relay.web.own_view import OwnRecords, OwnView
from relay.web.pages import page
from relay.web.record_words import BASES, CHANNELS, EVENTS, STATES
from relay.web.visitors import Visitors, agent, fields, later, token_of

_STOP = re.compile(r"(tenant|brand|list):([0-9]{1,18})")
_WORDS = {"states": STATES, "bases": BASES, "events": EVENTS, "channels": CHANNELS}


class OwnRecord:
    """Handles ``/p/TOKEN``, ``/p/TOKEN/receipt`` and ``/p/TOKEN/receipt.json``."""

    def __init__(
        self, own_records: OwnRecords, visitors: Visitors, clock: Clock, operator: str
    ) -> None:
        self._own_records = own_records
        self._visitors = visitors
        self._clock = clock
        self._operator = operator

    async def show(self, request: Request) -> Response:
        """GET and HEAD: what is on record, with a stop button for each consent."""
        return await self._view(request, "own_record.html")

    async def printable(self, request: Request) -> Response:
        """GET: the same as one plain page for paper."""
        return await self._view(request, "receipt.html")

    async def receipt(self, request: Request) -> Response:
        """GET: the same for machines, as a download."""
        try:
            found = await self._own_records.receipt(token_of(request))
        except StoreTrouble:
            return later(request)
        if found is None:
            return self._unknown(request)
        return Response(
            json.dumps(found, ensure_ascii=False, indent=2) + "\n",
            media_type="application/json",
            headers={"Content-Disposition": 'attachment; filename="receipt.json"'},
        )

    async def stop(self, request: Request) -> Response:
        """POST ``stop=SCOPE:ID``: withdraws there at once, and shows the record as it is then."""
        form = await fields(request)
        if isinstance(form, Response):
            return form
        token = token_of(request)
        asked = _STOP.fullmatch(dict(form).get("stop", ""))
        try:
            if asked is None:
                known = await self._own_records.view(token) is not None
                if known:
                    return message(request, NOT_UNDERSTOOD, 400)
                return self._unknown(request)
            found = await self._own_records.stop(
                token,
                scope=asked[1],
                scope_id=int(asked[2]),
                ip=self._visitors.ip(request),
                user_agent=agent(request),
            )
        except StoreTrouble:
            return later(request)
        return self._page(request, "own_record.html", found, stopped=True)

    async def _view(self, request: Request, template: str) -> Response:
        try:
            found = await self._own_records.view(token_of(request))
        except StoreTrouble:
            return later(request)
        return self._page(request, template, found)

    def _page(
        self, request: Request, template: str, found: OwnView | None, stopped: bool = False
    ) -> Response:
        if found is None:
            return self._unknown(request)
        return page(
            request,
            template,
            view=found,
            token=token_of(request),
            now=self._clock.now(),
            stopped=stopped,
            operator=self._operator,
            words=_WORDS,
        )

    def _unknown(self, request: Request) -> Response:
        return self._visitors.unknown(request, RECORD_EXPIRED)
