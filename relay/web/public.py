"""The public listener: pages for recipients and senders, nothing that shows or changes more."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.model import Reason
from relay.ports import Clock
from relay.settings import Settings
from relay.web.client_address import networks
from relay.web.invalid_tokens import InvalidTokens
from relay.web.optouts import Health, OptOuts
from relay.web.pages import content_security_policy, page
from relay.web.reasons import EXPLANATIONS
from relay.web.unsubscribe import Unsubscribe


def public_app(
    optouts: OptOuts,
    health: Health,
    settings: Settings,
    clock: Clock,
    on_optout: Callable[[str, str], None],
) -> ASGIApp:
    """``/u/TOKEN``, ``/why/REASON``, ``/healthz`` and ``/readyz``.

    ``on_optout`` is told tenant slug and channel of each opt-out recorded. Raises ValueError when
    ``http.trusted_proxies`` names something that is no network.
    """
    unsubscribe = Unsubscribe(
        optouts,
        InvalidTokens(settings.http.invalid_tokens_per_minute, clock),
        networks(settings.http.trusted_proxies),
        on_optout,
        settings.operator.name,
    )

    async def why(request: Request) -> Response:
        try:
            reason = Reason(request.path_params["reason"])
        except ValueError:
            return page(request, "no_such_page.html", 404)
        return page(
            request,
            "why.html",
            reason=reason.value,
            explanation=EXPLANATIONS[reason],
            operator=settings.operator,
        )

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        able, word = health.ready()
        return PlainTextResponse(f"{word}\n", 200 if able else 503)

    app = Starlette(
        routes=[
            Route("/u/{token}", unsubscribe.show, methods=["GET"]),
            Route("/u/{token}", unsubscribe.withdraw, methods=["POST"]),
            Route("/why/{reason}", why, methods=["GET"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
        ],
        exception_handlers={404: _no_such_page, 405: _wrong_method, 500: _our_fault},
    )
    # A redirect to another spelling of the path would be built from the client's Host field.
    app.router.redirect_slashes = False
    return PrivateHeaders(app)


class PrivateHeaders:
    """Puts on every answer what keeps a token between the person and us."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._fields = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": content_security_policy(),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex, nofollow",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the fields to the answer's head."""

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._fields)
            await send(message)

        await self._app(scope, receive, send_with_fields)


async def _no_such_page(request: Request, error: Exception) -> Response:
    return page(request, "no_such_page.html", 404)


async def _wrong_method(request: Request, error: Exception) -> Response:
    allowed = error.headers if isinstance(error, HTTPException) else None
    return PlainTextResponse("method not allowed\n", 405, allowed)


async def _our_fault(request: Request, error: Exception) -> Response:
    return page(request, "later.html", 500)
