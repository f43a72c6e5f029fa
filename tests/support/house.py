"""A relay with people in it: the tenants, lists and recipients that the black-box tests talk of.

Everything is made by the command line, once; tests get a copy of the folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.relay_process import Relay

CONSENTED = [f"yes{number}@ok.test" for number in range(60)]
"""Consent of basis ``approved`` for shop/news and shop/sale."""
LEFT = [f"left{number}@ok.test" for number in range(10)]
"""Consented to shop/news, then withdrew."""
LEAVING = [f"leaving{number}@ok.test" for number in range(200)]
"""Consented to shop/news; tests may take them out one by one."""


def build_house(directory: Path, settings: Mapping[str, object] | None = None) -> Relay:
    """A stopped relay, upstream not yet named (port 1).

    Tenants: ``shop`` (shop.test; lists news, sale, strict [reject], quiet [drop]: commercial,
    receipts: transactional), ``club`` (club.test; list post: commercial), ``late`` (late.test,
    one recipient a minute). Credentials: one of each tenant's name, ``shop-news`` bound to
    shop/news, ``web``: a gateway.
    """
    relay = Relay(
        directory, 1, {"delivery.retry": [1], "store.min_free_bytes": 1_000_000, **(settings or {})}
    )
    consents = {
        ("shop", "news"): [*CONSENTED, *LEFT, *LEAVING],
        ("shop", "sale"): CONSENTED,
        ("late", "letter"): CONSENTED,
    }
    imports = []
    for (tenant, slug), addresses in consents.items():
        file = directory / f"{tenant}-{slug}.csv"
        rows = "".join(f"{address},approved,2026-01-02T03:04:05Z\n" for address in addresses)
        file.write_text("address,basis,collected_at\n" + rows, "utf-8")
        imports.append(("consent", "import", tenant, slug, str(file), "--source", "shop"))
    left = directory / "left.csv"
    left.write_text("address\n" + "".join(f"{address}\n" for address in LEFT), "utf-8")
    credentials = {
        "shop": ("shop", "shop"),
        "club": ("club", "club"),
        "late": ("late", "late"),
        "shop-news": ("shop", "shop-news", "--list", "news"),
        "web": ("--gateway", "web"),
    }
    relay.batch(
        _tenant("shop"),
        _tenant("club"),
        _tenant("late", "--rate", "1/minute,burst=1"),
        *(("domain", "add", slug, f"{slug}.test") for slug in ("shop", "club", "late")),
        _list("shop", "news", "commercial", "--from", "news@shop.test"),
        _list("shop", "sale", "commercial", "--list-id", "sale.shop.test"),
        _list("shop", "strict", "commercial", "--action", "reject"),
        _list("shop", "quiet", "commercial", "--action", "drop"),
        _list("shop", "receipts", "transactional"),
        _list("club", "post", "commercial"),
        _list("late", "letter", "commercial"),
        ("source", "add", "shop", "--approved"),
        *imports,
        ("optout", "import", "shop", str(left)),
    )
    made = relay.batch(*(("credential", "add", *one, "--json") for one in credentials.values()))
    for name, printed in zip(credentials, made, strict=True):
        secret = json.loads(printed)
        relay.secrets[name] = (secret["username"], secret["secret"])
    return relay


def _tenant(slug: str, *options: str) -> tuple[str, ...]:
    return (
        *("tenant", "add", slug, "--name", f"{slug.title()} BV", "--address"),
        *("Kade 1, Amsterdam", "--contact", f"owner@{slug}.test", *options),
    )


def _list(tenant: str, slug: str, kind: str, *options: str) -> tuple[str, ...]:
    return (
        *("list", "add", tenant, slug, "--kind", kind, "--purpose", f"News of {slug}"),
        *("--promise", "1/week", *options),
    )


def mail(
    subject: str = "Hello",
    *,
    sender: str = "office@shop.test",
    to: str = "somebody@ok.test",
    headers: Sequence[str] = (),
    body: str = "One line.\r\n",
) -> bytes:
    """A small message as software writes it; ``headers`` are whole lines without CRLF."""
    lines = [
        f"From: Sender <{sender}>",
        f"To: <{to}>",
        f"Subject: {subject}",
        "Date: Sun, 22 Nov 2026 10:00:00 +0000",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
