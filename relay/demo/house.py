"""The demo's sample tenants, lists and people, made by the same operations as yours."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.app import Relay, open_relay
from relay.demo.scenarios import (
    ANNA,
    BURST_ALLOWED,
    BURST_SHOP,
    CARL,
    NEWS_FROM,
    NEWSLETTER,
    RECEIPTS,
    RECEIPTS_FROM,
    SHOP,
)
from relay.operate import new_relay
from relay.operate.operations import OPERATIONS


@dataclass(frozen=True, slots=True)
class House:
    """A running relay with people in it."""

    relay: Relay
    smtp: tuple[str, int]
    public_url: str
    sign_up_url: str
    """The form for the newsletter."""
    metrics_url: str
    accounts: dict[str, tuple[str, str]]
    """User name and secret of each account."""
    domains: dict[str, str]
    """Sender domain of each account."""


async def build(directory: Path, upstream: str) -> House:
    """Make, fill and start a relay in ``directory`` that sends to ``upstream``."""
    smtp, http, metrics = (f"127.0.0.1:{port}" for port in _free_ports(3))
    wanted = new_relay.Wanted(
        hostname="relay.example",
        upstream=upstream,
        smtp=smtp,
        http=http,
        metrics=metrics,
    )
    settings, file = await new_relay.make(directory, wanted)
    quiet = settings.log.model_copy(update={"level": "error"})
    relay = await open_relay(settings.model_copy(update={"log": quiet}), file)
    accounts = await _people(relay)
    await relay.start()
    host, _, port = relay.smtp.addresses[0].rpartition(":")
    return House(
        relay,
        (host, int(port)),
        settings.http.public_url,
        f"{settings.http.public_url}/s/shop/{NEWSLETTER}",
        f"http://{relay.metrics_listener.bound}/metrics",
        accounts,
        {"shop": SHOP, "burst": BURST_SHOP},
    )


async def _people(relay: Relay) -> dict[str, tuple[str, str]]:
    async def do(operation: str, /, **parameters: object) -> Any:
        return await OPERATIONS.call(relay.context, operation, parameters)

    await do(
        "tenant.add",
        slug="shop",
        name="Shop Ltd",
        address="Main Street 1, Utrecht",
        contact=f"owner@{SHOP}",
    )
    await do("domain.add", tenant="shop", domain=SHOP)
    await do("brand.add", tenant="shop", slug="kitchen", name="Kitchen & Co")
    await do(
        "list.add",
        tenant="shop",
        slug=NEWSLETTER,
        kind="commercial",
        purpose="Recipes and offers for the kitchen",
        promise="4/month",
        brand="kitchen",
        from_address=NEWS_FROM,
    )
    await do(
        "list.add",
        tenant="shop",
        slug=RECEIPTS,
        kind="transactional",
        purpose="Orders and accounts",
        promise="100/month",
        from_address=RECEIPTS_FROM,
    )
    await do(
        "tenant.add",
        slug="burst",
        name="Burst Ltd",
        address="Side Street 2, Utrecht",
        contact=f"owner@{BURST_SHOP}",
        rate=f"1/hour,burst={BURST_ALLOWED}",
    )
    await do("domain.add", tenant="burst", domain=BURST_SHOP)
    await do("source.add", slug="sign-up", approved=True)
    await _consents(do)
    await do("consent.withdraw", address=CARL, tenant="shop", list=NEWSLETTER)
    accounts = {}
    for tenant in ("shop", "burst"):
        made = await do("credential.add", tenant=tenant, name="web")
        accounts[tenant] = (made["username"], made["secret"])
    return accounts


async def _consents(do: Any) -> None:
    begun = await do("import.begin_consents", tenant="shop", list=NEWSLETTER, source="sign-up")
    rows = [
        [line, {"address": address, "basis": "approved", "collected_at": "2026-01-02"}]
        for line, address in enumerate((ANNA, CARL), start=2)
    ]
    await do("import.consent_rows", number=begun["import"], source="sign-up", rows=rows)
    await do("import.commit", number=begun["import"])


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports
