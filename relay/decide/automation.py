"""What makes a confirmation look as if a machine had made it (clauses A4, A5).

Mail scanners open links and some press buttons. Nothing here refuses anything: the marks go into
the evidence, and the rulebook decides what such a confirmation is worth.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from relay.model import Automation

NO_PAGE_FETCH: Final = "no-page-fetch"
SECONDS_AFTER_SENDING: Final = "seconds-after-sending"
SECONDS_AFTER_FETCH: Final = "seconds-after-fetch"
SCANNER_NETWORK: Final = "scanner-network"
SCANNER_AGENT: Final = "scanner-agent"

_CERTAIN: Final = frozenset({NO_PAGE_FETCH, SCANNER_NETWORK})

TOO_QUICK_TO_READ: Final = 0.5
"""Seconds between a page leaving us and its button: less than a person needs to see one."""

_AGENTS: Final = (
    # Programs and libraries.
    *("curl/", "wget/", "python-requests", "python-urllib", "python-httpx", "aiohttp", "httpx"),
    *("go-http-client", "okhttp", "java/", "apache-httpclient", "libwww-perl", "lwp", "ruby"),
    *("node-fetch", "axios", "undici", "guzzlehttp", "php/", "winhttp", "microsoft-cryptoapi"),
    # Browsers without a person.
    *("headlesschrome", "phantomjs", "puppeteer", "playwright", "selenium", "slimerjs"),
    # Mail and link scanners, previews, crawlers.
    *(
        "bot/",
        "bot;",
        "bot)",
        "crawler",
        "spider",
        "scanner",
        "barracuda",
        "mimecast",
        "proofpoint",
    ),
    *("fireeye", "symantec", "messagelabs", "trendmicro", "sophos", "cloudmark", "safelinks"),
    *("bingpreview", "googleimageproxy", "google-safety", "slackbot", "facebookexternalhit"),
    *("skypeuripreview", "whatsapp/", "linkpreview", "virustotal", "urlscan"),
)


@dataclass(frozen=True, slots=True)
class Confirming:
    """How a confirmation came about. Times are epoch seconds."""

    at: float
    ip: str
    user_agent: str
    sent_at: float | None
    """When the upstream took the mail, or else when it was queued."""
    fetched_at: float | None
    """When the page was last fetched; None: never."""


def marks(
    confirming: Confirming, *, seconds_after_sending: float, scanner_networks: Sequence[str]
) -> tuple[str, ...]:
    """Everything about a confirmation that speaks for a machine, in a fixed order.

    ``scanner_networks`` are CIDR texts. Raises ValueError when one of them is no network.
    """
    found = []
    if confirming.fetched_at is None:
        found.append(NO_PAGE_FETCH)
    if (
        confirming.sent_at is not None
        and confirming.at - confirming.sent_at < seconds_after_sending
    ):
        found.append(SECONDS_AFTER_SENDING)
    if (
        confirming.fetched_at is not None
        and confirming.at - confirming.fetched_at < TOO_QUICK_TO_READ
    ):
        found.append(SECONDS_AFTER_FETCH)
    if _within(confirming.ip, scanner_networks):
        found.append(SCANNER_NETWORK)
    agent = confirming.user_agent.strip().lower()
    if not agent or any(known in agent for known in _AGENTS):
        found.append(SCANNER_AGENT)
    return tuple(found)


def automation(found: Iterable[str]) -> Automation:
    """How much these marks speak for a machine.

    No person presses a button of a page that was never fetched. Speed and the name of a program
    are another matter: to hold the mail of everybody who is quick would cost real consents.
    """
    named = frozenset(found)
    if named & _CERTAIN:
        return Automation.CERTAIN
    return Automation.SUSPECTED if named else Automation.NO


def _within(ip: str, networks: Sequence[str]) -> bool:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)
