"""Reads what a client says about a consent: each field whole and usable as evidence, or refused.

What is kept here may have to convince a regulator years later, so nothing is guessed, cut or
mended: a field that says too little is a field to send again.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from relay.decide.address import AddressError, parse_address
from relay.model import Address

EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
"""No consent to mail is older."""
AHEAD_SECONDS: Final = 86_400
"""How far a date may lie in the future: a day, for dates written in another time zone."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST_URL: Final = 2_000


class RecordingRefused(ValueError):
    """A consent that cannot be recorded as it was sent: one sentence that names the field and
    what to do. It holds no secret and may be shown to the tenant."""


def address(value: object, field: str) -> Address:
    """A mailbox. Raises RecordingRefused."""
    if not isinstance(value, str):
        raise RecordingRefused(f"{field} must be a mail address")
    try:
        return parse_address(value.strip())
    except AddressError as error:
        raise RecordingRefused(f"{field} is not a mail address: {error}") from error


def text(value: object, field: str, *, most: int, empty: bool = False, lines: bool = False) -> str:
    """Printable text of at most ``most`` characters; of several lines only if ``lines``.

    Raises RecordingRefused.
    """
    if not isinstance(value, str):
        raise RecordingRefused(f"{field} must be a text")
    said = value.strip()
    if not said and not empty:
        raise RecordingRefused(f"{field} must not be empty")
    if len(said) > most:
        raise RecordingRefused(f"{field} is longer than {most} characters")
    plain = said.replace("\r", "").replace("\n", "").replace("\t", "") if lines else said
    if plain and not plain.isprintable():
        raise RecordingRefused(f"{field} holds characters that cannot be shown")
    return said


def url(value: object, field: str) -> str:
    """An http or https address. Raises RecordingRefused."""
    said = text(value, field, most=_LONGEST_URL)
    try:
        parts = urlsplit(said)
    except ValueError as error:
        raise RecordingRefused(f"{field} is not a web address") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RecordingRefused(f"{field} must be a whole web address, https://…")
    return said


def ip(value: object, field: str) -> str:
    """An IP address in its one spelling. Raises RecordingRefused."""
    if not isinstance(value, str):
        raise RecordingRefused(f"{field} must be an IP address, as a text")
    try:
        return str(ipaddress.ip_address(value.strip()))
    except ValueError as error:
        raise RecordingRefused(f"{field} is not an IP address") from error


def sha256(value: object, field: str, of: str) -> str:
    """A SHA-256 in hex, lower case. ``of`` says what is to be hashed. Raises RecordingRefused."""
    said = value.strip().lower() if isinstance(value, str) else ""
    if _SHA256.fullmatch(said) is None:
        raise RecordingRefused(f"{field} must be the SHA-256 of {of}, 64 hex digits")
    return said


def date(value: object, field: str, now: float) -> float:
    """An ISO 8601 date or time as seconds since the epoch; without a zone it is UTC, and never
    later than ``now``. Raises RecordingRefused."""
    try:
        given = datetime.fromisoformat(value.strip() if isinstance(value, str) else "")
        at = given.replace(tzinfo=given.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise RecordingRefused(
            f"{field} is not a date such as 2026-11-22 or 2026-11-22T06:29Z"
        ) from error
    if not EARLIEST <= at <= now + AHEAD_SECONDS:
        raise RecordingRefused(f"{field} lies in the future, or before 1990")
    return min(at, now)


def flag(value: object, field: str) -> bool:
    """Yes or no, as JSON or as a spreadsheet writes it. Raises RecordingRefused."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in ("true", "yes", "1"):
        return True
    if word in ("false", "no", "0"):
        return False
    raise RecordingRefused(f"{field} must say yes or no")
