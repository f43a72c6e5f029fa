"""Back from a backup, without forgetting an opt-out or an erasure made after it, and on record.

Heads that the lost store signed after the backup name events that are gone. A signed line says so,
before anything is written: from there on each chain goes on from where the backup ended, and starts
with an event that says what is known of the gap.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tarfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay import settings as configuration
from relay.ports import Clock, Json, NewEvent, StoreTrouble
from relay.store.backup import DATABASE, HEADS, JOURNAL
from relay.store.directory import spend_ids
from relay.store.erasure.erasure import JOURNALLED
from relay.store.ledger.chain import DISCONTINUITY, OPERATOR_CHAIN, Head
from relay.store.ledger.heads import Heads
from relay.store.ledger.ledger import chain_ends
from relay.store.people.block_journal import erased_blocks, restore_block
from relay.store.sqlite.disk import sync_directory
from relay.store.sqlite.journal import read
from relay.store.sqlite.transaction import Session, Transaction, connect, trouble
from relay.store.store import Store


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    replayed: int
    """Opt-outs and other blocks that the backup did not know."""
    erased_again: int
    """Erasures that the backup did not know."""


@dataclass(frozen=True, slots=True)
class _Gap:
    """Between the backup and now."""

    backup_at: float
    """When the backup was made, epoch seconds."""
    last: Mapping[int, Head]
    """The last event of each chain in the backup."""
    signed: Mapping[int, Head]
    """The last head of each chain that is known to have been signed."""

    def told(self, chain: int) -> dict[str, Json]:
        """What one chain's event says of it."""
        last, signed = self.last.get(chain), self.signed.get(chain)
        lost = signed if signed is not None and signed.seq > (last.seq if last else 0) else None
        return {"backup_at": self.backup_at, "last": _shown(last), "lost": _shown(lost)}


async def restore(
    archive: Path,
    data_dir: Path,
    *,
    settings: configuration.Store,
    clock: Clock,
    journal: Path | None = None,
    heads: Path | None = None,
) -> Restored:
    """Unpack ``archive`` into ``data_dir``, which must be missing or empty, and replay the opt-out
    journals: the one in the archive, and ``journal``, the one of the store that was lost. The
    signed heads go on in ``heads``, the file of that store, when the backup's is its beginning.

    Every chain goes on with a ``ledger.discontinuity`` event: ``{backup_at, last: {seq, hash} |
    null, lost: {seq, hash} | null}``. Raises StoreTrouble with one sentence.
    """
    lost = await asyncio.to_thread(_read_journal, journal)
    backup_at = await asyncio.to_thread(_unpack, archive, data_dir)
    records = await asyncio.to_thread(_read_journal, data_dir / JOURNAL)
    gap = await asyncio.to_thread(_sign_gap, data_dir, heads, settings, backup_at, clock.now())
    # No address is hashed here, so the pepper is not needed.
    store = await Store.open(data_dir, settings=settings, clock=clock, pepper=b"")
    try:
        return await store.writer.write(
            lambda tx: _replay(tx, store, records + lost, gap, clock.now()), essential=True
        )
    finally:
        await store.close()


def _unpack(archive: Path, data_dir: Path) -> float:
    """When the backup was made, epoch seconds."""
    try:
        if data_dir.exists() and any(data_dir.iterdir()):
            raise StoreTrouble(f"{data_dir} is not empty: nothing was restored")
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tarfile.open(archive, "r:") as tar:
            tar.extractall(data_dir, filter="data")
            return float(tar.getmember(DATABASE).mtime)
    except (OSError, KeyError, tarfile.TarError) as error:
        raise StoreTrouble(f"{archive} cannot be restored: {error}") from error


def _sign_gap(
    data_dir: Path,
    heads: Path | None,
    settings: configuration.Store,
    backup_at: float,
    at: float,
) -> _Gap:
    """Put on record, outside the database, from where the chains go on."""
    try:
        if heads is not None and _begins_with(heads, data_dir / HEADS):
            shutil.copyfile(heads, data_dir / HEADS)
            sync_directory(data_dir)
        connection = connect(data_dir / DATABASE, wait=settings.wait, writer=False)
        try:
            last = chain_ends(Session(connection))
        finally:
            connection.close()
        signing = Heads(data_dir, settings.heads_copy)
        try:
            gap = _Gap(backup_at, last, signing.latest())
            if not signing.write(last, at, restored=True):
                raise StoreTrouble(f"{signing.path} cannot be written")
        finally:
            signing.close()
    except (OSError, sqlite3.Error) as error:
        raise trouble(error) from error
    return gap


def _begins_with(longer: Path, beginning: Path) -> bool:
    """Whether the lost store's file is the backup's, and more."""
    if not longer.exists():
        return False
    if not beginning.exists():
        return True
    with longer.open("rb") as whole, beginning.open("rb") as part:
        while octets := part.read(1 << 20):
            if whole.read(len(octets)) != octets:
                return False
    return True


def _read_journal(path: Path | None) -> list[dict[str, Any]]:
    if path is None:
        return []
    try:
        return list(read(path))
    except OSError as error:
        raise StoreTrouble(f"{path} cannot be read: {error}") from error


def _replay(
    tx: Transaction, store: Store, records: list[dict[str, Any]], gap: _Gap, at: float
) -> Restored:
    named = {record["tenant"] or OPERATOR_CHAIN for record in records if "tenant" in record}
    chains = {OPERATOR_CHAIN} | gap.last.keys() | gap.signed.keys() | named
    store.ledger.append(
        tx,
        [NewEvent(chain, DISCONTINUITY, at, None, gap.told(chain)) for chain in sorted(chains)],
    )
    spend_ids(tx)
    erased = erased_blocks(tx)
    replayed = erased_again = 0
    staged: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        if record.get("type") == JOURNALLED:
            erased_again += store.erasure.repeat_in(tx, record)
        elif "import" not in record:
            replayed += restore_block(store.ledger, tx, record, erased)
        elif not record.get("committed"):
            staged[record["import"]].append(record)
        else:
            for row in staged.pop(record["import"], ()):
                replayed += _restore_row(tx, store, row)
    return Restored(replayed, erased_again)


def _shown(head: Head | None) -> dict[str, Json] | None:
    return {"seq": head.seq, "hash": head.hash.hex()} if head is not None else None


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
