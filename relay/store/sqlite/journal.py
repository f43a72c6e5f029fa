"""Append-only files outside the database: one JSON object a line, synced before it counts."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from relay.ports import Json
from relay.store.sqlite.disk import sync_directory

log = logging.getLogger("relay.store")


# Made once: ``json.dumps`` makes a new one for each call that wants other than its defaults.
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(value: Json) -> str:
    """The one JSON spelling of a value: sorted keys, no spaces, no escapes but the needed."""
    return _CANONICAL.encode(value)


class Journal:
    """One append-only file, opened for the life of the store."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        made = not path.exists()
        self._file: Final = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        if made:
            sync_directory(path.parent)
        self._torn = not made and not _ends_with_newline(path)

    def append(self, records: Sequence[Mapping[str, Json]]) -> None:
        """Write and sync. Raises OSError; half a line left by a failure is skipped by readers."""
        lines = "".join(canonical(record) + "\n" for record in records).encode()
        if self._torn:
            lines = b"\n" + lines
        self._torn = True
        while lines:
            lines = lines[os.write(self._file, lines) :]
        os.fsync(self._file)
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal, in order; nothing when there is no such file."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError:
                log.warning("%s line %d is damaged and was skipped", path.name, number)
                continue
            if isinstance(record, dict):
                yield record


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
