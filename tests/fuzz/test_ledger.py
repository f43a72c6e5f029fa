"""Any one value or octet changed anywhere in the ledger is found, and nothing else is."""

from __future__ import annotations

import random
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

from relay.store import Store
from tests.support.clock import FakeClock
from tests.unit.store.story import told

MUTATIONS = 1_000
COLUMNS = {
    "events": ("id", "tenant_id", "seq", "t", "type", "commit_hash", "prev", "hash"),
    "event_data": ("event_id", "salt", "json", "exact", "wide"),
    "imports": (
        *("id", "kind", "tenant_id", "list_id", "brand_id", "source_id", "at", "rows"),
        *("opted_out", "content", "committed", "event_id"),
    ),
    "import_rows": (
        *("import_id", "line", "exact", "wide", "basis", "at", "commit_hash", "salt", "json"),
    ),
    "consents": (
        *("exact", "wide", "tenant_id", "brand_id", "list_id", "state", "basis", "own_act", "at"),
        *("expires_at", "event_id", "import_id", "automated"),
    ),
    "suppressions": (
        *("wide", "tenant_id", "brand_id", "list_id", "state", "at", "expires_at", "event_id"),
        *("import_id", "detail"),
    ),
    "notice_versions": (
        *("tenant_id", "list_id", "version", "language", "digest", "json", "event_id"),
    ),
    "erasures": ("tenant_id", "event_id"),
}
KEYS = {
    "events": ("id",),
    "event_data": ("event_id",),
    "imports": ("id",),
    "import_rows": ("import_id", "line"),
    "consents": ("id",),
    "suppressions": ("id",),
    "notice_versions": ("id",),
    "erasures": ("wide", "tenant_id"),
}
HEADS = "heads"
NULL = {
    ("event_data", "exact"),
    ("event_data", "wide"),
    ("imports", "event_id"),
    ("imports", "list_id"),
    ("consents", "list_id"),
    ("consents", "expires_at"),
    ("suppressions", "list_id"),
    ("suppressions", "event_id"),
    ("import_rows", "salt"),
    ("import_rows", "json"),
}
VALUES = {
    **dict.fromkeys(("list_id", "brand_id", "source_id", "tenant_id", "event_id", "import_id"), 7),
    "expires_at": 5.0,
    "exact": "ab",
    "wide": "ab",
    "salt": b"salt",
    "json": "{}",
}


def flipped(octets: bytes, rng: random.Random) -> bytes:
    """One octet changed, to whatever: the result need not be text."""
    at = rng.randrange(len(octets))
    return octets[:at] + bytes([octets[at] ^ rng.randrange(1, 256)]) + octets[at + 1 :]


def changed(column: str, value: Any, rng: random.Random, *, nullable: bool) -> Any:
    """``value`` with one octet, or as a whole, changed."""
    if nullable and value is not None and rng.random() < 0.2:
        return None
    match value:
        case None:
            return VALUES[column]
        case bytes():
            return rng.choice([flipped(value, rng), b"", value[:-1]]) if value else b"x"
        case str():
            return flipped(value.encode(), rng) if value else b"x"
        case int():
            # Far enough to collide with no key.
            return value ^ (1 << rng.randrange(40, 48))
        case float():
            return value + rng.choice([0.5, -0.25, 1024.0, 0.000_001])
    raise AssertionError(value)


class Rows:
    """The store's rows, to change one and to change it back."""

    def __init__(self, data_dir: Path) -> None:
        self.raw = sqlite3.connect(data_dir / "store.db", isolation_level=None)
        self.rows = {
            table: self.raw.execute(f"SELECT {', '.join(KEYS[table])} FROM {table}").fetchall()
            for table in COLUMNS
        }

    def mutate(self, table: str, column: str, rng: random.Random) -> tuple[Any, ...]:
        key = rng.choice(self.rows[table])
        where = " AND ".join(f"{name} = ?" for name in KEYS[table])
        look = f"SELECT {column} FROM {table} WHERE {where}"
        (value,) = self.raw.execute(look, key).fetchone()
        nullable = (table, column) in NULL or column in ("brand_id", "source_id")
        other = changed(column, value, rng, nullable=nullable)
        shown = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
        done = self.raw.execute(
            f"UPDATE {table} SET {column} = {shown} WHERE {where}", (other, *key)
        )
        assert done.rowcount == 1
        now = tuple(
            other if name == column else part for name, part in zip(KEYS[table], key, strict=True)
        )
        return table, column, where, value, now

    def restore(self, mutated: tuple[Any, ...]) -> None:
        table, column, where, value, now = mutated
        done = self.raw.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, *now))
        assert done.rowcount == 1


async def test_a_thousand_changes_are_found(tmp_path: Path) -> None:
    story = await told(tmp_path, FakeClock())
    ledger, heads = story.store.ledger, tmp_path / "ledger-heads.jsonl"
    assert (await ledger.verify()).first_broken is None
    rng = random.Random(20261122)
    rows = Rows(tmp_path)
    places = [(table, column) for table, columns in COLUMNS.items() for column in columns]
    missed = []
    for _ in range(MUTATIONS):
        table, column = rng.choice([*places, *[(HEADS, "")] * 4])
        if table == HEADS:
            octets = heads.read_bytes()
            heads.write_bytes(flipped(octets, rng))
            found = await ledger.verify()
            heads.write_bytes(octets)
            mutated: tuple[Any, ...] = (HEADS,)
        else:
            mutated = rows.mutate(table, column, rng)
            found = await ledger.verify()
            rows.restore(mutated)
        if found.ok:
            missed.append(mutated)
    assert missed == []
    assert (await ledger.verify()).first_broken is None
    rows.raw.close()
    await story.store.close()


async def test_every_removed_row_is_found(tmp_path: Path) -> None:
    story = await told(tmp_path, FakeClock())
    rows = Rows(tmp_path)
    kept = []
    for table in COLUMNS:
        for number, *row in rows.raw.execute(f"SELECT * FROM {table}").fetchall():
            whole = (number, *row)
            names = KEYS.get(table, ("id",))
            where = " AND ".join(f"{name} = ?" for name in names)
            rows.raw.execute(f"DELETE FROM {table} WHERE {where}", whole[: len(names)])
            if (await story.store.ledger.verify()).ok:
                kept.append((table, whole))
            rows.raw.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(whole))})", whole)
    assert kept == []
    assert (await story.store.ledger.verify()).ok
    rows.raw.close()
    await story.store.close()


async def test_any_two_events_that_change_places_are_found(tmp_path: Path) -> None:
    story = await told(tmp_path, FakeClock())
    raw = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    events = raw.execute("SELECT id, seq FROM events WHERE tenant_id = 1").fetchall()
    for (one, seq), (other, next_seq) in pairwise(events):
        await swapped(story.store, raw, (one, seq), (other, next_seq))
    raw.close()
    await story.store.close()


async def swapped(
    store: Store, raw: sqlite3.Connection, one: tuple[int, int], other: tuple[int, int]
) -> None:
    def swap() -> None:
        raw.execute("UPDATE events SET seq = -1 WHERE id = ?", (one[0],))
        raw.execute("UPDATE events SET seq = ? WHERE id = ?", (one[1], other[0]))
        raw.execute("UPDATE events SET seq = ? WHERE id = ?", (other[1], one[0]))

    swap()
    found = await store.ledger.verify()
    assert found.first_broken is not None
    assert found.first_broken[:2] == (1, one[1])
    raw.execute("UPDATE events SET seq = -1 WHERE id = ?", (one[0],))
    raw.execute("UPDATE events SET seq = ? WHERE id = ?", (other[1], other[0]))
    raw.execute("UPDATE events SET seq = ? WHERE id = ?", (one[1], one[0]))
