"""The log lines of a message's life, as values and as text.

Field names, order and punctuation are Postfix's, so that pflogsumm and people's habits work. Our
own fields come last and are always all there, which makes them readable from the end of the line
whatever an upstream wrote between the parentheses.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from relay.model import Reason

_DECIDED = frozenset({"held", "dropped", "rejected"})
_MAILBOX = re.compile(r"[^\s<>()\[\]:;,\"@]+@[^\s<>()\[\]:;,\"@]+")

Show: TypeAlias = Callable[[str], str]
"""Turns an address into what the log may show of it."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A transaction was taken: who brought it."""

    id: str
    ip: str
    username: str
    """Credential, ``-`` when there is none."""
    tenant: str

    @property
    def program(self) -> str:
        """The Postfix daemon that logs such a line."""
        return "smtpd"

    def text(self, show: Show) -> str:
        """``ID: client=unknown[ip], sasl_username=…, tenant=…``."""
        return (
            f"{self.id}: client=unknown[{printable(self.ip)}],"
            f" sasl_username={_field(self.username)}, tenant={self.tenant}"
        )


@dataclass(frozen=True, slots=True)
class Queued:
    """A transaction was committed: what it is."""

    id: str
    mail_from: str
    """Empty is the null reverse-path."""
    size: int
    nrcpt: int
    tenant: str
    list: str
    kind: str

    @property
    def program(self) -> str:
        """The Postfix daemon that logs such a line."""
        return "qmgr"

    def text(self, show: Show) -> str:
        """``ID: from=<…>, size=…, nrcpt=…, tenant=…, list=…, kind=…``."""
        return (
            f"{self.id}: from=<{show(self.mail_from)}>, size={self.size}, nrcpt={self.nrcpt}"
            f" (queue active), tenant={self.tenant}, list={self.list or '-'}, kind={self.kind}"
        )


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one recipient's copy."""

    id: str
    to: str
    status: str
    """sent, deferred, bounced, expired, held, dropped or rejected."""
    reply: str
    """What upstream said, or one sentence of ours."""
    relay: str = "none"
    """``host[ip]:port``."""
    delay: float = 0.0
    """Seconds since acceptance."""
    dsn: str = "2.0.0"
    """RFC 3463 status."""
    tenant: str = "-"
    list: str = ""
    reason: Reason | None = None
    rule: str | None = None

    @property
    def program(self) -> str:
        """``policy`` for what we decided, ``smtp`` for what upstream did."""
        return "policy" if self.status in _DECIDED else "smtp"

    def text(self, show: Show) -> str:
        """``ID: to=<…>, relay=…, delay=…, dsn=…, status=… (…)``, tenant, list, reason, rule."""
        return (
            f"{self.id}: to=<{show(self.to)}>, relay={_field(self.relay)}, delay={self.delay:.2f},"
            f" dsn={_field(self.dsn)}, status={self.status} ({printable(self.reply) or '-'}),"
            f" tenant={self.tenant}, list={self.list or '-'}, reason={self.reason or '-'},"
            f" rule={self.rule or '-'}"
        )


Line: TypeAlias = Arrived | Queued | Fate


def fields(line: Line, show: Show) -> dict[str, object]:
    """The same line as named values, for JSON; ``event`` says which it is."""
    values = {name: getattr(line, name) for name in line.__slots__}
    for name in ("to", "mail_from"):
        if name in values:
            values[name] = show(values[name])
    return {"event": type(line).__name__.lower(), **values}


def printable(text: str) -> str:
    r"""``text`` with everything that could start a line or hide ink escaped as ``\xNN``.

    That is all that Unicode calls unprintable: C0 and C1 controls, line and paragraph separators,
    bidirectional overrides, lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def shown(address: str) -> str:
    """An address as it is, unable to end its angle brackets early."""
    return printable(address).replace("<", "\\x3c").replace(">", "\\x3e")


def hashed(pepper: bytes) -> Show:
    """Shows HMAC-SHA256 of an address under ``pepper``, its first 16 octets in hex."""

    def show(address: str) -> str:
        if not address:
            return ""
        key = address.encode("utf-8", "surrogatepass")
        return hmac.digest(pepper, key, "sha256")[:16].hex()

    return show


def without_addresses(text: str) -> str:
    """Free text with whatever looks like a mailbox replaced: upstreams like to repeat them."""
    return _MAILBOX.sub("[address]", text) if "@" in text else text


def _field(text: str) -> str:
    return printable(text).replace(",", "\\x2c")


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
