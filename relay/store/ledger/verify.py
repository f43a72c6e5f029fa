"""The check of the ledger: page by page, so that it holds no snapshot for long and fills no memory.

Each step runs in a reader's thread, in a transaction of its own, and goes on where the one before
it ended. The first thing that does not hold ends the check.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from relay.ports import Json
from relay.store.ledger.chain import (
    BEGINNING,
    DISCONTINUITY,
    ERASURE,
    IMPORTED,
    NEVER_ERASED,
    OPERATOR_CHAIN,
    Head,
    chain_hash,
    commitment,
)
from relay.store.ledger.heads import Heads
from relay.store.ledger.verify_heads import HeadsCheck, Mismatch
from relay.store.ledger.verify_imports import ImportCheck, StrayRows
from relay.store.ledger.verify_projections import RowsCheck, missing_row
from relay.store.sqlite.transaction import Session

__all__ = ["Discontinuity", "Mismatch", "Verification", "VerifyResult"]

# Text is read as octets: after a change it may be no text any more.
_EVENTS: Final = (
    "SELECT e.id, e.tenant_id, e.seq, e.t, CAST(e.type AS BLOB), e.commit_hash, e.prev, e.hash,"
    " d.salt, CAST(d.json AS BLOB), CAST(d.exact AS BLOB), CAST(d.wide AS BLOB)"
    " FROM events e LEFT JOIN event_data d ON d.event_id = e.id"
    " WHERE (e.tenant_id, e.seq) > (?, ?) AND e.tenant_id BETWEEN ? AND ?"
    " ORDER BY e.tenant_id, e.seq LIMIT 500"
)

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """A chain that was continued from a backup."""

    tenant_id: int
    seq: int
    at: float
    """When, epoch seconds."""
    said: dict[str, Json]
    """What is known: ``backup_at``, ``last``, ``lost`` (see ``relay.store.restore``)."""


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What a check of the ledger found."""

    ok: bool
    events: int
    """How many events were read."""
    erased: int
    """How many of them have had their content erased; the chain holds without it."""
    first_broken: Mismatch | None
    """Tenant, sequence number and what is wrong, of the first event that does not hold."""
    discontinuities: tuple[Discontinuity, ...] = ()
    """Where the store came back from a backup."""


class _Pass(Protocol):
    """One way through the ledger."""

    broken: Mismatch | None

    def step(self, session: Session) -> bool:
        """Check a page; False when there is nothing left, or something is broken."""


class Verification:
    """All passes, one after the other."""

    def __init__(self, tenant_id: int | None, heads: Heads, copies: Sequence[Path]) -> None:
        self._chains: Final = _Chains(tenant_id)
        self._passes: Final[list[_Pass]] = [
            self._chains,
            HeadsCheck(heads.path, heads.public, tenant_id, end=heads.end),
            *(HeadsCheck(path, heads.public, tenant_id) for path in copies),
            StrayRows(tenant_id),
            RowsCheck("consents", tenant_id),
            RowsCheck("suppressions", tenant_id),
        ]
        self.broken: Mismatch | None = None
        self.total: int | None = None
        """Events in the store when the check began."""

    @property
    def events(self) -> int:
        """Events read so far."""
        return self._chains.events

    def step(self, session: Session) -> bool:
        """One page; False when all is done or something is broken."""
        # One transaction, so that an event and what follows from it are of the same moment.
        session.raw.execute("BEGIN")
        try:
            if self.total is None:
                row = session.raw.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
                self.total = int(row[0])
            return self._step(session)
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
            self.broken = (OPERATOR_CHAIN, 0, "a row holds octets where it should hold text")
            return False
        finally:
            session.raw.execute("ROLLBACK")

    def _step(self, session: Session) -> bool:
        now = self._passes[0]
        if now.step(session):
            return True
        self.broken = now.broken
        del self._passes[0]
        return self.broken is None and bool(self._passes)

    def result(self) -> VerifyResult:
        """What was found."""
        return VerifyResult(
            self.broken is None,
            self._chains.events,
            self._chains.erased,
            self.broken,
            tuple(self._chains.discontinuities),
        )


class _Chains:
    """Every event in its place, with its content and what follows from it."""

    def __init__(self, tenant_id: int | None) -> None:
        self._tenants: Final = (0, 2**62) if tenant_id is None else (tenant_id, tenant_id)
        self._all: Final = tenant_id is None
        self._at = (self._tenants[0], -(2**62))
        self._head = BEGINNING
        self._last_id = 0
        self._gone = self._first_gone = self._taken = 0
        self._import: ImportCheck | None = None
        self.broken: Mismatch | None = None
        self.events = 0
        self.erased = 0
        self.discontinuities: Final[list[Discontinuity]] = []

    def step(self, session: Session) -> bool:
        if self._import is not None:
            if not self._import.step(session):
                self.broken, self._import = self._import.broken, None
            return self.broken is None
        return self._page(session)

    def _page(self, session: Session) -> bool:
        page = session.raw.execute(_EVENTS, (*self._at, *self._tenants)).fetchall()
        for row in page:
            if row[1] != self._at[0]:
                self._chain_ends()
            if self.broken is not None or not self._event(session, row):
                return False
            if self._import is not None:
                return True
        if not page:
            self._chain_ends()
            if self._all and self.broken is None:
                self.broken = _numbered(session)
        return bool(page)

    def _chain_ends(self) -> None:
        """Contents may be missing only as far as erasures of this chain say that they took some."""
        if self._gone > self._taken:
            why = f"its content is gone ({self._gone} are, and erasures took {self._taken})"
            self.broken = (self._at[0], self._first_gone, why)
        self._head, self._last_id = BEGINNING, 0
        self._gone = self._taken = 0

    def _event(self, session: Session, row: Row) -> bool:
        number, tenant, seq, *_, digest, _, text, _, _ = row
        self.events += 1
        why = _why(row, self._head, self._last_id)
        if why is None and text is None:
            self.erased += 1
            self._first_gone = self._first_gone if self._gone else seq
            self._gone += 1
        elif why is None:
            why = self._content(session, row, json.loads(text))
        if why is not None:
            self.broken = (tenant, min(seq, self._head.seq + 1), why)
        self._at, self._head, self._last_id = (tenant, seq), Head(seq, digest), number
        return why is None

    def _content(self, session: Session, row: Row, said: dict[str, Any]) -> str | None:
        number, tenant, seq, t, octets, *_ = row
        kind, data = octets.decode(), said["data"]
        if kind in IMPORTED:
            self._import = ImportCheck(row[:5], data)
        elif kind == ERASURE:
            self._taken += data.get("events", 0)
        elif kind == DISCONTINUITY:
            self.discontinuities.append(Discontinuity(tenant, seq, t / 1_000, dict(data)))
        return missing_row(session, number, tenant, t, kind, said)


def _why(row: Row, before: Head, last_id: int) -> str | None:
    number, tenant, seq, t, kind, commit, prev, digest, salt, text, exact, wide = row
    if seq > before.seq + 1:
        return f"event {before.seq + 1} is missing"
    if seq != before.seq + 1:
        return "it is not in its place"
    if prev != before.hash:
        return "it does not follow from the event before it"
    if digest != chain_hash(seq, tenant, t, kind, commit, prev):
        return "its hash does not match its fields"
    if number <= last_id:
        return "its number is not above that of the event before it"
    if text is None:
        gone = kind.decode() in NEVER_ERASED
        return "its content is gone, and it is about no person" if gone else None
    if commitment(salt, text) != commit:
        return "its content was changed"
    said = json.loads(text)
    if "id" not in said:
        return "it was written by a version before 0.1.0, whose events cannot be checked"
    if said["id"] != number:
        return f"it stands under the number {number} and was written as {said['id']}"
    subject = said["subject"] or {}
    filed = tuple(None if key is None else key.decode(errors="replace") for key in (exact, wide))
    if filed != (subject.get("exact"), subject.get("wide")):
        return "it was filed under another person"
    return None


def _numbered(session: Session) -> Mismatch | None:
    """Events are numbered from 1 without gaps, over all chains."""
    first, last, count = session.raw.execute(
        "SELECT coalesce(min(id), 1), coalesce(max(id), 0), count(*) FROM events"
    ).fetchone()
    if (first, last) == (1, count):
        return None
    chain, seq = session.raw.execute(
        "SELECT tenant_id, seq FROM events WHERE id = ?", (last if first == 1 else first,)
    ).fetchone()
    return chain, seq, "its number is not one that the relay gave"
