"""A second file of signed heads, on another disk or in a directory that is shipped away.

It has a thread of its own: a disk that hangs must hold up no mail.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import BinaryIO, Final

log = logging.getLogger("relay.store")

RETRY_SECONDS: Final = 60.0
CLOSE_SECONDS: Final = 5.0
"""How long a stop waits for a copy that hangs."""
BLOCK: Final = 1 << 20
RESTORED: Final = b'"restored":true'


class HeadCopy:
    """Appends to ``path`` whatever ``source`` has more. What cannot be written now is written
    later; the file may be moved away at any time."""

    def __init__(self, source: Path, path: Path) -> None:
        self.path: Final = path
        self._source: Final = source
        self._copied: int | None = None
        """Octets of the source that are in the copy; None before the first look."""
        self._wanted: Final = threading.Event()
        self._stop = False
        self._thread: Final = threading.Thread(target=self._run, name="ledger-heads", daemon=True)
        self._wanted.set()
        self._thread.start()

    def wake(self) -> None:
        """There is more to copy."""
        self._wanted.set()

    def close(self) -> None:
        """Copy what is left, as long as that takes no more than some seconds."""
        self._stop = True
        self._wanted.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        behind = False
        while not self._stop:
            self._wanted.wait(RETRY_SECONDS if behind else None)
            self._wanted.clear()
            behind = not self._catch_up()

    def _catch_up(self) -> bool:
        try:
            with self._source.open("rb") as source:
                if self._copied is None:
                    self._copied = self._begin(source)
                source.seek(self._copied)
                while whole := _whole_lines(source):
                    self._append(whole)
        except OSError as error:
            log.error("ledger heads cannot be copied to %s: %s", self.path, error)
            return False
        return True

    def _append(self, lines: bytes) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while lines:
                written = os.write(file, lines)
                lines = lines[written:]
                self._copied = (self._copied or 0) + written
            os.fsync(file)
        finally:
            os.close(file)

    def _begin(self, source: BinaryIO) -> int:
        """Where to go on: behind the copy's last line; after a restore, which the copy's last
        lines may not have come through, from the line that records it."""
        try:
            with self.path.open("rb") as copy:
                size = copy.seek(0, os.SEEK_END)
                start = max(0, size - BLOCK)
                copy.seek(start)
                end = copy.read()
        except FileNotFoundError:
            return 0
        if size == 0:
            return 0
        source.seek(start)
        if source.read(len(end)) == end:
            return size
        last = end.removesuffix(b"\n").rpartition(b"\n")[2] + b"\n"
        offset, after, restored = 0, None, None
        source.seek(0)
        for line in source:
            restored = offset if RESTORED in line else restored
            offset += len(line)
            after = offset if line == last else after
        if after is None:
            log.warning("%s does not hold what was signed last before now", self.path)
        return next(at for at in (after, restored, offset) if at is not None)


def _whole_lines(source: BinaryIO) -> bytes:
    lines = source.read(BLOCK) + source.readline()
    return lines[: lines.rfind(b"\n") + 1]
