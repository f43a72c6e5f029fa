"""Room on the disk: how much is left, and a reserve for opt-outs when there is none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 16 * 1024 * 1024


def free_bytes(directory: Path) -> int:
    """Octets that this process may still write in ``directory``'s file system."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Reserve:
    """A file that takes up room until an opt-out needs it.

    While it is given up, mail is refused, so that only opt-outs and the fates of mail already
    taken use the room it gave back.
    """

    def __init__(self, path: Path, size: int, min_free: int) -> None:
        self._path: Final = path
        self._size: Final = size
        self._min_free: Final = min_free
        self._held = path.exists() and path.stat().st_size == size

    @property
    def held(self) -> bool:
        """Whether the reserve stands."""
        return self._held

    def hold(self) -> bool:
        """Take the room if there is enough; returns whether the reserve stands."""
        if self._held:
            return True
        if free_bytes(self._path.parent) < self._size + self._min_free:
            return False
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(file, 0, self._size)
            finally:
                os.close(file)
        except OSError:
            self.release()
            return False
        self._held = True
        return True

    def release(self) -> bool:
        """Give the room back; returns whether there was any to give."""
        held, self._held = self._held, False
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        return held
