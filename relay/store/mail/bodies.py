"""Large bodies as files, ``bodies/XY/ID``: written, synced and named before their row commits."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from relay.ports import StoreTrouble
from relay.store.sqlite.disk import sync_directory
from relay.store.sqlite.transaction import trouble

log = logging.getLogger("relay.store")

ORPHAN_SECONDS: Final = 3_600
_UNFINISHED: Final = ".part"


class BodyFiles:
    """The directory of body files. Used in threads; no file is ever written twice."""

    def __init__(self, root: Path) -> None:
        self._root: Final = root
        self._pinned = 0
        self._leftover: list[str] = []
        root.mkdir(mode=0o700, exist_ok=True)

    def path(self, message_id: str) -> Path:
        """Where the body of a message is."""
        if not message_id or set(message_id) & set("/\\\0") or message_id.startswith("."):
            raise ValueError("a message id must be a plain file name")
        spread = hashlib.sha256(message_id.encode()).hexdigest()[:2]
        return self._root / spread / message_id

    def write(self, message_id: str, octets: bytes) -> None:
        """Write and sync file and name. Raises StoreTrouble (DiskFull), leaving no trace."""
        path = self.path(message_id)
        unfinished = path.with_name(path.name + _UNFINISHED)
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(mode=0o700, exist_ok=True)
                sync_directory(self._root)
            file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb", buffering=0) as out:
                view = memoryview(octets)
                while view:
                    view = view[out.write(view) :]
                os.fsync(file)
            unfinished.rename(path)
            sync_directory(path.parent)
        except OSError as error:
            for left in (unfinished, path):
                with contextlib.suppress(OSError):
                    left.unlink(missing_ok=True)
            raise trouble(error) from error

    def read(self, message_id: str, size: int) -> bytes:
        """The octets. Raises StoreTrouble when they are missing or not ``size`` long."""
        try:
            octets = self.path(message_id).read_bytes()
        except OSError as error:
            log.error("%s: the body file of accepted mail cannot be read: %s", message_id, error)
            raise StoreTrouble(f"the body of {message_id} cannot be read") from error
        if len(octets) != size:
            log.error("%s: body file has %d octets of %d", message_id, len(octets), size)
            raise StoreTrouble(f"the body of {message_id} is damaged")
        return octets

    def remove(self, message_ids: Iterable[str]) -> None:
        """Remove files whose rows are gone; what cannot be removed is swept at the next start."""
        if self._pinned:
            self._leftover.extend(message_ids)
            return
        for message_id in message_ids:
            with contextlib.suppress(OSError):
                self.path(message_id).unlink()

    @contextlib.contextmanager
    def pinned(self) -> Iterator[None]:
        """Keep files that are no longer needed while a backup copies them."""
        self._pinned += 1
        try:
            yield
        finally:
            self._pinned -= 1
            if not self._pinned:
                leftover, self._leftover = self._leftover, []
                self.remove(leftover)

    def sweep(self, known: set[str], now: float) -> int:
        """Delete what no row knows and is older than an hour, and report rows without a file.

        Returns how many files accepted mail lacks: there should be none, ever.
        """
        missing = set(known)
        for path in self._root.glob("*/*"):
            if path.name in known:
                missing.discard(path.name)
            elif now - path.stat().st_mtime > ORPHAN_SECONDS:
                path.unlink(missing_ok=True)
        for message_id in sorted(missing):
            log.error("%s: accepted mail has lost its body file", message_id)
        return len(missing)
