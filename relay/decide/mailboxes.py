"""A bounded reader of the mailbox lists in From, Sender and Reply-To (RFC 5322 section 3.4).

One pass over at most ``MAX_FIELD`` characters, no recursion, no backtracking: the standard
library's parser spends 11 s on 80 kB of quoted words and dies on 2,000 open parentheses. What is
taken is the current grammar with comments and groups, plus two harmless habits of web software
(dots and brackets in a bare name, the address repeated as its own bare name). Obsolete forms are
refused, because two readers could take different authors from them.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header

from relay.decide.address import AddressError, parse_address
from relay.model import Address

MAX_FIELD = 8_192
"""Characters of a field that are read; a longer one is refused."""
MAX_MAILBOXES = 50
"""Mailboxes in one field; more are refused."""
_MAX_DECODED = 1_000

_TOKEN = re.compile(
    r"""(?P<space>[ \t]+)
      | (?P<quoted>"[^"\\]*(?:\\.[^"\\]*)*")
      | (?P<literal>\[[^\[\]\\]*\])
      | (?P<atom>[^ \t()<>\[\]:;@\\,."]+)
      | (?P<special>[(<>:;@,.])""",
    re.VERBOSE | re.DOTALL,
)
_IN_COMMENT = re.compile(r"\\.|[()]", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

_Token = tuple[str, str]


class MailboxError(ValueError):
    """The field is no RFC 5322 mailbox list."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One author or addressee: the decoded display name (may be empty) and the address."""

    display: str
    address: Address


def read_mailboxes(text: str) -> tuple[Mailbox, ...]:
    """Every mailbox of an unfolded field value, in order, group members included.

    An empty group gives none. Raises MailboxError when any part of the text cannot be read.
    """
    if len(text) > MAX_FIELD:
        raise MailboxError("the field is too long")
    found: list[Mailbox] = []
    for run in _runs(text):
        if len(found) == MAX_MAILBOXES:
            raise MailboxError("the field holds too many mailboxes")
        found.append(_mailbox(run))
    return tuple(found)


def decoded(text: str, limit: int) -> str:
    """A header text for people: encoded-words (RFC 2047) decoded, one line, no controls.

    At most ``limit`` characters. Whatever cannot be decoded stays as it is.
    """
    text = text[:_MAX_DECODED]
    if "=?" in text:
        text = _decode_words(text)
    text = " ".join(text.split())
    if not text.isprintable():
        text = "".join(filter(str.isprintable, text))
    return text[:limit]


def _decode_words(text: str) -> str:
    try:
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "ascii", "replace")
            for part, charset in decode_header(text)
        )
    except (HeaderParseError, LookupError, ValueError, binascii.Error):
        # A made-up charset or broken base64: people then see what was sent.
        return text


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise MailboxError("a character stands where it may not")
        if match[0] == "(":
            at = _after_comment(text, at)
            yield "space", " "
        else:
            at = match.end()
            yield match.lastgroup or "", match[0]


def _after_comment(text: str, start: int) -> int:
    depth = 0
    for match in _IN_COMMENT.finditer(text, start):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth -= 1
            if depth == 0:
                return match.end()
    raise MailboxError("a comment is not closed")


def _runs(text: str) -> Iterator[list[_Token]]:
    """The tokens of each mailbox, with list commas and group brackets taken off."""
    run: list[_Token] = []
    in_angle = in_group = closed = False
    for token in _tokens(text):
        kind, value = token
        if kind != "special":
            if closed and kind != "space":
                raise MailboxError("text follows a group")
            run.append(token)
            continue
        if in_angle and value in "<,:;":
            raise MailboxError("a source route or a list stands inside angle brackets")
        if closed and value != ",":
            raise MailboxError("text follows a group")
        if value == ":" and not in_group:
            _phrase(run)
            in_group, run = True, []
        elif value == ";" and in_group:
            if any(kind != "space" for kind, _ in run):
                yield run
            in_group, closed, run = False, True, []
        elif value == ",":
            if not closed:
                yield run
            closed, run = False, []
        elif value in ":;":
            raise MailboxError("a group is malformed")
        else:
            in_angle = value == "<" or (in_angle and value != ">")
            run.append(token)
    if in_group:
        raise MailboxError("a group is not closed")
    if not closed:
        yield run


def _mailbox(run: list[_Token]) -> Mailbox:
    run = _stripped(run)
    if ("special", "<") not in run:
        return Mailbox("", _address(run))
    start = run.index(("special", "<"))
    if run[-1] != ("special", ">") or run.count(("special", ">")) != 1:
        raise MailboxError("angle brackets do not match")
    address = _address(_stripped(run[start + 1 : -1]))
    name = _stripped(run[:start])
    if ("special", "@") in name:
        # `info@example.test <info@example.test>`: unquoted, but it can name nobody else.
        if "".join(value for _, value in name).lower() != address.wire.lower():
            raise MailboxError("the display name holds an address that is not the author's")
        return Mailbox(address.wire, address)
    return Mailbox(_phrase(name) if name else "", address)


def _stripped(run: list[_Token]) -> list[_Token]:
    start, end = 0, len(run)
    while start < end and run[start][0] == "space":
        start += 1
    while end > start and run[end - 1][0] == "space":
        end -= 1
    return run[start:end]


def _address(run: list[_Token]) -> Address:
    # RFC 5322 3.4.1: nothing should stand around the "@"; a space left here fails the grammar.
    try:
        return parse_address("".join(value for _, value in run))
    except AddressError as error:
        raise MailboxError(str(error)) from error


def _phrase(run: list[_Token]) -> str:
    words: list[str] = []
    for kind, value in _stripped(run):
        if kind == "special" and value != ".":
            raise MailboxError("a name holds a character that must be quoted")
        if kind == "quoted":
            words.append(_ESCAPED.sub(r"\1", value[1:-1]))
        else:
            words.append(value)
    if not words:
        raise MailboxError("a group has no name")
    return decoded("".join(words), 200)
