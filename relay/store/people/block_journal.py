"""Blocks in the opt-out journal, and back from it after a restore.

The journal is synced before the database commits, so that no opt-out is lost with a store.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

from relay.model import SubjectKeys
from relay.ports import Json, NewEvent
from relay.store.ledger.chain import OPERATOR_CHAIN, milliseconds
from relay.store.ledger.ledger import Ledger
from relay.store.sqlite.transaction import Session, Transaction

# A block by what it says, or, once an erasure has taken that, by the row that it left in force.
_RECORDED: Final = """
SELECT 1 FROM events e JOIN event_data d ON d.event_id = e.id
 WHERE d.wide = ?1 AND e.tenant_id = ?2 AND e.t = ?3 AND e.type = ?4
   AND json_extract(d.json, '$.data.brand') IS ?5 AND json_extract(d.json, '$.data.list') IS ?6
UNION ALL
SELECT 1 FROM suppressions s JOIN events e ON e.id = s.event_id
 WHERE s.wide = ?1 AND e.tenant_id = ?2 AND e.t = ?3 AND e.type = ?4
   AND s.brand_id IS ?5 AND s.list_id IS ?6
LIMIT 1
"""
_ERASED_BLOCKS: Final = (
    "SELECT e.tenant_id, e.t, e.type FROM events e LEFT JOIN event_data d ON d.event_id = e.id"
    " WHERE d.event_id IS NULL AND e.type IN ('bounce', 'suppression', 'suppression.lifted')"
)

Erased: TypeAlias = Collection[tuple[int, int, str]]
"""Chain, time (ms) and type of blocks that were erased and may have been lifted before."""


def erased_blocks(session: Session) -> Erased:
    """What of the suppressions and their ends has lost its content to an erasure."""
    return frozenset(session.raw.execute(_ERASED_BLOCKS).fetchall())


def restore_block(
    ledger: Ledger, tx: Transaction, record: Mapping[str, Any], erased: Erased = ()
) -> bool:
    """Append the event of one line of the opt-out journal, unless the store has it already;
    ``erased`` are those that it has and cannot say whom they were about."""
    tenant, at = record["tenant"], record["at"]
    chain = OPERATOR_CHAIN if tenant is None else tenant
    keys = SubjectKeys(bytes.fromhex(record["exact"]), bytes.fromhex(record["wide"]))
    scope = (record["brand"], record["list"])
    look = (record["wide"], chain, milliseconds(at), record["type"], *scope)
    if (chain, milliseconds(at), record["type"]) in erased:
        return False
    if tx.raw.execute(_RECORDED, look).fetchone() is not None:
        return False
    data = {
        "brand": record["brand"],
        "list": record["list"],
        "channel": record["channel"],
        "expires_at": record["expires_at"],
        "evidence": {"restored": True},
    }
    ledger.append(tx, [NewEvent(chain, record["type"], at, keys, data)])
    return True


def journal_line(event: NewEvent) -> dict[str, Json]:
    """What the journal keeps of a block, or of the end of one: enough to make it anew."""
    assert event.subject is not None
    data = event.data
    return {
        "type": event.type,
        "tenant": None if event.tenant_id == OPERATOR_CHAIN else event.tenant_id,
        "brand": data.get("brand"),
        "list": data.get("list"),
        "exact": event.subject.exact.hex(),
        "wide": event.subject.wide.hex(),
        "at": milliseconds(event.at) / 1_000,
        "expires_at": data.get("expires_at"),
        "channel": data.get("channel"),
    }
