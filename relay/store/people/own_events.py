"""What is on record about one person at one tenant, with its place in the tenant's chain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.ports import Json
from relay.store.sqlite.worker import Reader

MOST: Final = 1_000
"""Events that are read of one person at one tenant: what was said first, then the youngest mail."""

_EVENTS: Final = """
SELECT * FROM (SELECT * FROM (
  SELECT e.id AS id, e.seq, e.t / 1000.0 AS at, e.type, e.hash, 0 AS line, d.json, NULL
    FROM event_data d JOIN events e ON e.id = d.event_id
   WHERE d.wide = ?1 AND e.tenant_id = ?2
  UNION ALL
  SELECT e.id, e.seq, r.at, e.type, e.hash, r.line,
         json_set(r.json, '$.brand', i.brand_id, '$.list', i.list_id), s.slug
    FROM import_rows r JOIN imports i ON i.id = r.import_id JOIN events e ON e.id = i.event_id
    LEFT JOIN sources s ON s.id = i.source_id
   WHERE r.wide = ?1 AND i.tenant_id = ?2 AND i.committed = 1 AND r.json IS NOT NULL
  UNION ALL
  SELECT e.id, e.seq, r.at, e.type, e.hash, r.line, '{}', NULL
    FROM import_rows r JOIN imports i ON i.id = r.import_id JOIN events e ON e.id = i.event_id
   WHERE r.wide = ?1 AND i.tenant_id = ?2 AND i.committed = 1 AND r.json IS NULL
     AND i.kind = 'optout'
) ORDER BY type IN ('copy.delivered', 'copy.dropped'), at DESC, id DESC, line DESC LIMIT ?3)
ORDER BY at, id, line
"""


@dataclass(frozen=True, slots=True)
class OwnRecord:
    """One event about a person, or one row of an imported file."""

    event_id: int
    seq: int
    """Number in the tenant's chain; of the batch's event for an imported row."""
    at: float
    """Epoch seconds."""
    type: str
    hash: bytes
    """Of the event in the chain."""
    line: int
    """Of the imported file; 0 for an event of its own."""
    data: Mapping[str, Json]
    """What was recorded: scope, basis, evidence."""
    source: str
    """Slug of the source of an imported row; else empty."""


class OwnEvents:
    """Reads on behalf of the person concerned."""

    def attach(self, reader: Reader) -> None:
        """Hand over the connection."""
        self._reader = reader

    async def of(self, wide: bytes, tenant_id: int) -> tuple[OwnRecord, ...]:
        """All spellings of the person, oldest first, at most ``MOST``; nothing that was erased.
        Raises StoreTrouble."""
        rows = await self._reader.read(
            lambda session: session.raw.execute(_EVENTS, (wide.hex(), tenant_id, MOST)).fetchall()
        )
        return tuple(_record(*row) for row in rows)

    async def spellings(self, wide: bytes) -> tuple[bytes, ...]:
        """Exact keys of the person's addresses on record. Raises StoreTrouble."""
        rows = await self._reader.read(
            lambda session: session.raw.execute(
                "SELECT exact FROM subjects WHERE wide = ? ORDER BY id", (wide.hex(),)
            ).fetchall()
        )
        return tuple(bytes.fromhex(exact) for (exact,) in rows)


def _record(
    event_id: int,
    seq: int,
    at: float,
    kind: str,
    digest: bytes,
    line: int,
    text: str,
    source: str | None,
) -> OwnRecord:
    said: dict[str, Any] = json.loads(text)
    data = said.get("data", {}) if line == 0 else said
    return OwnRecord(event_id, seq, at, kind, digest, line, data, source or "")
