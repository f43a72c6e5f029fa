"""The metrics listener: ``GET /metrics``, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp


def metrics_app(registry: CollectorRegistry, refresh: Callable[[], Awaitable[None]]) -> ASGIApp:
    """Serves ``registry``; ``refresh`` brings its derived gauges up to date before each answer."""

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        await refresh()
        # With thousands of tenants the text takes tens of milliseconds; mail need not wait for it.
        text = await asyncio.to_thread(encode, registry)
        return Response(text, media_type=None, headers={"Content-Type": content_type})

    app = Starlette(routes=[Route("/metrics", metrics, methods=["GET"])])
    app.router.redirect_slashes = False
    return app
