"""The DATA reader: finds the one true end of a message and takes the dot-stuffing off.

Only CRLF.CRLF ends a message (RFC 5321 section 4.1.1.4), however the octets are cut into
segments. Octets go straight into one growing buffer that becomes the result without a copy, so
that a message costs its own size whatever its lines look like.
"""

from __future__ import annotations

import io

from relay.transform.lines import header_end

END = b"\r\n.\r\n"
_PARTIAL_ENDS = tuple(END[:length] for length in range(len(END) - 1, 0, -1))


class DataReader:
    """Takes chunks as they come until the message is whole."""

    def __init__(self, limit: int) -> None:
        """``limit`` is the largest message kept, in octets without the stuffing."""
        self._limit = limit
        # RFC 5321 section 4.1.1.4: the CRLF that ended the DATA command counts as the first half
        # of the end mark, so an empty message is ".CRLF" alone.
        self._tail = b"\r\n"
        self._skip = 2
        self._kept = io.BytesIO()
        self.size = 0
        """Octets of the message so far, without the stuffing, also when they were thrown away."""
        self.discarding = False
        """True when octets are only counted any more."""

    @property
    def too_large(self) -> bool:
        """Whether the message is over the limit."""
        return self.size > self._limit

    @property
    def held(self) -> int:
        """Octets in memory."""
        return self._kept.tell()

    def feed(self, chunk: bytes) -> bytes | None:
        """Take the next octets; returns what follows the end mark, or None before it came."""
        octets = self._tail + chunk
        end = octets.find(END)
        if end >= 0:
            self._tail = b""
            self._keep(octets[: end + 2])
            return octets[end + len(END) :]
        for partial in _PARTIAL_ENDS:
            if octets.endswith(partial):
                self._tail = partial
                self._keep(octets[: -len(partial)])
                return None
        self._tail = b""
        self._keep(octets)
        return None

    def discard(self) -> None:
        """Throw away what is held and keep nothing more; the end mark is still waited for."""
        self.discarding = True
        self._kept = io.BytesIO()

    def take(self) -> tuple[bytes, bytes]:
        """Header (with its empty line) and body, dots unstuffed, once; empty when thrown away."""
        kept, self._kept = self._kept, io.BytesIO()
        with kept.getbuffer() as octets:
            end = header_end(octets)
            header = bytes(octets[:end])
            # The body moves to the front of the buffer and takes it over: cut out of it, a large
            # message would be in memory twice.
            octets[: len(octets) - end] = octets[end:]
        kept.truncate(kept.tell() - end)
        return header, kept.getvalue()

    def _keep(self, octets: bytes) -> None:
        if not octets:
            return
        # RFC 5321 section 4.5.2: the first dot of a line goes. The tail never cuts this pattern.
        octets = octets.replace(b"\r\n.", b"\r\n")
        if self._skip:
            octets = octets[self._skip :]
            self._skip = 0
        self.size += len(octets)
        if self.discarding:
            return
        if self.too_large:
            self.discard()
        else:
            self._kept.write(octets)
