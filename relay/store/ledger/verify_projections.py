"""What is in force, and what people were shown, against the ledger: a row deleted here is a person
who gets mail again. What an event leads to is said here a second time, apart from ``store.people``
and ``store.erasure``.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from relay.decide.automation import automation
from relay.store.ledger.chain import ERASURE, NOTICE, OPERATOR_CHAIN
from relay.store.ledger.verify_heads import Mismatch
from relay.store.sqlite.transaction import Session

PAGE: Final = 500

_CONSENT: Final = (
    "c.exact, c.wide, c.tenant_id, c.brand_id, c.list_id, c.state, c.basis, c.own_act, c.at,"
    " c.expires_at, c.automated"
)
_BLOCK: Final = "c.wide, c.tenant_id, c.brand_id, c.list_id, c.state, c.at, c.expires_at, c.detail"
_COLUMNS: Final = {"consents": _CONSENT, "suppressions": _BLOCK}
_ONE_CONSENT: Final = (
    f"SELECT {_CONSENT} FROM consents c"  # noqa: S608 - a constant
    " WHERE c.exact = ? AND c.tenant_id = ? AND c.event_id = ? AND c.import_id IS NULL"
)
_ONE_BLOCK: Final = (
    f"SELECT {_BLOCK} FROM suppressions c"  # noqa: S608 - a constant
    " WHERE c.wide = ? AND c.event_id = ? AND c.import_id IS NULL"
)
_LIFTED: Final = (
    "SELECT 1 FROM event_data d JOIN events e ON e.id = d.event_id WHERE d.wide = ?"
    " AND e.id > ? AND e.tenant_id = ? AND e.type = 'suppression.lifted'"
)
_IMPORTED_CONSENT: Final = (
    "SELECT 1 FROM import_rows r JOIN imports i ON i.id = r.import_id WHERE r.wide = ?2"
    " AND r.import_id = ?12 AND r.exact = ?1 AND r.at = ?9 AND r.basis = ?7 AND i.kind = 'consent'"
    " AND i.tenant_id = ?3 AND i.brand_id IS ?4 AND i.list_id IS ?5 AND ?6 = 'granted' AND ?8 = 0"
    " AND ?10 IS NULL AND ?11 = 0 AND r.json IS NOT NULL"
)
_IMPORTED_BLOCK: Final = (
    "SELECT 1 FROM import_rows r JOIN imports i ON i.id = r.import_id WHERE r.wide = ?1"
    " AND r.import_id = ?9 AND r.at = ?6 AND i.kind = 'optout' AND i.tenant_id = ?2"
    " AND i.brand_id IS ?3 AND i.list_id IS ?4 AND ?5 = 'withdrawn' AND ?7 IS NULL"
    " AND ?8 = 'import'"
)
_NOTICE: Final = (
    "SELECT tenant_id, at, list_id, version, CAST(language AS BLOB), CAST(digest AS BLOB),"
    " CAST(json AS BLOB) FROM notice_versions WHERE event_id = ?"
)
_ERASED_PERSON: Final = "SELECT 1 FROM erasures WHERE wide = ? AND tenant_id IN (0, ?)"
_KEPT_BLOCK: Final = (
    f"SELECT {_BLOCK} FROM suppressions c JOIN events e ON e.id = c.event_id"  # noqa: S608
    " WHERE c.wide = ? AND e.tenant_id = ? AND e.seq = ? AND c.import_id IS NULL"
)
_ERASURES: Final = (
    "SELECT d.json FROM event_data d JOIN events e ON e.id = d.event_id"
    " WHERE d.wide = ? AND e.tenant_id = ? AND e.type = 'erasure'"
)
_SUPPRESSED: Final = "suppressed"
_STATES: Final = {
    "consent.granted": "granted",
    "consent.pending": "pending",
    "optout": "withdrawn",
    "complaint": "complained",
    "bounce": _SUPPRESSED,
    "suppression": _SUPPRESSED,
}
_BLOCKS: Final = frozenset({"optout", "complaint", "bounce", "suppression"})


def row_of(tenant: int, t: int, kind: str, said: dict[str, Any]) -> tuple[Any, ...] | None:
    """The row of ``consents`` or ``suppressions`` that an event leads to, or None."""
    subject, data = said["subject"], said["data"]
    if subject is None or kind not in _STATES:
        return None
    at, scope = t / 1_000, (data.get("brand"), data.get("list"))
    if kind in _BLOCKS:
        owner = None if tenant == OPERATOR_CHAIN else tenant
        detail = data.get("channel") or kind
        return (subject["wide"], owner, *scope, _STATES[kind], at, data.get("expires_at"), detail)
    return (
        subject["exact"],
        subject["wide"],
        tenant,
        *scope,
        _STATES[kind],
        data["basis"],
        int(bool(data.get("own_act"))),
        at,
        data.get("expires_at"),
        int(automation(data.get("automated") or ())),
    )


def missing_row(
    session: Session, number: int, tenant: int, t: int, kind: str, said: dict[str, Any]
) -> str | None:
    """Why what is in force does not follow from this event; None when it does."""
    if kind == NOTICE:
        return _shown_otherwise(session, number, tenant, t, said["data"])
    if kind == ERASURE:
        return _undone(session, tenant, said)
    row = row_of(tenant, t, kind, said)
    if row is None:
        return None
    if kind not in _BLOCKS:
        found = session.raw.execute(_ONE_CONSENT, (row[0], tenant, number)).fetchone()
        return None if found == row else "the consent on file is not what it says"
    wide = row[0]
    found = session.raw.execute(_ONE_BLOCK, (wide, number)).fetchone()
    if found is None and _STATES[kind] == _SUPPRESSED:
        lifted = session.raw.execute(_LIFTED, (wide, number, tenant)).fetchone()
        return None if lifted else "the block that it put is gone, and was never lifted"
    return None if found == row else "the opt-out or block in force is not what it says"


def _shown_otherwise(
    session: Session, number: int, tenant: int, t: int, data: dict[str, Any]
) -> str | None:
    """Why the words of a notice are not those that were recorded."""
    filed = session.raw.execute(_NOTICE, (number,)).fetchone()
    if filed is None:
        return "the words that were shown are gone"
    owner, at, list_id, version, language, digest, text = filed
    fields = (list_id, version, language.decode(errors="replace"), hashlib.sha256(text).hexdigest())
    told = (data["list"], data["version"], data["language"], data["digest"])
    whole = fields == told and digest == data["digest"].encode()
    if not whole or owner != tenant or abs(at * 1_000 - t) >= 1:
        return "the words that were shown were changed"
    return None


def _undone(session: Session, tenant: int, said: dict[str, Any]) -> str | None:
    """Why an erasure is not as it was recorded: the person stays erased, and what blocked mail
    still does. Only the blocks of a bounce or of the operator may have been lifted since."""
    wide, owner = said["subject"]["wide"], None if tenant == OPERATOR_CHAIN else tenant
    if session.raw.execute(_ERASED_PERSON, (wide, tenant)).fetchone() is None:
        return "the person that it erased no longer counts as erased"
    for seq, *block in said["data"].get("kept", ()):
        found = session.raw.execute(_KEPT_BLOCK, (wide, tenant, seq)).fetchone()
        lifted = found is None and block[2] == _SUPPRESSED
        if not lifted and found != (wide, owner, *block):
            return f"it left the block of event {seq} in force, which is gone or was changed"
    return None


class RowsCheck:
    """Every row of a projection, back to the event or the batch that it follows from."""

    def __init__(self, table: str, tenant_id: int | None) -> None:
        """``table``: ``consents`` or ``suppressions``."""
        self._table: Final = table
        self._tenant: Final = tenant_id
        self._page: Final = (
            f"SELECT {_COLUMNS[table]}, c.id, c.event_id, c.import_id, e.tenant_id, e.t,"  # noqa: S608
            f" e.type, e.seq, d.json, (SELECT committed FROM imports WHERE id = c.import_id)"
            f" FROM {table} c LEFT JOIN events e ON e.id = c.event_id"
            f" LEFT JOIN event_data d ON d.event_id = e.id"
            f" WHERE c.id > ?1 AND (c.tenant_id = ?2 OR ?2 IS NULL) ORDER BY c.id LIMIT {PAGE}"
        )
        self._at = -(2**62)
        self.broken: Mismatch | None = None

    def step(self, session: Session) -> bool:
        """Check a page; False when there is nothing left, or something is broken."""
        page = session.raw.execute(self._page, (self._at, self._tenant)).fetchall()
        for row in page:
            said, (number, event, batch, tenant, t, kind, seq, text, committed) = (
                row[:-9],
                row[-9:],
            )
            self._at = number
            if batch is not None:
                why = self._imported(session, said, batch, event, committed)
            else:
                why = self._recorded(session, said, event, tenant, seq, t, kind, text)
            if why is not None:
                owner = said[1 if self._table == "suppressions" else 2]
                self.broken = (tenant or owner or OPERATOR_CHAIN, seq or 0, why)
                return False
        return bool(page)

    def _imported(
        self, session: Session, row: tuple[Any, ...], batch: int, event: int | None, committed: Any
    ) -> str | None:
        if committed == 0:
            return None
        look = _IMPORTED_BLOCK if self._table == "suppressions" else _IMPORTED_CONSENT
        known = event is None and session.raw.execute(look, (*row, batch)).fetchone()
        return None if known else f"{self._table}: a row in force is not in import {batch}"

    def _recorded(
        self,
        session: Session,
        row: tuple[Any, ...],
        event: int | None,
        tenant: int | None,
        seq: int,
        t: int,
        kind: str,
        text: str | None,
    ) -> str | None:
        if event is None or tenant is None:
            return f"{self._table}: a row in force was never recorded"
        if text is None:
            # An erasure keeps the opt-out, by keyed hash, and takes the consent away.
            if self._table == "consents":
                return "a consent is on file that was erased"
            left = session.raw.execute(_ERASURES, (row[0], tenant)).fetchall()
            kept = [one for (said,) in left for one in json.loads(said)["data"].get("kept", ())]
            owner = None if tenant == OPERATOR_CHAIN else tenant
            own = row[1] == owner and [seq, *row[2:]] in kept
            return None if own else "a block is in force that no erasure left so"
        if row_of(tenant, t, kind, json.loads(text)) != row:
            return f"{self._table}: what is in force is not what it says"
        if kind in ("bounce", "suppression"):
            lifted = session.raw.execute(_LIFTED, (row[0], event, tenant)).fetchone()
            return "the block that it put is in force, and was lifted" if lifted else None
        return None
