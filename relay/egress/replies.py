"""What an upstream says, read as hostile input.

A reply ends up in logs, notices and on screens, and it decides about mail: it is parsed strictly,
bounded, and every character that could act (line ends, escapes, bidirectional marks) is replaced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LINES = 64
MAX_LINE = 512
"""Octets kept of a line (RFC 5321 4.5.3.1.5) and lines kept of a reply; more is dropped."""
MAX_REPLY = MAX_LINES * MAX_LINE
"""Octets after which a reply is given up: it is no reply any more."""
MAX_TEXT = 512

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?=\s|$)")


class BadReply(Exception):
    """What came is not an SMTP reply."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply."""

    code: int
    lines: tuple[str, ...]
    """Text of each line without the code, sanitised."""

    @property
    def positive(self) -> bool:
        """2yz."""
        return self.code // 100 == 2

    @property
    def permanent(self) -> bool:
        """5yz."""
        return self.code // 100 == 5

    @property
    def text(self) -> str:
        """The whole reply on one line, code first, at most 512 characters."""
        words = " ".join(line for line in self.lines if line)
        return f"{self.code} {words}".strip()[:MAX_TEXT]

    @property
    def enhanced(self) -> str:
        """The RFC 3463 status in the text, or one made from the code (RFC 3463: X.0.0)."""
        match = _ENHANCED.match(self.lines[0])
        if match and match[1][0] == str(self.code)[0]:
            return match[1]
        return f"{self.code // 100}.0.0"


def sanitise(text: str) -> str:
    """``text`` on one line: whatever is not printable becomes ``?``, a tab a space."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c == "\t" else "?" for c in text)


class ReplyParser:
    """Turns octets, in pieces of any size, into replies (RFC 5321 4.2)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._code = 0
        self._lines: list[str] = []
        self._octets = 0

    @property
    def empty(self) -> bool:
        """True when no part of a reply is waiting for the rest."""
        return not self._buffer and not self._code

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that ``data`` completes. Raises BadReply, after which nothing is valid."""
        self._buffer += data
        replies: list[Reply] = []
        start = 0
        while (end := self._buffer.find(b"\n", start)) >= 0:
            reply = self._line(bytes(self._buffer[start:end]).removesuffix(b"\r"))
            start = end + 1
            if reply is not None:
                replies.append(reply)
        del self._buffer[:start]
        if self._octets + len(self._buffer) > MAX_REPLY:
            raise BadReply("reply too long")
        return replies

    def _line(self, line: bytes) -> Reply | None:
        self._octets += len(line)
        if self._octets > MAX_REPLY:
            raise BadReply("reply too long")
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadReply("not an SMTP reply: " + _shown(line[:60]))
        code = int(match[1])
        if self._code not in (0, code):
            raise BadReply(f"reply changes its code from {self._code} to {code}")
        if len(self._lines) < MAX_LINES:
            self._lines.append(_shown((match[3] or b"")[: MAX_LINE - 4]))
        if match[2] == b"-":
            self._code = code
            return None
        reply = Reply(code, tuple(self._lines))
        self._code, self._lines, self._octets = 0, [], 0
        return reply


def _shown(octets: bytes) -> str:
    return sanitise(octets.decode("utf-8", "replace").strip())
