"""Any single octet changed anywhere in the ledger is found, and nothing else is."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

from relay.model import Basis
from relay.ports import NewEvent
from relay.store import ImportRow, Store
from tests.support.clock import FakeClock
from tests.unit.store.samples import open_store, person

MUTATIONS = 300
COLUMNS = {
    "events": ("id", "tenant_id", "seq", "t", "type", "commit_hash", "prev", "hash"),
    "event_data": ("event_id", "salt", "json", "exact", "wide"),
    "import_rows": ("line", "exact", "wide", "basis", "at", "commit_hash", "salt", "json"),
}
KEYS = {"events": "id", "event_data": "event_id", "import_rows": "line"}


async def filled(data_dir: Path) -> Store:
    store = await open_store(data_dir, FakeClock())
    for number in range(30):
        who = person(f"p{number}@ok.test")
        await store.consents.grant(
            1 + number % 3, who, basis=Basis.CONFIRMED, at=number + 0.5, evidence={"ip": "::1"}
        )
        await store.consents.withdraw(1, who, at=number + 1.0, channel="link", list_id=number)
    await store.ledger.record([NewEvent(0, "note", 5.0, None, {"text": "ünïcode"})])
    batch = await store.imports.begin("consent", 2, at=9.0, list_id=3)
    rows = [
        ImportRow(n, person(f"i{n}@ok.test"), f"i{n}@ok.test", n + 0.25, Basis.ATTESTED, {"n": n})
        for n in range(2, 22)
    ]
    await store.imports.stage(batch, rows)
    await store.imports.commit(batch)
    return store


def changed(value: Any, rng: random.Random) -> Any:
    """``value`` with one octet changed."""
    match value:
        case bytes():
            at = rng.randrange(len(value))
            return value[:at] + bytes([value[at] ^ rng.randrange(1, 256)]) + value[at + 1 :]
        case str():
            at = rng.randrange(len(value))
            other = rng.choice([c for c in "abcdef0123456789,:{}" if c != value[at]])
            return value[:at] + other + value[at + 1 :]
        case int():
            return value ^ (1 << rng.randrange(40, 48))  # far enough to collide with no key
        case float():
            return value + rng.choice([0.5, -0.25, 1024.0])
    raise AssertionError(value)


async def test_single_octet_changes_are_found(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    assert (await store.ledger.verify()).ok
    rng = random.Random(20261122)
    raw = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    missed = []
    for _ in range(MUTATIONS):
        table = rng.choice(list(COLUMNS))
        column = rng.choice(COLUMNS[table])
        key = KEYS[table]
        number, value = rng.choice(
            raw.execute(
                f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL"
            ).fetchall()
        )
        other = changed(value, rng)
        raw.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (other, number))
        if (await store.ledger.verify()).ok:
            missed.append((table, column, number, value, other))
        now = other if column == key else number
        raw.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (value, now))
    raw.close()
    assert missed == []
    assert (await store.ledger.verify()).ok
    await store.close()


async def test_a_removed_event_is_found(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    raw = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    ids = [number for (number,) in raw.execute("SELECT id FROM events WHERE tenant_id = 1")]
    for number in ids[:10]:
        event = raw.execute("SELECT * FROM events WHERE id = ?", (number,)).fetchone()
        data = raw.execute("SELECT * FROM event_data WHERE event_id = ?", (number,)).fetchone()
        raw.execute("DELETE FROM event_data WHERE event_id = ?", (number,))
        raw.execute("DELETE FROM events WHERE id = ?", (number,))
        assert not (await store.ledger.verify()).ok
        raw.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", event)
        raw.execute("INSERT INTO event_data VALUES (?, ?, ?, ?, ?)", data)
    assert (await store.ledger.verify()).ok
    raw.close()
    await store.close()
