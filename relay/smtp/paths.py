"""Arguments of MAIL and RCPT, parsed on octets (RFC 5321 sections 4.1.1.2, 4.1.1.3 and 4.1.2).

The standard library's parser decodes encoded-words and drops comments, so that an address is
spelled one way for consent and another way upstream (python/cpython#152519); hence our own.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from relay.decide.address import AddressError, parse_address
from relay.model import Address
from relay.smtp import reply
from relay.smtp.reply import Reply

PATH_LIMIT = 256
"""Octets of a path with its brackets (RFC 5321 section 4.5.3.1.3)."""

_PLAIN = re.compile(rb"<([A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+)>(?: +|$)")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")

_MAIL_PARAMETERS = frozenset({"SIZE", "BODY", "SMTPUTF8", "AUTH"})
_BODIES = frozenset({"7BIT", "8BITMIME"})


class CommandError(Exception):
    """An argument that we refuse; ``reply`` says how."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(str(answer))
        self.reply = answer


@dataclass(frozen=True, slots=True)
class MailCommand:
    """``MAIL FROM:`` as understood."""

    path: Address | None
    """None is the null reverse-path ``<>``."""
    size: int = 0
    """Octets the client has declared (RFC 1870); 0 when it did not."""
    smtputf8: bool = False
    params: dict[str, str] = field(default_factory=dict)
    """Upper-case keyword to value as sent; empty for a keyword alone."""


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """``RCPT TO:`` as understood."""

    path: Address
    params: dict[str, str] = field(default_factory=dict)


def parse_mail(arg: bytes) -> MailCommand:
    """Parse what follows ``MAIL ``. Raises CommandError (501, 553 or 555)."""
    path, rest = _path(arg, b"FROM:", reply.MAIL_SYNTAX, reply.BAD_SENDER)
    params = _parameters(rest, _MAIL_PARAMETERS) if rest else {}
    smtputf8 = "SMTPUTF8" in params
    if smtputf8 and params["SMTPUTF8"]:
        raise CommandError(reply.BAD_PARAMETER)
    if "BODY" in params and params["BODY"].upper() not in _BODIES:
        raise CommandError(reply.BAD_PARAMETER)
    if "AUTH" in params and not params["AUTH"]:
        raise CommandError(reply.BAD_PARAMETER)
    size = params.get("SIZE", "0")
    # RFC 1870 section 3: up to 20 digits.
    if not (size.isdigit() and len(size) <= 20):
        raise CommandError(reply.BAD_PARAMETER)
    address = _address(path, smtputf8, reply.BAD_SENDER) if path else None
    return MailCommand(path=address, size=int(size), smtputf8=smtputf8, params=params)


def parse_rcpt(arg: bytes, hostname: str, *, smtputf8: bool = False) -> RcptCommand:
    """Parse what follows ``RCPT ``; ``<postmaster>`` becomes that of ``hostname``.

    ``smtputf8`` says whether MAIL of this transaction asked for it (RFC 6531 section 3.4).
    Raises CommandError (501, 553 or 555).
    """
    path, rest = _path(arg, b"TO:", reply.RCPT_SYNTAX, reply.BAD_RECIPIENT)
    if rest:
        _parameters(rest, ())
    if path.lower() == b"postmaster":
        # RFC 5321 section 4.5.1: the one mailbox without a domain.
        path += b"@" + hostname.encode("ascii")
    return RcptCommand(path=_address(path, smtputf8, reply.BAD_RECIPIENT))


def _path(arg: bytes, keyword: bytes, syntax: Reply, bad: Reply) -> tuple[bytes, bytes]:
    """Split into what stands between the brackets and the parameters."""
    if arg[: len(keyword)].upper() != keyword:
        raise CommandError(syntax)
    # A blank behind the colon is against RFC 5321 section 3.3, and much software sends it.
    arg = arg[len(keyword) :].strip(b" ")
    plain = _PLAIN.match(arg)
    if plain is not None:
        end = plain.end(1)
    elif not arg.startswith(b"<"):
        raise CommandError(bad if arg else syntax)
    else:
        end = _closing_bracket(arg)
        if end < 0 or arg[end + 1 : end + 2] not in (b"", b" "):
            raise CommandError(bad)
    if end >= PATH_LIMIT or _CONTROL.search(arg, 0, end):
        raise CommandError(bad)
    return arg[1:end], arg[end + 1 :]


def _closing_bracket(arg: bytes) -> int:
    """Where the path ends; a bracket inside a quoted string does not end it. -1 when nowhere."""
    quoted = escaped = False
    for at in range(1, len(arg)):
        octet = arg[at]
        if escaped:
            escaped = False
        elif quoted and octet == 0x5C:
            escaped = True
        elif octet == 0x22:
            quoted = not quoted
        elif octet == 0x3E and not quoted:
            return at
    return -1


def _address(path: bytes, smtputf8: bool, bad: Reply) -> Address:
    try:
        text = path.decode("utf-8")
        # RFC 5321 appendix C: source routes are history; the parser must not guess at them.
        if text.startswith("@"):
            raise CommandError(bad)
        if not (smtputf8 or text.isascii()):
            raise CommandError(reply.NEEDS_SMTPUTF8)
        return parse_address(text)
    except (UnicodeDecodeError, AddressError) as error:
        raise CommandError(bad) from error


def _parameters(rest: bytes, known: Collection[str]) -> dict[str, str]:
    params: dict[str, str] = {}
    for word in rest.split(b" "):
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise CommandError(reply.BAD_PARAMETER)
        keyword = match[1].decode("ascii").upper()
        if keyword not in known:
            raise CommandError(reply.UNKNOWN_PARAMETER)
        if keyword in params:
            raise CommandError(reply.BAD_PARAMETER)
        params[keyword] = (match[2] or b"").decode("ascii")
    return params
