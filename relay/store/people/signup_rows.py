"""A request for consent as a row, and whether it can still be answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.model import SubjectKeys
from relay.ports import Json
from relay.store.sqlite.transaction import Session

ASKED: Final = "asked"
"""On record; no mail has left for it."""
POSTING: Final = "posting"
"""Its mail is being handed to our queue."""
POSTED: Final = "posted"
"""Our queue has its mail."""
MAILED: Final = "mailed"
"""The upstream has its mail."""
PRESSED: Final = "pressed"
"""Confirmed by what is certainly no person; the person's own button still works."""
CONFIRMED: Final = "confirmed"
REPLACED: Final = "replaced"
"""A newer request of the same person and scope was mailed, or confirmed."""
FAILED: Final = "failed"
"""The upstream refused its mail."""
LAPSED: Final = "lapsed"

ALIVE: Final = (POSTING, POSTED, MAILED, PRESSED)
"""The states in which a request can be answered."""

COLUMNS: Final = (
    "id, nonce, tenant_id, list_id, exact, wide, language, notice_id, at, state, event_id,"
    " message_id, posted_at, mailed_at, mail_reply, fetched_at, last_fetched_at, fetches,"
    " fetch_agent, fetch_network"
)
BY_ID: Final = f"SELECT {COLUMNS} FROM signups WHERE id = ?"  # noqa: S608 - constants
BY_NONCE: Final = f"SELECT {COLUMNS} FROM signups WHERE nonce = ?"  # noqa: S608 - constants
BY_MESSAGE: Final = f"SELECT {COLUMNS} FROM signups WHERE message_id = ?"  # noqa: S608
# Opt-outs, complaints and suppressions after an event, of the person at the tenant or everywhere;
# an imported one of the very same moment as one before is that one, told again.
_LATER_BLOCK: Final = """
SELECT 1 FROM suppressions s LEFT JOIN imports i ON i.id = s.import_id
 WHERE s.wide = ?1 AND (s.tenant_id = ?2 OR s.tenant_id IS NULL)
   AND (s.import_id IS NULL OR i.committed = 1) AND coalesce(s.event_id, i.event_id) > ?3
   AND (s.import_id IS NULL OR NOT EXISTS (
     SELECT 1 FROM suppressions b JOIN imports j ON j.id = b.import_id
      WHERE b.wide = s.wide AND b.tenant_id = s.tenant_id AND b.brand_id IS s.brand_id
        AND b.list_id IS s.list_id AND b.at = s.at AND j.committed = 1 AND j.event_id <= ?3))
 LIMIT 1
"""
_EVIDENCE: Final = "SELECT json FROM event_data WHERE event_id = ?"


@dataclass(frozen=True, slots=True)
class SignUp:
    """One request as it stands in the database. Times are epoch seconds."""

    id: int
    nonce: int
    tenant_id: int
    list_id: int
    keys: SubjectKeys
    language: str
    notice_id: int
    at: float
    state: str
    event_id: int
    message_id: str | None
    posted_at: float | None
    mailed_at: float | None
    mail_reply: str
    fetched_at: float | None
    last_fetched_at: float | None
    fetches: int
    fetch_agent: str
    fetch_network: str


def living(
    session: Session, nonce: int, keys: SubjectKeys, now: float, lifetime: float
) -> SignUp | None:
    """A request that can be answered, or was confirmed; None when it is dead."""
    signup = one(session, BY_NONCE, nonce)
    if signup is None or signup.keys != keys or left_since(session, signup):
        return None
    if signup.state == CONFIRMED:
        return signup
    if signup.state not in ALIVE or now >= signup.at + lifetime:
        return None
    # Erasure takes the evidence away, and with it what could be confirmed.
    return signup if evidence_of(session, signup.event_id) is not None else None


def left_since(session: Session, signup: SignUp) -> bool:
    """Whether the person has left the tenant, complained or been suppressed since the request."""
    look = (signup.keys.wide.hex(), signup.tenant_id, signup.event_id)
    return session.raw.execute(_LATER_BLOCK, look).fetchone() is not None


def evidence_of(session: Session, event_id: int) -> Mapping[str, Json] | None:
    """What was kept when the person asked; None once it was erased."""
    row = session.raw.execute(_EVIDENCE, (event_id,)).fetchone()
    if row is None:
        return None
    said: dict[str, Any] = json.loads(row[0])
    evidence: Mapping[str, Json] = said["data"]["evidence"]
    return evidence


def reread(session: Session, nonce: int) -> SignUp:
    """A row that is certainly there."""
    signup = one(session, BY_NONCE, nonce)
    assert signup is not None
    return signup


def one(session: Session, sql: str, *values: object) -> SignUp | None:
    """The one row that a statement over ``COLUMNS`` finds, or None."""
    row = session.raw.execute(sql, values).fetchone()
    return signup_of(*row) if row is not None else None


def signup_of(
    number: int,
    nonce: int,
    tenant_id: int,
    list_id: int,
    exact: str,
    wide: str,
    *rest: Any,
) -> SignUp:
    """A row as a value."""
    keys = SubjectKeys(bytes.fromhex(exact), bytes.fromhex(wide))
    return SignUp(number, nonce, tenant_id, list_id, keys, *rest)
