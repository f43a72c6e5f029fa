"""The rows that follow from events: who said yes to what, and what blocks.

An event whose type is in ``CONSENTS`` or ``BLOCKS`` is projected wherever it is appended, also
along with mail. The rows can be made anew from the ledger at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from relay.decide.automation import automation
from relay.model import Automation, StandingState
from relay.ports import Json, NewEvent
from relay.store.ledger.chain import OPERATOR_CHAIN, milliseconds
from relay.store.sqlite.transaction import Transaction

USE_SECONDS: Final = 7 * 86_400
"""How exactly it is known when a consent was last used."""

CONSENTS: Final = {
    "consent.granted": StandingState.GRANTED,
    "consent.pending": StandingState.PENDING,
}
BLOCKS: Final = {
    "optout": StandingState.WITHDRAWN,
    "complaint": StandingState.COMPLAINED,
    "bounce": StandingState.SUPPRESSED,
    "suppression": StandingState.SUPPRESSED,
}
LIFTED: Final = "suppression.lifted"
_DELIVERED: Final = "copy.delivered"

_INSERT_CONSENT: Final = (
    "INSERT INTO consents (exact, wide, tenant_id, brand_id, list_id, state, basis, own_act, at,"
    " expires_at, event_id, automated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# At most once a week for each row: most deliveries change nothing here. Only what counts already:
# rows that are still being imported are not in the ledger yet.
_USED: Final = """
UPDATE consents SET used_at = ?1
 WHERE exact = ?2 AND tenant_id = ?3 AND state = 'granted'
   AND (used_at IS NULL OR used_at <= ?1 - ?6)
   AND (list_id = ?5 OR list_id IS NULL AND (brand_id IS NULL OR brand_id = ?4))
   AND (import_id IS NULL
        OR EXISTS (SELECT 1 FROM imports i WHERE i.id = import_id AND i.committed = 1))
"""
_INSERT_SUPPRESSION: Final = (
    "INSERT INTO suppressions (wide, tenant_id, brand_id, list_id, state, at, expires_at,"
    " event_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def project_event(tx: Transaction, number: int, event: NewEvent) -> bool:
    """Write what follows from one event; whether anybody's standing may have changed."""
    keys, data = event.subject, event.data
    if keys is None:
        return False
    exact, wide = keys.exact.hex(), keys.wide.hex()
    tenant = None if event.tenant_id == OPERATOR_CHAIN else event.tenant_id
    at = milliseconds(event.at) / 1_000
    scope = (data.get("brand"), data.get("list"))
    if event.type in CONSENTS:
        tx.raw.execute(
            _INSERT_CONSENT,
            (
                exact,
                wide,
                event.tenant_id,
                *scope,
                CONSENTS[event.type].value,
                data["basis"],
                int(bool(data.get("own_act"))),
                at,
                data.get("expires_at"),
                number,
                automated(data),
            ),
        )
    elif event.type in BLOCKS:
        detail = data.get("channel") or event.type
        state = BLOCKS[event.type].value
        expires_at = data.get("expires_at")
        tx.raw.execute(
            _INSERT_SUPPRESSION,
            (wide, tenant, *scope, state, at, expires_at, number, detail),
        )
    elif event.type == LIFTED:
        tx.raw.execute(
            "DELETE FROM suppressions WHERE wide = ? AND tenant_id IS ?"
            " AND state = 'suppressed' AND import_id IS NULL",
            (wide, tenant),
        )
    else:
        if event.type == _DELIVERED and data.get("consent") is not None:
            used = (at, exact, event.tenant_id, *scope, USE_SECONDS)
            tx.raw.execute(_USED, used)
        return False
    return True


def project_import(tx: Transaction, import_id: int, first: int = 0, last: int = 2**62) -> None:
    """Fill the projections from the stored rows of one import, lines ``first`` to ``last``; they
    count once it commits."""
    tx.raw.execute(
        "INSERT INTO consents (exact, wide, tenant_id, brand_id, list_id, state, basis, own_act,"
        " at, import_id, automated, used_at) SELECT r.exact, r.wide, i.tenant_id, i.brand_id,"
        " i.list_id, 'granted', r.basis, 0, r.at, i.id, 0,"
        # Disuse before a person first came on record here is not ours to know: an old list that
        # moves to this relay is in use. Told again, it is no sign of life.
        " CASE WHEN NOT EXISTS (SELECT 1 FROM consents p WHERE p.exact = r.exact"
        " AND p.tenant_id = i.tenant_id AND p.import_id IS NOT i.id AND (p.import_id IS NULL"
        " OR EXISTS (SELECT 1 FROM imports o WHERE o.id = p.import_id AND o.committed = 1)))"
        " THEN i.at END"
        " FROM import_rows r JOIN imports i ON i.id = r.import_id"
        " WHERE i.id = ? AND i.kind = 'consent' AND r.line BETWEEN ? AND ?"
        " AND r.json IS NOT NULL"
        " ORDER BY r.line",
        (import_id, first, last),
    )
    tx.raw.execute(
        "INSERT INTO suppressions (wide, tenant_id, brand_id, list_id, state, at, import_id,"
        " detail) SELECT r.wide, i.tenant_id, i.brand_id, i.list_id, 'withdrawn', r.at, i.id,"
        " 'import' FROM import_rows r JOIN imports i ON i.id = r.import_id"
        " WHERE i.id = ? AND i.kind = 'optout' AND r.line BETWEEN ? AND ?"
        " ORDER BY r.line",
        (import_id, first, last),
    )


def automated(data: Mapping[str, Json]) -> Automation:
    """How much the data of a ``consent.granted`` speaks for a machine."""
    marks = data.get("automated")
    return automation(map(str, marks)) if isinstance(marks, Sequence) else Automation.NO
