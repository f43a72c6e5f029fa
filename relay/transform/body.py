"""The body hash of DKIM (RFC 6376 section 3.7, ``bh=``), computed once per message."""

from __future__ import annotations

import hashlib
import re

_PIECE = 1 << 20
"""Octets canonicalised at a time: memory stays flat however large the body is."""

_SPACES = bytes.maketrans(b"\t", b" ")
_REVERSED_LINE_ENDS = re.compile(rb"(?:\n\r)*")


def body_hash(body: bytes) -> bytes:
    """SHA-256 over the body in relaxed canonical form (RFC 6376 section 3.4.4).

    The same octets as dkimpy's ``Relaxed.canonicalize_body`` on any input, without its passes over
    single characters and its copy of the whole body.
    """
    digest = hashlib.sha256()
    pending = 0
    blank = True
    start = 0
    while start < len(body):
        end = _piece_end(body, start)
        piece = _relaxed(body[start:end])
        start = end
        trailing = _trailing_line_ends(piece)
        text = len(piece) - 2 * trailing
        if not text:
            pending += trailing
            continue
        while pending:
            run = min(pending, _PIECE)
            digest.update(b"\r\n" * run)
            pending -= run
        digest.update(memoryview(piece)[:text])
        pending = trailing
        blank = False
    if not blank:
        digest.update(b"\r\n")
    return digest.digest()


def _piece_end(body: bytes, start: int) -> int:
    """The end of about one piece, always behind a line end so that no run of space is cut."""
    limit = start + _PIECE
    if limit >= len(body):
        return len(body)
    newline = body.rfind(b"\n", start, limit)
    if newline < 0:
        newline = body.find(b"\n", limit)
    return len(body) if newline < 0 else newline + 1


def _relaxed(piece: bytes) -> bytes:
    """White space of RFC 6376 section 3.4.4, but for the empty lines at the end."""
    if b"\t" in piece:
        piece = piece.translate(_SPACES)
    while b"  " in piece:
        piece = piece.replace(b"  ", b" ")
    return piece.replace(b" \r\n", b"\r\n")


def _trailing_line_ends(piece: bytes) -> int:
    tail = piece[len(piece.rstrip(b"\r\n")) :]
    pairs = len(tail) // 2
    if tail == b"\r\n" * pairs:
        return pairs
    match = _REVERSED_LINE_ENDS.match(tail[::-1])
    return match.end() // 2 if match else 0
