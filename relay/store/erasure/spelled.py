"""How an address may be spelled in octets, and the search for it."""

from __future__ import annotations

import base64
import json
import quopri
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import idna

from relay.decide.address import AddressError, parse_address
from relay.ports import StoreTrouble

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Needles:
    """Octets to look for."""

    folded: tuple[bytes, ...]
    """With ASCII letters in lower case: found in any case."""
    exact: tuple[bytes, ...]

    def __bool__(self) -> bool:
        return bool(self.folded)

    @property
    def longest(self) -> int:
        """Octets of the longest."""
        return max(map(len, (*self.folded, *self.exact)), default=0)

    def stand_in(self, octets: bytes) -> bool:
        """Whether any of them stands in ``octets``."""
        lowered = octets.lower()
        return any(needle in lowered for needle in self.folded) or any(
            needle in octets for needle in self.exact
        )


def spellings(texts: Iterable[str]) -> Needles:
    """How addresses may stand in a file: plain, UTF-16, percent-encoded, quoted-printable, as a
    JSON escape, and inside base64 at each of its three alignments; the domain as A-labels and as
    U-labels. Base64 hides the case of letters: the spellings given and lower case are found."""
    folded: set[bytes] = set()
    exact: set[bytes] = set()
    for text in {variant for given in texts for variant in _variants(given)}:
        plain = text.encode()
        folded |= {
            form.lower()
            for form in (
                plain,
                text.encode("utf-16-le"),
                text.encode("utf-16-be"),
                urllib.parse.quote(text, safe="@").encode(),
                urllib.parse.quote(text, safe="").encode(),
                quopri.encodestring(plain).replace(b"=\n", b""),
                plain.replace(b"@", b"=40"),
                json.dumps(text)[1:-1].encode(),
            )
        }
        for shift in range(3):
            encoded = base64.b64encode(bytes(shift) + plain)
            # Octets at both ends share a sextet with their neighbours.
            first = 0 if shift == 0 else shift + 1
            last = (shift + len(plain)) * 8 // 6
            exact.add(encoded[first:last])
    return Needles(tuple(sorted(folded)), tuple(sorted(exact)))


def search(data_dir: Path, needles: Needles, skipped: frozenset[str]) -> tuple[str, ...]:
    """The files below ``data_dir`` in which any needle stands, as relative paths; files and
    folders directly in it that are ``skipped`` are left out. Runs in a thread."""
    found = []
    for path in sorted(data_dir.rglob("*")):
        name = path.relative_to(data_dir)
        if name.parts[0] in skipped or not path.is_file():
            continue
        try:
            if holds(path, needles):
                found.append(str(name))
        except FileNotFoundError:
            continue  # mail that left meanwhile took its body along
        except OSError as error:
            raise StoreTrouble(f"{path} cannot be read: {error}") from error
    return tuple(found)


def holds(path: Path, needles: Needles) -> bool:
    """Whether any needle stands in a file, wherever reads of it begin and end. Raises OSError."""
    before = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            window = before + chunk
            if needles.stand_in(window):
                return True
            before = window[-needles.longest :]
    return False


def _variants(text: str) -> Iterator[str]:
    yield from (text, text.lower())
    try:
        address = parse_address(text)
        domains = (address.domain, idna.decode(address.domain))
    except (AddressError, UnicodeError):
        return  # no address, or a registered name outside IDNA 2008, which is its own spelling
    for local in (address.local, address.exact.rpartition("@")[0]):
        yield from (f"{local}@{domain}" for domain in domains)
