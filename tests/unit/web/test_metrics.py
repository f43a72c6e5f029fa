from __future__ import annotations

import httpx
from prometheus_client import CollectorRegistry, Gauge

from relay.tasks import Tasks
from relay.web.metrics import metrics_app
from relay.web.server import WebServer


async def test_serves_the_registry_and_nothing_else() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("relay_spool_messages", "Copies waiting.", registry=registry)

    async def refresh() -> None:
        gauge.inc()

    server = WebServer(metrics_app(registry, refresh), "127.0.0.1:0", Tasks(), "http.metrics")
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://{server.bound}", verify=False) as client:
        first = await client.get("/metrics")
        assert first.status_code == 200
        assert first.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "relay_spool_messages 1.0" in first.text
        assert "relay_spool_messages 2.0" in (await client.get("/metrics")).text
        opened = await client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert opened.text.endswith("# EOF\n")
        for path in ("/", "/metrics/", "/healthz", "/u/x"):
            assert (await client.get(path)).status_code == 404
        assert (await client.post("/metrics")).status_code == 405
    await server.stop()
