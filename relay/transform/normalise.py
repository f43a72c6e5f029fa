"""The door: a message as it came becomes the octets that are judged, stored, signed and sent.

After this no octet of the body ever changes, and of the header only whole fields come and go.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import Literal

from relay.transform.headers import Field, HeaderBlock, field
from relay.transform.lines import bare, fold_body, fold_field, long_line, mend
from relay.transform.signatures import without_broken

_REMOVED = frozenset({"bcc", "resent-bcc", "return-path"})
_CONSENT = "x-consent-"

# The separator line of an mbox file, left in by scripts that pipe one; ``From :`` is a field.
_MBOX_LINE = re.compile(rb">?From (?![ \t]*:)[^\r\n]*\r\n")

# A mailbox without domain, alone, with a comment, or in angle brackets after a display name.
_ATOMS = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_BARE_FROM = (
    re.compile(rb"(From[ \t]*:[^@<>\r\n]*<[ \t]*%b)([ \t]*>[ \t]*\r\n)" % _ATOMS, re.I),
    re.compile(rb"(From[ \t]*:[ \t]*%b)([ \t]*(?:\([^()@\r\n]*\))?[ \t]*\r\n)" % _ATOMS, re.I),
)


class Problem(StrEnum):
    """Why content is refused."""

    NUL = "nul"
    BARE_NEWLINE = "bare-newline"
    LONG_LINE = "long-line"
    HEADER_TOO_LARGE = "header-too-large"
    MALFORMED_HEADER = "header"


class ContentRefused(Exception):
    """The content cannot be taken as it is; ``problem`` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.value)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Normalised:
    """A message after the door. All lines end in CRLF and hold at most 998 octets."""

    header: bytes
    """Goes out: up to and including the empty line."""
    body: bytes
    facts_header: bytes
    """``header`` before Bcc, Return-Path and ``X-Consent-*`` were removed: for decisions only."""
    touched: frozenset[str]
    """Names (lower case) of the fields that were added, removed or changed."""
    body_touched: bool
    """Whether a stray CR (also one in the header) or a long body line had to give way."""


def normalise(
    header: bytes,
    body: bytes,
    *,
    hostname: str,
    unique: str,
    now: float,
    bare_newlines: Literal["normalise", "reject"],
    long_lines: Literal["fold", "reject"],
    max_header_bytes: int,
) -> Normalised:
    """Bring a message (as received, dot-stuffing removed) into the form that never changes again.

    ``header`` ends where :func:`~relay.transform.lines.header_end` says, ``body`` is the rest.

    Bare LF becomes CRLF and a stray CR a space (RFC 5321 section 2.3.8); lines over 998 octets are
    folded; Date and Message-ID are added and a bare From is qualified with ``hostname`` (RFC 6409
    section 8); Bcc, Return-Path and ``X-Consent-*`` are removed, and with a change every
    DKIM-Signature that it breaks. ``unique`` becomes the left side of an added Message-ID, ``now``
    (seconds since the epoch) its Date.

    Raises ContentRefused.
    """
    (header, body), stray = _line_ends(header, body, bare_newlines)
    header = _whole(header, max_header_bytes)
    try:
        block = HeaderBlock.parse(header)
    except ValueError as error:
        raise ContentRefused(Problem.MALFORMED_HEADER) from error

    touched: set[str] = set()
    if long_line(header) >= 0:
        block = _folded(block, touched, long_lines)
    body_touched = stray
    if long_line(body) >= 0:
        if long_lines == "reject":
            raise ContentRefused(Problem.LONG_LINE)
        body = fold_body(body)
        body_touched = True

    names = {name for name, _ in block.fields}
    facts = _completed(block, names, touched, hostname=hostname, unique=unique, now=now)
    removed = [name for name in names if name in _REMOVED or name.startswith(_CONSENT)]
    touched.update(removed)
    outgoing = facts.without(*removed) if removed else facts
    if body_touched:
        outgoing = outgoing.without("dkim-signature")
    else:
        outgoing = without_broken(outgoing, touched)

    facts_header = header if facts is block and not touched else bytes(facts)
    return Normalised(
        header=facts_header if outgoing is facts else bytes(outgoing),
        body=body,
        facts_header=facts_header,
        touched=frozenset(touched),
        body_touched=body_touched,
    )


def _line_ends(
    header: bytes, body: bytes, policy: Literal["normalise", "reject"]
) -> tuple[tuple[bytes, bytes], bool]:
    """Header and body with CRLF line ends only, and whether a stray CR had to give way."""
    if b"\0" in header or b"\0" in body:
        raise ContentRefused(Problem.NUL)
    feeds, returns = (a + b for a, b in zip(bare(header), bare(body), strict=True))
    if feeds or returns:
        if policy == "reject":
            raise ContentRefused(Problem.BARE_NEWLINE)
        # An LF ends the header, so that neither part needs to see the other.
        header, body = mend(header), mend(body)
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    return (header, body), returns > 0


def _whole(header: bytes, max_header_bytes: int) -> bytes:
    """The header from its first field to its empty line."""
    header = header[match.end() :] if (match := _MBOX_LINE.match(header)) else header
    if len(header) > max_header_bytes:
        raise ContentRefused(Problem.HEADER_TOO_LARGE)
    if header and not header.endswith(b"\r\n"):
        header += b"\r\n"
    if not header.endswith(b"\r\n\r\n") and header != b"\r\n":
        header += b"\r\n"  # RFC 5322 section 3.5: without an empty line there is no body
    return header


def _folded(
    block: HeaderBlock, touched: set[str], policy: Literal["fold", "reject"]
) -> HeaderBlock:
    if policy == "reject":
        raise ContentRefused(Problem.LONG_LINE)
    fields = []
    for name, raw in block.fields:
        if long_line(raw) < 0:
            fields.append(Field(name, raw))
            continue
        try:
            fields.append(Field(name, fold_field(raw)))
        except ValueError as error:
            raise ContentRefused(Problem.MALFORMED_HEADER) from error
        touched.add(name)
    return HeaderBlock(tuple(fields))


def _completed(
    block: HeaderBlock,
    names: Set[str],
    touched: set[str],
    *,
    hostname: str,
    unique: str,
    now: float,
) -> HeaderBlock:
    """The block with what RFC 6409 section 8 lets a submission server add."""
    if "from" in names:
        block = _qualified(block, touched, hostname)
    missing = []
    if "date" not in names:
        missing.append(field("Date", format_datetime(datetime.fromtimestamp(now, UTC))))
        touched.add("date")
    if "message-id" not in names:
        missing.append(field("Message-ID", f"<{unique}@{hostname}>"))
        touched.add("message-id")
    return block.append(*missing) if missing else block


def _qualified(block: HeaderBlock, touched: set[str], hostname: str) -> HeaderBlock:
    fields = list(block.fields)
    for index, (name, raw) in enumerate(fields):
        if name != "from" or b"@" in raw:
            continue
        for form in _BARE_FROM:
            if match := form.fullmatch(raw):
                qualified = b"%b@%b%b" % (match[1], hostname.encode("ascii"), match[2])
                fields[index] = Field(name, qualified)
                touched.add("from")
                break
    return HeaderBlock(tuple(fields)) if "from" in touched else block
