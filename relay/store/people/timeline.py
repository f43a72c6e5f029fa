"""All that was ever recorded about one person, as the operator may see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.model import SubjectKeys
from relay.ports import Json
from relay.store.ledger.chain import OPERATOR_CHAIN
from relay.store.sqlite.transaction import Session

_TIMELINE: Final = """
SELECT e.id, e.tenant_id, e.seq, e.t / 1000.0, e.type, d.json, NULL, NULL, NULL
  FROM event_data d JOIN events e ON e.id = d.event_id WHERE d.wide = ?
UNION ALL
SELECT i.event_id, i.tenant_id, e.seq, r.at, i.kind || '.imported', r.json, i.source_id,
       i.brand_id, i.list_id
  FROM import_rows r JOIN imports i ON i.id = r.import_id JOIN events e ON e.id = i.event_id
 WHERE r.wide = ? AND i.committed = 1
ORDER BY 4, 1
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a person's timeline."""

    event_id: int
    tenant_id: int | None
    """None is the operator."""
    seq: int
    """Its number in the tenant's own chain: what bundles and the API call it."""
    at: float
    type: str
    exact: bool
    """False when it concerns the person under another spelling (``+tag``) of the address."""
    data: Mapping[str, Json]
    """What was recorded: scope, basis, evidence."""


def read_timeline(session: Session, keys: SubjectKeys) -> tuple[Entry, ...]:
    """Everything about a person, under whatever spelling of the address, oldest first."""
    wide = keys.wide.hex()
    rows = session.raw.execute(_TIMELINE, (wide, wide))
    return tuple(_entry(keys, *row) for row in rows)


def _entry(
    keys: SubjectKeys,
    event_id: int,
    tenant_id: int,
    seq: int,
    at: float,
    kind: str,
    text: str | None,
    source_id: int | None,
    brand_id: int | None,
    list_id: int | None,
) -> Entry:
    said: dict[str, Any] = json.loads(text) if text is not None else {}
    exact = said.get("exact") or (said.get("subject") or {}).get("exact")
    data = said.get("data", {})
    if "data" not in said:
        # A row of an import; its scope is the import's.
        data = {**said, "brand": brand_id, "list": list_id}
    if source_id is not None:
        data = {**data, "source_id": source_id}
    tenant = None if tenant_id == OPERATOR_CHAIN else tenant_id
    return Entry(event_id, tenant, seq, at, kind, exact == keys.exact.hex(), data)
