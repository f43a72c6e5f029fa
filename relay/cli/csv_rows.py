"""Reads a CSV file a chunk at a time, and says what is wrong with it by its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from relay.consent import csv_file
from relay.consent.csv_file import Chunk
from relay.operate.errors import OperationError


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
    """The rows of ``file``: UTF-8 with or without a byte-order mark, see ``csv_file.chunks``.

    Raises OperationError (status 2) for a header that lacks a required column, or no text.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            yield from csv_file.chunks(stream, required)
    except csv_file.HeaderProblem as error:
        raise OperationError(f"{file}:1: {error}", status=2) from error
    except UnicodeDecodeError as error:
        raise OperationError(f"{file} is not UTF-8 text: save it as UTF-8", status=2) from error
    except OSError as error:
        raise OperationError(f"{file} cannot be read: {error.strerror}", status=2) from error
