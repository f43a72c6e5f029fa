"""What the ledger itself says of a delivered copy: read with SQL, without the relay's own code."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from relay.model import Address, MailingList, SubjectKeys
from relay.store.backup import DATABASE
from tests.fuzz.history_model import Said


def check_bound(
    data_dir: Path,
    message_id: str,
    tenant: int,
    person: Address,
    keys: SubjectKeys,
    mailing_list: MailingList,
) -> None:
    """A consent of that mailbox let the copy go, it covers the list, and nothing ended it before.

    Raises AssertionError.
    """
    uri = f"file:{data_dir / DATABASE}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as raw:
        delivered = raw.execute(
            "SELECT e.id, json_extract(d.json, '$.data') FROM events e"
            " JOIN event_data d ON d.event_id = e.id"
            " WHERE e.type = 'copy.delivered' AND e.tenant_id = ? AND d.exact = ?",
            (tenant, keys.exact.hex()),
        ).fetchall()
        said = [(number, json.loads(text)) for number, text in delivered]
        left, data = max(one for one in said if one[1]["message_id"] == message_id)
        assert data["rulebooks"]
        brand, list_id = _scope_of_consent(raw, data["consent"], tenant, keys)
        assert Said(0, 0.0, True, tenant, person, brand, list_id).covers(mailing_list)
        blocks = raw.execute(_BLOCKS, (tenant, keys.wide.hex(), data["consent"], left)).fetchall()
    for block in blocks:
        stop = Said(0, 0.0, False, tenant, person, *block)
        assert not stop.covers(mailing_list), "the consent had ended before"


_BLOCKS = """
SELECT s.brand_id, s.list_id FROM suppressions s LEFT JOIN imports i ON i.id = s.import_id
 WHERE s.tenant_id = ? AND s.wide = ? AND coalesce(s.event_id, i.event_id) > ?
   AND coalesce(s.event_id, i.event_id) < ?
"""


def _scope_of_consent(
    raw: sqlite3.Connection, event: int, tenant: int, keys: SubjectKeys
) -> tuple[int | None, int | None]:
    """Brand and list of the consent that an event put on record for that mailbox."""
    kind, owner = raw.execute(
        "SELECT type, tenant_id FROM events WHERE id = ?", (event,)
    ).fetchone()
    assert owner == tenant
    if kind == "consent.imported":
        brand, list_id = raw.execute(
            "SELECT i.brand_id, i.list_id FROM imports i JOIN import_rows r ON r.import_id = i.id"
            " WHERE i.event_id = ? AND r.exact = ?",
            (event, keys.exact.hex()),
        ).fetchone()
    else:
        assert kind == "consent.granted"
        brand, list_id = raw.execute(
            "SELECT json_extract(json, '$.data.brand'), json_extract(json, '$.data.list')"
            " FROM event_data WHERE event_id = ? AND exact = ?",
            (event, keys.exact.hex()),
        ).fetchone()
    return brand, list_id
