"""Backups, and back from one."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from pathlib import Path

from relay.operate import keyfiles, names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.keyfiles import KeyFileError
from relay.ports import Clock, Json, StoreTrouble
from relay.settings import Settings
from relay.store.backup import HEADS, JOURNAL
from relay.store.restore import restore as restore_store
from relay.store.sqlite.lock import StoreLock


async def snapshot(context: Context) -> Json:
    """Write a backup into the data directory, the one place where a daemon may surely write:
    ``{file}``. Whoever asked moves it to where it belongs."""
    file = context.data_dir / f"backup-{secrets.token_hex(8)}.tar"
    await context.store.backup(file)
    return {"file": str(file)}


def move_into_place(made: Path, wanted: Path) -> int:
    """Move a snapshot to ``wanted`` (mode 0600, synced, never over another file); returns its
    size in octets. Raises OperationError."""
    try:
        descriptor = os.open(wanted, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out, made.open("rb") as snapshot_file:
            shutil.copyfileobj(snapshot_file, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
            size = out.tell()
    except FileExistsError as error:
        raise OperationError(f"{wanted} exists already and is not overwritten", status=2) from error
    except OSError as error:
        wanted.unlink(missing_ok=True)
        raise OperationError(f"{wanted} cannot be written: {error.strerror}") from error
    finally:
        made.unlink(missing_ok=True)
    return size


async def restore(settings: Settings, archive: Path, clock: Clock) -> dict[str, Json]:
    """Put a backup in place of what is in the data directory: ``{data, before, replayed}``.

    What was there is moved aside, and its opt-outs are recorded anew. When the restore fails, it
    is moved back. Raises OperationError.
    """
    data_dir = settings.data_dir
    aside = _set_aside(archive, data_dir, clock)
    journal = aside / JOURNAL if aside is not None else None
    try:
        restored = await restore_store(
            archive,
            data_dir,
            settings=settings.store,
            clock=clock,
            journal=journal,
            heads=aside / HEADS if aside is not None else None,
        )
        await asyncio.to_thread(_check_keys, data_dir, aside)
        await asyncio.to_thread(_make_private, data_dir, aside)
    except (StoreTrouble, KeyFileError, OperationError) as error:
        if aside is not None:
            shutil.rmtree(data_dir, ignore_errors=True)
            aside.rename(data_dir)
        raise OperationError(f"nothing was restored: {error}") from error
    return {
        "data": str(data_dir),
        "before": str(aside) if aside is not None else None,
        "replayed": restored.replayed,
    }


def _set_aside(archive: Path, data_dir: Path, clock: Clock) -> Path | None:
    """Where the data directory is now; None when there was nothing in it."""
    if not archive.is_file():
        raise OperationError(f"there is no file {archive}", status=2)
    if not data_dir.exists() or not any(data_dir.iterdir()):
        return None
    stamp = names.iso(clock.now()).replace(":", "").replace("-", "")
    aside = data_dir.with_name(f"{data_dir.name}.before-{stamp}")
    try:
        lock = StoreLock(data_dir / "store.lock")
        try:
            data_dir.rename(aside)
        finally:
            lock.release()
    except StoreTrouble as error:
        raise OperationError(f"stop the relay first: {error}") from error
    except OSError as error:
        raise OperationError(f"{data_dir} cannot be moved aside: {error.strerror}") from error
    return aside


def _check_keys(data_dir: Path, aside: Path | None) -> None:
    """Opt-outs made since are known by hashes, which mean nothing under another pepper."""
    keys = keyfiles.load(data_dir)
    if aside is None:
        return
    try:
        before = keyfiles.load(aside)
    except KeyFileError:
        return  # what was lost cannot be compared
    if before.pepper != keys.pepper:
        raise OperationError(
            f"the backup is another relay's (its pepper differs); to start from it all the same, "
            f"move {data_dir} away first"
        )


def _make_private(data_dir: Path, aside: Path | None) -> None:
    """For the owner alone; and root restores for the user of the service."""
    owner = aside.stat() if aside is not None and os.geteuid() == 0 else None
    for path in (data_dir, *data_dir.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if owner is not None:
            os.chown(path, owner.st_uid, owner.st_gid)
