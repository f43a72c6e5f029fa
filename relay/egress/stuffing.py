"""Dot-stuffing (RFC 5321 4.5.2) over content that comes in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

WINDOW = 65_536
"""Octets in one piece: bounds what a large body costs in copies."""


def stuffed(content: Iterable[bytes]) -> Iterator[bytes]:
    """``content`` with a dot added to every line that begins with one, ended by ``CRLF.CRLF``.

    The pieces may break anywhere, also inside a line end. Yields about WINDOW octets at a time;
    the terminator is always in the last piece, so that everything before it can be undone by
    closing the connection.
    """
    held = b""
    tail = b"\r\n"  # the octets before the content end a line: DATA's reply has been read
    for chunk in content:
        for start in range(0, len(chunk), WINDOW):
            piece = chunk[start : start + WINDOW]
            if len(held) >= WINDOW:
                yield held
                held = b""
            if tail == b"\r\n" and piece[:1] == b".":
                held += b"."
            elif tail[-1:] == b"\r" and piece[:2] == b"\n.":
                held += b"\n."
                piece, tail = piece[1:], b"\r\n"
            held += piece.replace(b"\r\n.", b"\r\n..")
            tail = (tail + piece)[-2:]
    yield held + (b".\r\n" if tail == b"\r\n" else b"\r\n.\r\n")
