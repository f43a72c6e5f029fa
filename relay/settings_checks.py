"""What must be right about the settings beyond the type of each one.

Pure but for opening the files that settings name, to see that they can be read.
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import TypeAlias
from urllib.parse import urlsplit

from relay.settings import Settings

Key: TypeAlias = tuple[str | int, ...]


class Wrong(Exception):
    """A value that the types admit and the relay does not."""

    def __init__(self, key: Key, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key
        self.sentence = sentence


def dotted(key: Key) -> str:
    """``smtp.listeners[0].tls``."""
    out = ""
    for part in key:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port`` as (host, port). Raises ValueError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:\[\]]+)):(\d{1,5})", address)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    if match[1]:
        ipaddress.IPv6Address(match[1])
    return match[1] or match[2], int(match[3])


def is_loopback(host: str) -> bool:
    """Whether a host name or address literal stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check(settings: Settings) -> None:
    """Raises Wrong at the first thing that cannot work; paths must be absolute already."""
    _check_names(settings)
    _check_sockets(settings)
    _check_files(settings)
    _check_public_url(settings.http.public_url)
    for key in ("tenant_rate", "tenant_domain_rate"):
        spec = getattr(settings.limits, key)
        if not re.fullmatch(r"[1-9]\d{0,8}/(second|minute|hour|day)(,burst=[1-9]\d{0,8})?", spec):
            raise Wrong(
                ("limits", key),
                f"limits.{key} must read N/second|minute|hour|day[,burst=N], "
                f"not {json.dumps(spec)}",
            )
    if not settings.delivery.retry or min(settings.delivery.retry) < 1:
        raise Wrong(("delivery", "retry"), "delivery.retry must hold seconds of at least 1")


_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOSTNAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def _check_names(settings: Settings) -> None:
    if not _HOSTNAME.fullmatch(settings.hostname) or len(settings.hostname) > 253:
        raise Wrong(
            ("hostname",), f"hostname must be a host name, not {json.dumps(settings.hostname)}"
        )
    # ":" parts the fields of Feedback-ID.
    if not re.fullmatch(r"[A-Za-z0-9._-]+", settings.feedback_id):
        raise Wrong(("feedback_id",), "feedback_id must be of letters, digits, dots and hyphens")
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", settings.operator.contact):
        raise Wrong(
            ("operator", "contact"),
            f"operator.contact must be a mail address, not {json.dumps(settings.operator.contact)}",
        )
    for index, domain in enumerate(settings.operator.domains):
        if not _HOSTNAME.fullmatch(domain):
            raise Wrong(
                ("operator", "domains", index),
                f"operator.domains must hold domain names, not {json.dumps(domain)}",
            )
    for table, name, networks in (
        ("http", "trusted_proxies", settings.http.trusted_proxies),
        ("outbound", "allow_networks", settings.outbound.allow_networks),
        ("opt_in", "scanner_networks", settings.opt_in.scanner_networks),
    ):
        for index, network in enumerate(networks):
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise Wrong(
                    (table, name, index),
                    f"{table}.{name} must hold networks such as 10.0.0.0/8, "
                    f"not {json.dumps(network)}",
                ) from error


def _check_sockets(settings: Settings) -> None:
    ours: dict[tuple[str, int], str] = {}
    named: list[tuple[Key, str]] = [
        (("smtp", "listeners", index, "address"), listener.address)
        for index, listener in enumerate(settings.smtp.listeners)
    ]
    named += [(("http", key), getattr(settings.http, key)) for key in ("public", "admin")]
    named += [(("http", "metrics"), settings.http.metrics)]
    if not settings.smtp.listeners:
        raise Wrong(("smtp", "listeners"), "smtp.listeners must hold at least one listener")
    for key, address in (*named, (("upstream", "address"), settings.upstream.address)):
        try:
            place = split_address(address)
        except ValueError as error:
            raise Wrong(
                key, f"{dotted(key)} must be host:port or [v6]:port, not {json.dumps(address)}"
            ) from error
        if key[0] == "upstream":
            if place[1] == 0:
                raise Wrong(key, "upstream.address must have a port of 1 to 65535")
            if place in ours:
                raise Wrong(
                    key, f"upstream.address is our own {ours[place]}: mail would go in a circle"
                )
        elif place in ours:
            raise Wrong(key, f"{dotted(key)} is {address}, which {ours[place]} has already")
        elif place[1]:
            ours[place] = dotted(key)


def _check_files(settings: Settings) -> None:
    smtp, upstream = settings.smtp, settings.upstream
    for index, listener in enumerate(smtp.listeners):
        for name in ("tls_certificate", "tls_key"):
            if listener.tls != "none" and getattr(smtp, name) is None:
                raise Wrong(
                    ("smtp", "listeners", index, "tls"),
                    f"smtp.listeners[{index}].tls is {json.dumps(listener.tls)}, "
                    f"which needs smtp.{name}",
                )
    if (smtp.tls_certificate is None) != (smtp.tls_key is None):
        given = "tls_key" if smtp.tls_certificate is None else "tls_certificate"
        raise Wrong(("smtp", given), "smtp.tls_certificate and smtp.tls_key go together")
    if (upstream.username is None) != (upstream.password_file is None):
        given = "password_file" if upstream.username is None else "username"
        raise Wrong(("upstream", given), "upstream.username and upstream.password_file go together")
    for key, path in (
        (("smtp", "tls_certificate"), smtp.tls_certificate),
        (("smtp", "tls_key"), smtp.tls_key),
        (("upstream", "ca_file"), upstream.ca_file),
        (("upstream", "password_file"), upstream.password_file),
        (("operator", "terms_file"), settings.operator.terms_file),
    ):
        if path is not None:
            try:
                path.open("rb").close()
            except OSError as error:
                raise Wrong(
                    key, f"{dotted(key)}: {path} cannot be read ({error.strerror})"
                ) from error


def _check_public_url(url: str) -> None:
    key = ("http", "public_url")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Wrong(key, f"http.public_url is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise Wrong(key, f"http.public_url must be an https URL, not {json.dumps(url)}")
    if parts.query or parts.fragment or parts.username:
        raise Wrong(key, "http.public_url must have no query, fragment or user name")
    # RFC 8058 section 3.1: the List-Unsubscribe URI of one-click is https.
    if parts.scheme == "http" and not is_loopback(host):
        raise Wrong(key, f"http.public_url must be https unless it is loopback, not {url}")
