"""CSV as spreadsheets and shells write it: a chunk at a time, with line numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    import _csv

CHUNK: Final = 500
"""Rows taken in at once: small transactions leave room for mail between them."""


class HeaderProblem(ValueError):
    """The first line is not the header that is needed; one sentence without the file's name."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of the file."""

    rows: tuple[tuple[int, dict[str, str]], ...]
    """Line number and fields by column name."""
    bad: tuple[tuple[int, str], ...]
    """Line number and why the line is no row."""


def chunks(stream: TextIO, required: Sequence[str]) -> Iterator[Chunk]:
    """The rows of ``stream`` (opened with ``newline=""``): CRLF or LF; comma, semicolon or tab;
    quoted fields. Column names are lower-cased.

    Raises HeaderProblem for a header that lacks a required column, and what reading raises.
    """
    first = stream.readline(65_536)
    delimiter = max((",", ";", "\t"), key=first.count)
    stream.seek(0)
    lines = _Lines(csv.reader(stream, delimiter=delimiter, strict=True))
    columns = _header(lines, required)
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


def _header(lines: _Lines, required: Sequence[str]) -> list[str]:
    _, fields, problem = next(lines, (1, [], "the file is empty"))
    if problem:
        raise HeaderProblem(problem)
    columns = [field.strip().lower() for field in fields]
    for name in required:
        if name not in columns:
            raise HeaderProblem(f"there is no column {name}")
    doubled = next((name for name in columns if columns.count(name) > 1), None)
    if doubled is not None:
        raise HeaderProblem(f"the column {doubled!r} is there twice")
    return columns
