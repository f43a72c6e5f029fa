"""The public listener: pages for recipients and senders, nothing that shows or changes more."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.model import Reason
from relay.ports import Clock
from relay.settings import Settings
from relay.web.asking import SignUps
from relay.web.confirm import Confirm
from relay.web.confirming import Confirmations
from relay.web.messages import LATER, NO_SUCH_PAGE, message
from relay.web.optouts import Health, OptOuts
from relay.web.own_record import OwnRecord
from relay.web.own_view import OwnRecords
from relay.web.pages import content_security_policy, page
from relay.web.reasons import EXPLANATIONS
from relay.web.signup import SignUp
from relay.web.unsubscribe import Unsubscribe
from relay.web.visitors import Visitors


def public_app(
    *,
    optouts: OptOuts,
    signups: SignUps,
    confirmations: Confirmations,
    own_records: OwnRecords,
    health: Health,
    settings: Settings,
    clock: Clock,
    extra: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """``/s/TENANT/LIST``, ``/c/TOKEN``, ``/u/TOKEN``, ``/p/TOKEN``, ``/why/REASON``, ``/healthz``
    and ``/readyz``; ``extra`` are further routes, under the same headers.

    Raises ValueError when ``http.trusted_proxies`` names something that is no network.
    """
    operator = settings.operator.name
    visitors = Visitors(settings, clock)
    unsubscribe = Unsubscribe(optouts, own_records, visitors, operator)
    sign_up = SignUp(signups, visitors, settings.http.public_url, operator)
    confirm = Confirm(confirmations, visitors, operator)
    own_record = OwnRecord(own_records, visitors, clock, operator)

    async def why(request: Request) -> Response:
        try:
            reason = Reason(request.path_params["reason"])
        except ValueError:
            return message(request, NO_SUCH_PAGE, 404)
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
            Route("/s/{tenant}/{list}", sign_up.show, methods=["GET"]),
            Route("/s/{tenant}/{list}", sign_up.ask, methods=["POST"]),
            Route("/c/{token}", confirm.show, methods=["GET"]),
            Route("/c/{token}", confirm.confirm, methods=["POST"]),
            Route("/p/{token}", own_record.show, methods=["GET"]),
            Route("/p/{token}", own_record.stop, methods=["POST"]),
            Route("/p/{token}/receipt", own_record.printable, methods=["GET"]),
            Route("/p/{token}/receipt.json", own_record.receipt, methods=["GET"]),
            Route("/why/{reason}", why, methods=["GET"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            *extra,
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
    return message(request, NO_SUCH_PAGE, 404)


async def _wrong_method(request: Request, error: Exception) -> Response:
    # The framework names the methods of the first route that has this path; GET and POST are two.
    path, routes = request.scope["path"], request.app.routes
    found = [route for route in routes if isinstance(route, Route) and route.path_regex.match(path)]
    allowed = sorted({method for route in found for method in route.methods or ()})
    return PlainTextResponse("method not allowed\n", 405, {"Allow": ", ".join(allowed)})


async def _our_fault(request: Request, error: Exception) -> Response:
    return message(request, LATER, 500)
