"""A header block as octets: fields can be found, left out and added, never rewritten.

What is not touched leaves byte for byte as it came, so that signatures made by the client over
other fields keep holding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

# RFC 5322 section 2.2 (names are printable ASCII but the colon); white space before the colon is
# obsolete syntax (section 4.5) that old software still writes. Tried at line starts only, so that
# a header without colons costs no more than one with them.
_FIELD = re.compile(rb"(?m)^(([!-9;-~]+)[ \t]*:[^\r\n]*\r\n(?>[ \t][^\r\n]*\r\n)*)")
_NAME = re.compile(r"[!-9;-~]+")
_FORBIDDEN = re.compile(rb"[\r\n\0]")


class Field(NamedTuple):
    """One header field: its name in lower case, and its octets up to the final CRLF."""

    name: str
    raw: bytes

    @property
    def value(self) -> bytes:
        """What stands after the colon, unfolded (RFC 5322 section 2.2.3), without outer space."""
        return self.raw.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")


@dataclass(frozen=True, slots=True)
class HeaderBlock:
    """The fields of a message in their order, top first."""

    fields: tuple[Field, ...]

    @classmethod
    def parse(cls, header: bytes) -> HeaderBlock:
        """Read a header block whose lines end in CRLF, with or without its final empty line.

        Raises ValueError when a line is neither a field nor a fold (a wrong guess here is how
        two mail systems come to disagree about where the body begins).
        """
        block = header[:-2] if header.endswith(b"\r\n\r\n") or header == b"\r\n" else header
        found = _FIELD.findall(block)
        # findall skips what does not match: nothing was skipped when all octets are accounted for
        if sum([len(raw) for raw, _ in found]) != len(block):
            raise ValueError("a header line is neither a field nor a fold")
        # the tuple constructor itself: twice as fast as the one that NamedTuple makes
        new = tuple.__new__
        return cls(tuple([new(Field, (name.lower().decode(), raw)) for raw, name in found]))

    def __bytes__(self) -> bytes:
        """The block with its final empty line."""
        return b"".join([raw for _, raw in self.fields]) + b"\r\n"

    def get(self, name: str) -> tuple[bytes, ...]:
        """The unfolded values of every field of that name (lower case), top first."""
        return tuple([field.value for field in self.fields if field.name == name])

    def without(self, *names: str) -> HeaderBlock:
        """The block without any field of these names (lower case)."""
        return HeaderBlock(tuple([field for field in self.fields if field.name not in names]))

    def append(self, *raws: bytes) -> HeaderBlock:
        """The block with whole fields (as ``field`` makes them) put at its end, in this order.

        Raises ValueError unless each is exactly one field.
        """
        return HeaderBlock(self.fields + tuple([_one(raw) for raw in raws]))


def field(name: str, value: str) -> bytes:
    """One header field on one line, with its CRLF; non-ASCII goes as UTF-8 (RFC 6532).

    Raises ValueError when ``name`` is no field name or ``value`` holds CR, LF or NUL: no value
    can make a second field.
    """
    octets = value.encode("utf-8")
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a header field name: {name!r}")
    if _FORBIDDEN.search(octets):
        raise ValueError(f"line break or NUL in the value of {name}")
    return b"%b: %b\r\n" % (name.encode("ascii"), octets)


def _one(raw: bytes) -> Field:
    match = _FIELD.fullmatch(raw)
    if match is None:
        raise ValueError("not exactly one header field")
    return Field(match[2].decode("ascii").lower(), raw)
