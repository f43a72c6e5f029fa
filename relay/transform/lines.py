"""Line ends and line lengths (RFC 5322 sections 2.1.1 and 2.3), on whole blocks of octets."""

from __future__ import annotations

import re

MAX_LINE = 998
"""Octets in a line without its CRLF (RFC 5322 section 2.1.1)."""

_EMPTY_LINE = re.compile(rb"(?:\A|\n)\r?\n")
_SPACE_RUN = re.compile(rb"[ \t]+")


def bare(content: bytes) -> tuple[int, int]:
    """How many LF stand without CR before them, and how many CR without LF after them."""
    pairs = content.count(b"\r\n")
    return content.count(b"\n") - pairs, content.count(b"\r") - pairs


def header_end(content: bytes | memoryview) -> int:
    """How many octets of a message as it came belong to the header: up to and with its first empty
    line (RFC 5322 section 2.1), whose line ends may be bare LF, or all when there is none."""
    match = _EMPTY_LINE.search(content)
    return match.end() if match else len(content)


def cut(content: bytes) -> tuple[bytes, bytes]:
    """Header and body of a message as it came, at ``header_end``."""
    end = header_end(content)
    return content[:end], content[end:]


def mend(content: bytes) -> bytes:
    """Every line end as CRLF: a bare LF becomes CRLF, a CR without LF becomes a space.

    ``CR CR LF`` is therefore a space and one line end, and never an empty line.
    """
    return content.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")


def long_line(content: bytes, start: int = 0) -> int:
    """Where the first line over MAX_LINE octets begins at or after ``start``, or -1.

    ``start`` is the beginning of a line and all lines end in CRLF. It hops from the last line end
    that a permitted line could reach to the next, so ordinary lines are never looked at singly.
    """
    end = len(content)
    while end - start > MAX_LINE:
        newline = content.rfind(b"\n", start, start + MAX_LINE + 2)
        if newline < 0:
            return start
        start = newline + 1
    return -1


def fold_body(body: bytes) -> bytes:
    """The body with its long lines broken by CRLF SP, everything else as it was."""
    parts = []
    start = 0
    while (begin := long_line(body, start)) >= 0:
        end = body.index(b"\r\n", begin)
        parts += [body[start:begin], fold_line(body[begin:end])]
        start = end
    return b"".join([*parts, body[start:]])


def fold_field(raw: bytes) -> bytes:
    """A header field (ending in CRLF) with its long lines folded; unfolding gives it back.

    Runs of white space in a long line become one space, so that no fold can leave a line of
    white space alone, which some readers take for the end of the header (RFC 5322 section 4.2).
    Raises ValueError when the name itself fills the line.
    """
    name = raw.index(b":") + 1
    if name > MAX_LINE // 2:
        raise ValueError("header field name too long to fold")
    lines = raw[:-2].split(b"\r\n")
    kept = []
    for number, line in enumerate(lines):
        if len(line) <= MAX_LINE:
            kept.append(line)
        elif number == 0:
            kept.append(fold_line(line[:name] + _squeezed(line[name:]), floor=name))
        elif squeezed := _squeezed(line):
            kept.append(fold_line(squeezed))
    return b"\r\n".join(kept) + b"\r\n"


def fold_line(line: bytes, floor: int = 1) -> bytes:
    """One line without its CRLF, broken by CRLF SP into lines of at most MAX_LINE octets.

    The break goes before the last space that fits and lies at or behind ``floor``; a line without
    one is broken between two characters (UTF-8), with a space added.
    """
    pieces = []
    position, room = 0, MAX_LINE
    lead = b""
    while len(line) - position > room:
        cut = line.rfind(b" ", max(position + 1, floor), position + room + 1)
        following = b""
        if cut < 0:
            cut = _character_boundary(line, position + room)
            following = b" "
        pieces.append(lead + line[position:cut])
        position, lead = cut, following
        room = MAX_LINE - len(lead)
    pieces.append(lead + line[position:])
    return b"\r\n".join(pieces)


def _squeezed(text: bytes) -> bytes:
    return _SPACE_RUN.sub(b" ", text).rstrip(b" ")


def _character_boundary(line: bytes, cut: int) -> int:
    """The nearest place at or up to three octets before ``cut`` where a UTF-8 character begins."""
    for place in range(cut, cut - 4, -1):
        if line[place] & 0xC0 != 0x80:
            return place
    return cut
