"""The API as one ASGI application (served on ``http.admin``)."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from relay.api import (
    attesting,
    consents,
    erasures,
    events,
    expiring,
    hooks,
    importing,
    lists,
    optouts,
    problems,
    quarantine,
    recording,
    webhooks,
)
from relay.api.document import document, operation_id
from relay.api.front import Front
from relay.api.idempotency import Idempotency
from relay.api.paths import DOCUMENT, PREFIX
from relay.api.problems import ApiProblem, Kind
from relay.api.services import Services
from relay.ports import StoreTrouble

ROUTERS: tuple[APIRouter, ...] = (
    lists.router,
    consents.router,
    recording.router,
    expiring.router,
    erasures.router,
    attesting.router,
    importing.router,
    optouts.router,
    events.router,
    webhooks.router,
    hooks.router,
    quarantine.router,
)


async def _wrong_method(request: Request, error: Exception) -> Response:
    # Starlette names the methods of the first route that has the path, and there may be others.
    path = request.url.path.removeprefix(PREFIX)
    routes = [route for router in ROUTERS for route in router.routes]
    methods = {
        method
        for route in routes
        if isinstance(route, APIRoute) and route.path_regex.fullmatch(path)
        for method in route.methods or ()
    }
    return problems.wrong_method(methods or {"GET"})


def api_app(services: Services) -> ASGIApp:
    """Everything under ``/api/v1``; on every path only for who brings a valid key.

    Raises ValueError when ``http.trusted_proxies`` names something that is no network.
    """
    app = FastAPI(
        openapi_url=DOCUMENT,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        # A redirect to another spelling of the path would be built from the client's Host field.
        redirect_slashes=False,
        # It would tell other systems of queries, which hold addresses.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        generate_unique_id_function=operation_id,
    )
    app.state.services = services
    app.state.idempotency = Idempotency(services.store.idempotency, services.pepper, services.clock)
    app.add_exception_handler(ApiProblem, problems.on_problem)
    app.add_exception_handler(HTTPException, problems.on_http)
    app.add_exception_handler(Kind.METHOD.status, _wrong_method)
    app.add_exception_handler(RequestValidationError, problems.on_invalid)
    app.add_exception_handler(StoreTrouble, problems.on_store_trouble)
    app.add_exception_handler(Exception, problems.on_failure)
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)

    @cache
    def described() -> dict[str, Any]:
        return document(app, ROUTERS, importlib.metadata.version("consent-relay"))

    app.openapi = described  # type: ignore[method-assign]
    return Front(app, lambda: services.store.directory, services.settings, services.clock)
