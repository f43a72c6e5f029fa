"""One tar file with all that a relay needs to go on elsewhere."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from relay.ports import StoreTrouble
from relay.store.ledger.heads import FILE
from relay.store.mail.bodies import BodyFiles
from relay.store.sqlite.disk import sync_directory
from relay.store.sqlite.transaction import trouble

DATABASE: Final = "store.db"
JOURNAL: Final = "optouts.jsonl"
HEADS: Final = FILE
KEYS: Final = "keys"
BODIES: Final = "bodies"
SNAPSHOTS: Final = "snapshots"
"""Where in the data directory backups stand until whoever asked has moved them."""


def write_backup(data_dir: Path, path: Path, files: BodyFiles) -> None:
    """Write ``path``, synced and whole or not at all; mail goes on meanwhile.

    Runs in a thread of its own, with a connection that reads only. The journal is copied after
    the database, so that it never lacks an opt-out. Raises StoreTrouble, FileExistsError.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    unfinished = path.with_name(path.name + ".part")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch, files.pinned():
            snapshot = Path(scratch) / DATABASE
            bodies = _snapshot(data_dir / DATABASE, snapshot)
            with (
                os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out,
                tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar,
            ):
                tar.add(snapshot, DATABASE)
                for message_id in bodies:
                    file = files.path(message_id)
                    tar.add(file, f"{BODIES}/{file.parent.name}/{file.name}")
                for name in (KEYS, HEADS, JOURNAL):
                    if (data_dir / name).exists():
                        tar.add(data_dir / name, name)
                tar.close()
                out.flush()
                os.fsync(out.fileno())
        unfinished.rename(path)
        sync_directory(path.parent)
    except (sqlite3.Error, OSError) as error:
        unfinished.unlink(missing_ok=True)
        raise trouble(error) from error


def clear_snapshots(data_dir: Path) -> None:
    """Delete what a crash has left of backups: whole copies of the store, with its keys."""
    shutil.rmtree(data_dir / SNAPSHOTS, ignore_errors=True)


def _snapshot(database: Path, target: Path) -> list[str]:
    """Copy the database as of now; returns the messages whose bodies are files."""
    source = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StoreTrouble(f"the store is damaged: {found}")
        rows = copy.execute("SELECT message_id FROM bodies WHERE in_file = 1").fetchall()
    finally:
        copy.close()
        source.close()
    return [message_id for (message_id,) in rows]
