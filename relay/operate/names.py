"""Reads what a person typed: slugs, addresses, domains, promises; and finds what they name."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from relay.decide.address import AddressError, parse_address
from relay.model import Address, Directory, MailingList, Tenant
from relay.operate.errors import OperationError

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_RATE = re.compile(r"[1-9]\d{0,8}/(second|minute|hour|day)(,burst=[1-9]\d{0,8})?")
_PROMISE = re.compile(r"[1-9]\d{0,3}/(day|week|month)")


def slug(text: str, what: str) -> str:
    """A name that may stand in URLs, headers and metric labels. Raises OperationError."""
    if _SLUG.fullmatch(text) is None:
        raise OperationError(
            f"{what} {text!r} must be 1 to 40 lower-case letters, digits and inner hyphens",
            status=2,
        )
    return text


def line(text: str, what: str) -> str:
    """One line of text that says something. Raises OperationError."""
    text = text.strip()
    if not text or not text.isprintable():
        raise OperationError(f"{what} must be one line of text, not empty", status=2)
    return text


def address(text: str, what: str) -> Address:
    """A mailbox. Raises OperationError."""
    try:
        return parse_address(text.strip())
    except AddressError as error:
        raise OperationError(f"{what} {text!r} is not a mail address: {error}", status=2) from error


def domain(text: str) -> str:
    """A domain of at least two labels as A-label, lower case. Raises OperationError."""
    try:
        found = parse_address(f"postmaster@{text.strip().removesuffix('.')}").domain
    except AddressError as error:
        raise OperationError(f"{text!r} is not a domain: {error}", status=2) from error
    if "." not in found or found.startswith("["):
        raise OperationError(f"{text!r} is not a domain that mail can be sent from", status=2)
    return found


def rate(text: str) -> str | None:
    """``N/second|minute|hour|day[,burst=N]``; empty is None. Raises OperationError."""
    if not text:
        return None
    if _RATE.fullmatch(text) is None:
        raise OperationError(
            f"the rate {text!r} must read N/second|minute|hour|day[,burst=N]", status=2
        )
    return text


def promise(text: str) -> str:
    """``N/day|week|month``. Raises OperationError."""
    if _PROMISE.fullmatch(text) is None:
        raise OperationError(f"the promise {text!r} must read N/day, N/week or N/month", status=2)
    return text


def tenant(directory: Directory, named: str) -> Tenant:
    """The tenant of that slug. Raises OperationError."""
    found = directory.tenant(named)
    if found is None:
        raise OperationError(f"there is no tenant {named!r}")
    return found


def mailing_list(directory: Directory, owner: Tenant, named: str) -> MailingList:
    """The tenant's list of that slug, archived or not. Raises OperationError."""
    found = directory.list_of(owner.id, named)
    if found is None:
        raise OperationError(f"tenant {owner.slug} has no list {named!r}")
    return found


def iso(at: float) -> str:
    """Seconds since the epoch as ``2026-11-22T06:29:00Z``."""
    return datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")
