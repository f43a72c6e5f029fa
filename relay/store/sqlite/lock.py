"""One process at a time: a lock file next to the store."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import Final

from relay.ports import StoreTrouble

LOCK: Final = "store.lock"
"""Its name in the data directory."""


class StoreLock:
    """Held from construction until ``release`` (or until the process is gone, however it went).

    Raises StoreTrouble that names the holder when another process has it.
    """

    def __init__(self, path: Path) -> None:
        self._file: Final = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._file, 200).decode("utf-8", "replace").strip()
            os.close(self._file)
            raise StoreTrouble(
                f"the store in {path.parent} is in use by {holder or 'another process'}"
            ) from error
        command = " ".join(Path(word).name for word in sys.argv[:2]) or "python"
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"process {os.getpid()} ({command})\n".encode(), 0)

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._file)
