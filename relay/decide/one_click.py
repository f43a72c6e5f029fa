"""The one-click address that a sender's own mail carries (RFC 8058)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from relay.model import Address, Message

_HTTPS = re.compile(r"<\s*(https://[!-;=?-~]+)\s*>", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|[0-9a-f]*:[0-9a-f:.]*", re.IGNORECASE)
"""A name, or an IPv6 address."""
LONGEST = 4_096
"""Octets of an address; it is kept for weeks, long after the mail that brought it has gone."""
LEAST_PORT = 1_024
"""Below it only 443: nothing else that answers there is a web site's."""


def one_click_url(message: Message, person: Address, own_base: str) -> str | None:
    """The first https address in List-Unsubscribe, if it may be called for ``person``, the only
    recipient, when List-Unsubscribe-Post stands beside it (RFC 8058 section 3.1); else None.

    None too when To or Cc name anybody else, whose address it may be; and for a link of ours, below
    the URL ``own_base``: it would tell us, once more, what we know.
    """
    if message.list_unsubscribe is None or not message.list_unsubscribe_post:
        return None
    if any(other.wide != person.wide for other in message.addressees):
        return None
    found = _HTTPS.search(message.list_unsubscribe)
    if found is None or len(found[1]) > LONGEST or not callable_url(found[1]):
        return None
    return None if found[1].lower().startswith(f"{own_base.lower()}/") else found[1]


def callable_url(url: str) -> bool:
    """Whether a URL is one that we may call as far as its text goes: http or https, a host, no
    user name, port 443 or 1024 and up (80 for http)."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return (
        usual is not None
        and _HOST.fullmatch(parts.hostname or "") is not None
        and "@" not in parts.netloc
        and "\\" not in url
        and (port is None or port == usual or port >= LEAST_PORT)
    )
