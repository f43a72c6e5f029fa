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
from relay.store.backup import HEADS, JOURNAL, SNAPSHOTS
from relay.store.restore import restore as restore_store
from relay.store.sqlite.disk import sync_directory
from relay.store.sqlite.lock import LOCK, StoreLock


async def snapshot(context: Context) -> Json:
    """Write a backup into the data directory, the one place where a daemon may surely write:
    ``{file}``. Whoever asked moves it to where it belongs."""
    file = context.data_dir / SNAPSHOTS / f"{secrets.token_hex(8)}.tar"
    file.parent.mkdir(mode=0o700, exist_ok=True)
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
    """Put a backup in place of what is in the data directory: ``{data, before, replayed,
    erased_again}``.

    It is unpacked beside it, and moved in once its opt-outs and erasures are up to date: whenever
    it is cut off, the old store or the restored one is there, never one that has forgotten an
    opt-out. What was there is moved aside. Raises OperationError.
    """
    data_dir = settings.data_dir
    fresh = data_dir.with_name(f"{data_dir.name}.restoring")
    lock = _lock(archive, data_dir)
    before = data_dir if lock is not None else None
    try:
        # One that was cut off may have left it.
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        restored = await restore_store(
            archive,
            fresh,
            settings=settings.store,
            clock=clock,
            journal=before / JOURNAL if before is not None else None,
            heads=before / HEADS if before is not None else None,
        )
        await asyncio.to_thread(_check_keys, fresh, before)
        await asyncio.to_thread(_make_private, fresh, before)
        aside = await asyncio.to_thread(_move_in, fresh, data_dir, before, clock)
    except (StoreTrouble, KeyFileError, OperationError, OSError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise OperationError(f"nothing was restored: {error}") from error
    finally:
        if lock is not None:
            lock.release()
    return {
        "data": str(data_dir),
        "before": str(aside) if aside is not None else None,
        "replayed": restored.replayed,
        "erased_again": restored.erased_again,
    }


def _lock(archive: Path, data_dir: Path) -> StoreLock | None:
    """So that nobody uses what is in the data directory; None when there is nothing in it."""
    if not archive.is_file():
        raise OperationError(f"there is no file {archive}", status=2)
    if not data_dir.exists() or not any(data_dir.iterdir()):
        return None
    try:
        return StoreLock(data_dir / LOCK)
    except StoreTrouble as error:
        raise OperationError(f"stop the relay first: {error}") from error
    except OSError as error:
        raise OperationError(f"{data_dir} cannot be locked: {error.strerror}") from error


def _check_keys(fresh: Path, before: Path | None) -> None:
    """Opt-outs made since are known by hashes, which mean nothing under another pepper."""
    keys = keyfiles.load(fresh)
    if before is None:
        return
    try:
        lost = keyfiles.load(before)
    except KeyFileError:
        return  # what was lost cannot be compared
    if lost.pepper != keys.pepper:
        raise OperationError(
            f"the backup is another relay's (its pepper differs); to start from it all the same, "
            f"move {before} away first"
        )


def _make_private(fresh: Path, before: Path | None) -> None:
    """For the owner alone; and root restores for the user of the service."""
    owner = before.stat() if before is not None and os.geteuid() == 0 else None
    for path in (fresh, *fresh.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if owner is not None:
            os.chown(path, owner.st_uid, owner.st_gid)


def _move_in(fresh: Path, data_dir: Path, before: Path | None, clock: Clock) -> Path | None:
    """Where what was there is now; None when there was nothing. All of it is on disk first."""
    os.sync()
    if before is None:
        fresh.rename(data_dir)
        sync_directory(data_dir.parent)
        return None
    stamp = names.iso(clock.now()).replace(":", "").replace("-", "")
    aside = data_dir.with_name(f"{data_dir.name}.before-{stamp}")
    try:
        before.rename(aside)
    except OSError as error:
        raise OperationError(f"{data_dir} cannot be moved aside: {error.strerror}") from error
    try:
        fresh.rename(data_dir)
    except OSError:
        aside.rename(data_dir)
        raise
    sync_directory(data_dir.parent)
    return aside
