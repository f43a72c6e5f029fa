"""``/s/TENANT/LIST``: the hosted sign-up form (clauses B5, B7-B11; S14).

What a browser shows is the notice as it is stored; what comes back names the version that was
shown. The box is never ticked by us, not even after a fault, and nothing in the URL fills a field.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from relay.decide.address import AddressError, parse_address
from relay.ports import StoreTrouble
from relay.web.asking import Asked, SignUpRequest, SignUps
from relay.web.messages import ASKED_TOO_OFTEN, MAILBOX, NO_SUCH_PAGE, NOT_OPEN, message
from relay.web.pages import language_of, page
from relay.web.visitors import Visitors, agent, fields, later

ACT = "ticked the box and pressed the button"
"""What a person has done when our form is complete."""
RETRY_AFTER = 60
"""Seconds after which a network that asked too often may ask again."""

_NUMBER = re.compile(r"[0-9]{1,18}")
_LONGEST_ADDRESS = 320
"""Characters of an address that come back on the form; none that is longer is one."""


class SignUp:
    """Handles both methods of ``/s/TENANT/LIST``."""

    def __init__(
        self, signups: SignUps, visitors: Visitors, public_url: str, operator: str
    ) -> None:
        self._signups = signups
        self._visitors = visitors
        self._base = public_url.rstrip("/")
        self._operator = operator

    async def show(self, request: Request) -> Response:
        """GET and HEAD: the notice, one field, one box."""
        try:
            return await self._form(request)
        except StoreTrouble:
            return later(request)

    async def ask(self, request: Request) -> Response:
        """POST: one uniform answer for every address that could be one."""
        form = await fields(request)
        if isinstance(form, Response):
            return form
        values = dict(form)
        try:
            return await self._ask(request, values)
        except StoreTrouble:
            return later(request)

    async def _ask(self, request: Request, values: dict[str, str]) -> Response:
        typed = values.get("address", "").strip()[:_LONGEST_ADDRESS]
        shown = values.get("notice", "")
        fault = _fault(typed)
        agreed = values.get("agree") == "yes"
        if fault or not agreed or not _NUMBER.fullmatch(shown):
            return await self._form(request, typed, fault, agreed, shown)
        language = language_of(request)
        tenant, mailing_list = _where(request)
        outcome = await self._signups.ask(
            SignUpRequest(
                tenant=tenant,
                mailing_list=mailing_list,
                address=typed,
                notice=int(shown),
                language=language,
                ip=self._visitors.ip(request),
                user_agent=agent(request),
                form_url=f"{self._base}/s/{tenant}/{mailing_list}",
                act=ACT,
            )
        )
        if outcome is Asked.TAKEN:
            return message(request, MAILBOX)
        if outcome is Asked.TOO_MANY:
            response = message(request, ASKED_TOO_OFTEN, 429)
            response.headers["Retry-After"] = str(RETRY_AFTER)
            return response
        if outcome is Asked.UNKNOWN_LIST:
            return message(request, NO_SUCH_PAGE, 404)
        if outcome is Asked.NO_SENDER:
            return message(request, NOT_OPEN, 503)
        fault = "form" if outcome is Asked.BAD_ADDRESS else ""
        return await self._form(request, typed, fault, agreed, "" if not fault else shown)

    async def _form(
        self,
        request: Request,
        typed: str = "",
        fault: str = "",
        agreed: bool = False,
        shown: str | None = None,
    ) -> Response:
        """The form; ``shown`` is the version that came back with a form, None for a first look."""
        tenant, mailing_list = _where(request)
        notice = await self._signups.notice(tenant, mailing_list, language_of(request))
        if notice is None:
            return message(request, NO_SUCH_PAGE, 404)
        return page(
            request,
            "sign_up.html",
            200 if shown is None else 400,
            notice=notice,
            typed=typed,
            fault=fault,
            agreed=agreed,
            again=shown is not None,
            changed=shown is not None and shown != str(notice.number),
            operator=self._operator,
        )


def _where(request: Request) -> tuple[str, str]:
    return request.path_params["tenant"], request.path_params["list"]


def _fault(typed: str) -> str:
    if not typed:
        return "empty"
    try:
        domain = parse_address(typed).domain
    except AddressError:
        return "form"
    # Right by the grammar, but on a form for everybody these are slips of the keyboard.
    return "form" if "." not in domain or domain.startswith("[") else ""
