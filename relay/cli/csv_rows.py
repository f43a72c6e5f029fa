"""Reads a CSV file a chunk at a time, with line numbers, in bounded memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from relay.operate.errors import OperationError

if TYPE_CHECKING:
    import _csv

CHUNK: Final = 500
"""Rows sent at once: small transactions leave room for mail between them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of the file."""

    rows: tuple[tuple[int, dict[str, str]], ...]
    """Line number and fields by column name."""
    bad: tuple[tuple[int, str], ...]
    """Line number and why the line is no row."""


def count_lines(file: Path) -> int:
    """Lines of the file, for a progress bar. Raises OperationError."""
    total = 0
    try:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                total += block.count(b"\n")
    except OSError as error:
        raise OperationError(f"{file} cannot be read: {error.strerror}", status=2) from error
    return total


def chunks(file: Path, required: Sequence[str]) -> Iterator[Chunk]:
    """The rows of ``file``: UTF-8 with or without a byte-order mark, CRLF or LF, comma, semicolon
    or tab, quoted fields.

    Raises OperationError (status 2) for a header that lacks a required column, or no text.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            yield from _chunks(file, stream, required)
    except UnicodeDecodeError as error:
        raise OperationError(f"{file} is not UTF-8 text: save it as UTF-8", status=2) from error
    except OSError as error:
        raise OperationError(f"{file} cannot be read: {error.strerror}", status=2) from error


def _chunks(file: Path, stream: TextIO, required: Sequence[str]) -> Iterator[Chunk]:
    first = stream.readline(65_536)
    delimiter = max((",", ";", "\t"), key=first.count)
    stream.seek(0)
    lines = _Lines(csv.reader(stream, delimiter=delimiter, strict=True))
    columns = _header(file, lines, required)
    rows: list[tuple[int, dict[str, str]]] = []
    bad: list[tuple[int, str]] = []
    for number, fields, problem in lines:
        if problem:
            bad.append((number, problem))
        elif fields and len(fields) != len(columns):
            bad.append((number, f"has {len(fields)} fields where the header has {len(columns)}"))
        elif any(fields):
            rows.append((number, dict(zip(columns, fields, strict=True))))
        if len(rows) + len(bad) >= CHUNK:
            yield Chunk(tuple(rows), tuple(bad))
            rows, bad = [], []
    if rows or bad:
        yield Chunk(tuple(rows), tuple(bad))


class _Lines:
    """(line on which a row begins, its fields, what is wrong with it)."""

    def __init__(self, reader: _csv.Reader) -> None:
        self._reader = reader

    def __iter__(self) -> Iterator[tuple[int, list[str], str]]:
        return self

    def __next__(self) -> tuple[int, list[str], str]:
        begin = self._reader.line_num + 1
        try:
            return begin, next(self._reader), ""
        except csv.Error as error:
            return begin, [], f"not CSV: {error}"


def _header(file: Path, lines: _Lines, required: Sequence[str]) -> list[str]:
    _, fields, problem = next(lines, (1, [], "the file is empty"))
    if problem:
        raise OperationError(f"{file}:1: {problem}", status=2)
    columns = [field.strip().lower() for field in fields]
    for name in required:
        if name not in columns:
            raise OperationError(f"{file}:1: there is no column {name}", status=2)
    doubled = next((name for name in columns if columns.count(name) > 1), None)
    if doubled is not None:
        raise OperationError(f"{file}:1: the column {doubled!r} is there twice", status=2)
    return columns
