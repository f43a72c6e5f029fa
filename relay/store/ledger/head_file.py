"""The file of signed heads: lines that each name the one before, so that none can go unnoticed.

A crash may leave half a line. It keeps its place in the count, the next line says ``torn`` and
vouches for what is left of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.store.sqlite.disk import sync_directory

BLOCK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class End:
    """Where the file ends."""

    lines: int
    """How many lines there are; half a line counts."""
    digest: bytes
    """SHA-256 of the last line without its line feed; zeros before the first."""
    torn: bool = False
    """Whether a crash left half a line at the end."""


class HeadFile:
    """One append-only file, opened for the life of the store."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path: Final = path
        made = not path.exists()
        self._file: Final = os.open(
            path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        if made:
            sync_directory(path.parent)
        self.end: End
        self._whole: bool
        self._find_end()

    def append(self, line: bytes) -> None:
        """Write one line, without its line feed, and sync. Raises OSError; nothing, or half a line
        that counts as torn, is left then."""
        octets = (b"" if self._whole else b"\n") + line + b"\n"
        size = os.fstat(self._file).st_size
        try:
            while octets:
                octets = octets[os.write(self._file, octets) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, size)
            self._find_end()
            raise
        self.end = End(self.end.lines + 1, hashlib.sha256(line).digest())
        self._whole = True

    def tail(self, octets: int) -> list[bytes]:
        """The last whole lines, oldest first, as far as they lie in the last ``octets``."""
        size = os.fstat(self._file).st_size
        start = max(0, size - octets)
        lines = os.pread(self._file, size - start, start).split(b"\n")
        return [line for line in lines[1 if start else 0 :] if line]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _find_end(self) -> None:
        size = os.fstat(self._file).st_size
        count, position = 0, 0
        while block := os.pread(self._file, BLOCK, position):
            count += block.count(b"\n")
            position += len(block)
        self._whole = size == 0 or os.pread(self._file, 1, size - 1) == b"\n"
        last = self._last_line(size)
        self.end = End(
            count + (not self._whole),
            hashlib.sha256(last).digest() if size else bytes(32),
            not self._whole and _is_half(last),
        )

    def _last_line(self, size: int) -> bytes:
        end = size - 1 if self._whole and size else size
        length = BLOCK
        while True:
            start = max(0, end - length)
            found = os.pread(self._file, end - start, start)
            line = found.rpartition(b"\n")[2]
            if len(line) < len(found) or start == 0:
                return line
            length *= 2


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and octets, without the line feed, of every line. Raises OSError."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield number, line.removesuffix(b"\n")


def _is_half(line: bytes) -> bool:
    """A crash leaves the beginning of a line; a whole line with something behind it is no crash's
    doing."""
    try:
        json.JSONDecoder().raw_decode(line.decode())
    except (ValueError, RecursionError):
        return True
    return False
