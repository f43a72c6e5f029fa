"""``/hooks/SECRET``: where the webhooks of other software tell us who left.

The secret is the whole proof, as these senders sign nothing: the URL is shown once, and a wrong
one gets the same answer as any other page that there is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from relay.ports import StoreTrouble
from relay.web.body import BadForm, read_body
from relay.web.messages import NO_SUCH_PAGE
from relay.web.visitors import Visitors, agent, later, token_of

MAX_BODY = 65_536
"""Octets of one webhook, or batch of them."""


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What became of a webhook."""

    understood: bool
    """False: nothing in it could be used; nothing was recorded."""
    recorded: int = 0
    """Opt-outs and complaints that were new; all of them durable and in force."""
    ignored: int = 0
    """Events that change nothing here, such as a new subscription."""
    unreadable: int = 0
    """Persons without an address that could be read."""


class HookDoor(Protocol):
    """Takes webhooks in (``relay.consent.receiving``)."""

    async def opens(self, secret: str) -> bool:
        """Whether there is a hook with this secret. Raises StoreTrouble."""

    async def receive(
        self, secret: str, *, content_type: str, body: bytes, ip: str, user_agent: str
    ) -> HookAnswer | None:
        """Record what ``body`` says, durably; None when no hook has this secret.

        Raises StoreTrouble: the sender is to try again.
        """


def hook_routes(door: HookDoor, visitors: Visitors) -> list[Route]:
    """GET and HEAD answer 200 and change nothing, for senders that try the URL first; POST takes a
    webhook and answers 200 once it is durable. For ``extra`` of ``public_app``."""

    async def probe(request: Request) -> Response:
        try:
            known = await door.opens(token_of(request))
        except StoreTrouble:
            return later(request)
        return PlainTextResponse("ok\n") if known else visitors.unknown(request, NO_SUCH_PAGE)

    async def take(request: Request) -> Response:
        secret = token_of(request)
        try:
            # Before the body: who has no secret need not send us 64 kB.
            if not await door.opens(secret):
                return visitors.unknown(request, NO_SUCH_PAGE)
            answer = await door.receive(
                secret,
                content_type=request.headers.get("content-type", ""),
                body=await read_body(request, MAX_BODY),
                ip=visitors.ip(request),
                user_agent=agent(request),
            )
        except BadForm as error:
            return PlainTextResponse("the body is too long, or came too slowly\n", error.status)
        except StoreTrouble:
            return later(request)
        if answer is None:
            return visitors.unknown(request, NO_SUCH_PAGE)
        if not answer.understood:
            return PlainTextResponse("not understood: see the format of this hook\n", 400)
        return PlainTextResponse(
            f"recorded {answer.recorded}, ignored {answer.ignored},"
            f" unreadable {answer.unreadable}\n"
        )

    return [
        Route("/hooks/{token}", probe, methods=["GET"]),
        Route("/hooks/{token}", take, methods=["POST"]),
    ]
