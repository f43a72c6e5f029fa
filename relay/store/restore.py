"""Back from a backup, without forgetting an opt-out made after it."""

from __future__ import annotations

import asyncio
import tarfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay import settings as configuration
from relay.ports import Clock, NewEvent, StoreTrouble
from relay.store.backup import JOURNAL
from relay.store.consents import restore_block
from relay.store.journal import read
from relay.store.ledger import OPERATOR_CHAIN
from relay.store.store import Store
from relay.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    replayed: int
    """Opt-outs and other blocks that the backup did not know."""


async def restore(
    archive: Path,
    data_dir: Path,
    *,
    settings: configuration.Store,
    clock: Clock,
    journal: Path | None = None,
) -> Restored:
    """Unpack ``archive`` into ``data_dir``, which must be missing or empty, and replay the opt-out
    journals: the one in the archive, and ``journal``, the one of the store that was lost.

    Every chain gets a ``ledger.discontinuity`` event. Raises StoreTrouble with one sentence.
    """
    lost = await asyncio.to_thread(_read_journal, journal)
    await asyncio.to_thread(_unpack, archive, data_dir)
    records = await asyncio.to_thread(_read_journal, data_dir / JOURNAL)
    # No address is hashed here, so the pepper is not needed.
    store = await Store.open(data_dir, settings=settings, clock=clock, pepper=b"")
    try:
        replayed = await store.writer.write(
            lambda tx: _replay(tx, store, records + lost, clock.now()), essential=True
        )
    finally:
        await store.close()
    return Restored(replayed)


def _unpack(archive: Path, data_dir: Path) -> None:
    try:
        if data_dir.exists() and any(data_dir.iterdir()):
            raise StoreTrouble(f"{data_dir} is not empty: nothing was restored")
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tarfile.open(archive, "r:") as tar:
            tar.extractall(data_dir, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise StoreTrouble(f"{archive} cannot be restored: {error}") from error


def _read_journal(path: Path | None) -> list[dict[str, Any]]:
    if path is None:
        return []
    try:
        return list(read(path))
    except OSError as error:
        raise StoreTrouble(f"{path} cannot be read: {error}") from error


def _replay(tx: Transaction, store: Store, records: list[dict[str, Any]], at: float) -> int:
    replayed = 0
    staged: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        if "import" not in record:
            replayed += restore_block(store.ledger, tx, record)
        elif not record.get("committed"):
            staged[record["import"]].append(record)
        else:
            for row in staged.pop(record["import"], ()):
                replayed += _restore_row(tx, store, row)
    chains = {tenant for (tenant,) in tx.raw.execute("SELECT DISTINCT tenant_id FROM events")}
    store.ledger.append(
        tx,
        [
            NewEvent(tenant, "ledger.discontinuity", at, None, {"replayed": replayed})
            for tenant in sorted(chains | {OPERATOR_CHAIN})
        ],
    )
    return replayed


def _restore_row(tx: Transaction, store: Store, row: Mapping[str, Any]) -> bool:
    """An imported opt-out, unless its import is in the store."""
    known = tx.raw.execute(
        "SELECT 1 FROM suppressions s JOIN imports i ON i.id = s.import_id WHERE s.wide = ?"
        " AND s.tenant_id = ? AND s.brand_id IS ? AND s.list_id IS ? AND s.at = ?"
        " AND i.committed = 1",
        (row["wide"], row["tenant"], row["brand"], row["list"], row["at"]),
    ).fetchone()
    block = {**row, "type": "optout", "channel": "import", "expires_at": None}
    return known is None and restore_block(store.ledger, tx, block)
