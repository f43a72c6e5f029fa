"""The evidence of imports: each batch's rows against the one event that stands for them."""

from __future__ import annotations

import json
from typing import Any, Final

from relay.store.ledger.chain import START, commitment, content_hash, milliseconds
from relay.store.ledger.verify_heads import Mismatch
from relay.store.sqlite.transaction import Session

PAGE: Final = 500

_IMPORT: Final = (
    "SELECT CAST(kind AS BLOB), tenant_id, list_id, brand_id, source_id, at, rows, opted_out,"
    " content, committed, event_id FROM imports WHERE id = ?"
)
_ROWS: Final = (
    "SELECT line, CAST(exact AS BLOB), CAST(wide AS BLOB), CAST(basis AS BLOB), at, commit_hash,"
    " salt, CAST(json AS BLOB) FROM import_rows WHERE import_id = ? AND line > ?"
    " ORDER BY line LIMIT 500"
)
# By person: the index on ``import_id`` would read the whole batch for each of its rows.
_CONSENT: Final = (
    "SELECT 1 FROM consents INDEXED BY consents_exact"
    " WHERE exact = ? AND tenant_id = ? AND import_id = ? AND at = ?"
    " AND wide = ? AND basis = ? AND state = 'granted' AND own_act = 0"
    " AND brand_id IS ? AND list_id IS ?"
)
_OPTOUT: Final = (
    "SELECT 1 FROM suppressions INDEXED BY suppressions_wide"
    " WHERE wide = ? AND tenant_id = ? AND import_id = ? AND at = ?"
    " AND state = 'withdrawn' AND brand_id IS ? AND list_id IS ?"
)
_STRAY_IMPORT: Final = (
    "SELECT i.id, i.tenant_id FROM imports i LEFT JOIN events e ON e.id = i.event_id"
    " LEFT JOIN event_data d ON d.event_id = e.id"
    " WHERE i.committed <> 0 AND (i.tenant_id = ?1 OR ?1 IS NULL) AND (e.id IS NULL"
    " OR e.type <> i.kind || '.imported' OR"
    " CASE WHEN json_valid(d.json) THEN json_extract(d.json, '$.data.import') END IS NOT i.id)"
    " LIMIT 1"
)
_DATA: Final = (
    "SELECT d.event_id, e.id FROM event_data d LEFT JOIN events e ON e.id = d.event_id"
    " WHERE d.event_id > ? ORDER BY d.event_id LIMIT 5000"
)
_ERASED: Final = (
    "SELECT 1 FROM event_data d JOIN events e ON e.id = d.event_id"
    " WHERE d.wide = ? AND e.tenant_id IN (0, ?) AND e.type = 'erasure'"
)
_STRAY_ERASURE: Final = (
    "SELECT g.tenant_id FROM erasures g LEFT JOIN events e ON e.id = g.event_id"
    " AND e.tenant_id = g.tenant_id AND e.type = 'erasure' AND abs(e.t - g.at * 1000) < 1"
    " LEFT JOIN event_data d ON d.event_id = e.id"
    " WHERE (g.tenant_id = ?1 OR ?1 IS NULL) AND d.wide IS NOT g.wide LIMIT 1"
)
_NEXT_IMPORT: Final = "SELECT min(import_id) FROM import_rows WHERE import_id > ?"


class ImportCheck:
    """One batch, its rows a page at a time."""

    def __init__(self, event: tuple[Any, ...], said: dict[str, Any]) -> None:
        """``event``: id, tenant, seq, t and type; ``said``: its data, which holds."""
        self._number, self._tenant, self._seq, self._t, self._type = event
        self._said: Final = said
        self._import: Final = said["import"]
        self._running = START
        self._count = 0
        self._line = -(2**62)
        self.broken: Mismatch | None = None

    def step(self, session: Session) -> bool:
        """Check a page; False when all rows are done, or something is broken."""
        if self._count == 0:
            self._record(session)
        page = session.raw.execute(_ROWS, (self._import, self._line)).fetchall()
        for row in page:
            if self.broken is not None:
                return False
            self._row(session, row)
        if page:
            return self.broken is None
        whole = self._running.hex() == self._said["content"] and self._count == self._said["rows"]
        if not whole:
            self._break("rows of the import were changed")
        return False

    def _record(self, session: Session) -> None:
        said = self._said
        kind = self._type.removesuffix(b".imported")
        filed = session.raw.execute(_IMPORT, (self._import,)).fetchone()
        scope = (said["list"], said["brand"], said["source"], said["at"])
        counts = (said["rows"], said["opted_out"], bytes.fromhex(said["content"]))
        if filed != (kind, self._tenant, *scope, *counts, 1, self._number) or (
            milliseconds(said["at"]) != self._t
        ):
            self._break(f"import {self._import} is not filed as it was recorded")

    def _row(self, session: Session, row: tuple[Any, ...]) -> None:
        line, exact, wide, basis, at, commit, salt, text = row
        self._running = content_hash(self._running, line, commit)
        self._count += 1
        self._line = line
        if text is None:
            self._erased(session, row)
            return
        filed = {"line": line, "at": at}
        texts = {"exact": exact, "wide": wide, "basis": basis}
        said = json.loads(text) if salt and commitment(salt, text) == commit else {}
        if any(said.get(name) != value for name, value in filed.items()) or any(
            str(said.get(name)).encode() != value for name, value in texts.items()
        ):
            self._break(f"evidence of line {line} was changed")
        elif not self._in_force(session, exact, wide, basis, at):
            self._break(f"line {line} and what is in force by it differ")

    def _erased(self, session: Session, row: tuple[Any, ...]) -> None:
        """What an erasure leaves: the hash that opt-outs match, and nothing else of the person."""
        line, exact, wide, basis, at, _, salt, _ = row
        erased = session.raw.execute(
            _ERASED, (wide.decode(errors="replace"), self._tenant)
        ).fetchone()
        if salt is not None or erased is None or exact != wide or basis != b"none":
            self._break(f"evidence of line {line} is gone, but not as an erasure leaves it")
        elif self._type == b"consent.imported":
            if at != self._said["at"]:
                self._break(f"line {line} is not as an erasure leaves it")
        elif not self._in_force(session, exact, wide, basis, at):
            self._break(f"line {line} and what is in force by it differ")

    def _in_force(
        self, session: Session, exact: bytes, wide: bytes, basis: bytes, at: float
    ) -> bool:
        scope = (self._said["brand"], self._said["list"])
        batch = (self._tenant, self._import, at)
        if self._type == b"consent.imported":
            look = (exact.decode(), *batch, wide.decode(), basis.decode(), *scope)
            return session.raw.execute(_CONSENT, look).fetchone() is not None
        return session.raw.execute(_OPTOUT, (wide.decode(), *batch, *scope)).fetchone() is not None

    def _break(self, why: str) -> None:
        if self.broken is None:
            self.broken = (self._tenant, self._seq, why)


class StrayRows:
    """What belongs to no event: contents, batches and their rows, erasures."""

    def __init__(self, tenant_id: int | None) -> None:
        self._tenant: Final = tenant_id
        self._import = self._data = -(2**62)
        self.broken: Mismatch | None = None

    def step(self, session: Session) -> bool:
        """Check a page; False when there is nothing left, or something is broken."""
        if self._import < 0:
            self._batches(session)
        more = self._rows(session) | self._contents(session)
        return more and self.broken is None

    def _batches(self, session: Session) -> None:
        stray = session.raw.execute(_STRAY_IMPORT, (self._tenant,)).fetchone()
        if stray is not None:
            self._break(stray[1], f"import {stray[0]} has no event that recorded it")
        stray = session.raw.execute(_STRAY_ERASURE, (self._tenant,)).fetchone()
        if stray is not None:
            self._break(stray[0], "a person counts as erased, and no event recorded it")

    def _rows(self, session: Session) -> bool:
        for _ in range(PAGE):
            (number,) = session.raw.execute(_NEXT_IMPORT, (self._import,)).fetchone()
            if number is None:
                return False
            self._import = number
            known = session.raw.execute("SELECT 1 FROM imports WHERE id = ?", (number,)).fetchone()
            if known is None:
                self._break(None, f"rows of an import {number} that was never recorded")
        return True

    def _contents(self, session: Session) -> bool:
        page = session.raw.execute(_DATA, (self._data,)).fetchall()
        for number, event in page:
            self._data = number
            if event is None:
                self._break(None, f"content of event id {number} has no event")
        return bool(page)

    def _break(self, tenant: int | None, why: str) -> None:
        if self.broken is None:
            self.broken = (tenant or self._tenant or 0, 0, why)
