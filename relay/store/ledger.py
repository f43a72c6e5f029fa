"""The ledger: append-only events, hash-chained per tenant from the first one.

An event's chained row holds only a commitment, SHA-256(salt || canonical JSON); what it says stands
in a side table, so that erasure can take it away and leave the chain whole.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.model import SubjectKeys
from relay.ports import Clock, Json, NewEvent
from relay.store.engine import Writer
from relay.store.heads import Head, Heads
from relay.store.journal import canonical
from relay.store.transaction import Session, Transaction
from relay.store.worker import Reader

OPERATOR_CHAIN: Final = 0
"""The chain of what belongs to no tenant."""
_START: Final = Head(0, bytes(32))

_INSERT_EVENT: Final = (
    "INSERT INTO events (id, tenant_id, seq, t, type, commit_hash, prev, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_DATA: Final = (
    "INSERT INTO event_data (event_id, salt, json, exact, wide) VALUES (?, ?, ?, ?, ?)"
)
_PAGE: Final = (
    "SELECT e.id, e.tenant_id, e.seq, e.t, e.type, e.commit_hash, e.prev, e.hash,"
    " d.salt, d.json, d.exact, d.wide"
    " FROM events e LEFT JOIN event_data d ON d.event_id = e.id"
    " WHERE (e.tenant_id, e.seq) > (?, ?) AND e.tenant_id <= ?"
    " ORDER BY e.tenant_id, e.seq LIMIT 1000"
)
_IMPORT_ROWS: Final = (
    "SELECT line, exact, wide, basis, at, commit_hash, salt, json FROM import_rows"
    " WHERE import_id = ? ORDER BY line"
)


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What a check of the ledger found."""

    ok: bool
    events: int
    """How many events were read."""
    erased: int
    """How many of them have had their content erased; the chain holds without it."""
    first_broken: tuple[int, int, str] | None
    """Tenant, sequence number and what is wrong, of the first event that does not hold."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it stands in the database."""

    id: int
    tenant_id: int
    seq: int
    t: int
    """Milliseconds since the epoch."""
    type: str
    commit_hash: bytes
    prev: bytes
    hash: bytes
    salt: bytes | None
    """None once the content was erased."""
    json: str | None
    exact: str | None
    wide: str | None


Projector = Callable[[Transaction, int, NewEvent], None]


def commitment(salt: bytes, text: str) -> bytes:
    """SHA-256(salt || canonical JSON)."""
    return hashlib.sha256(salt + text.encode()).digest()


def chain_hash(seq: int, tenant_id: int, t: int, kind: str, commit: bytes, prev: bytes) -> bytes:
    """SHA-256(0x00 || seq || tenant || t || type || commit || prev): numbers as eight octets,
    the type with its length in front."""
    word = kind.encode()
    numbers = b"".join(n.to_bytes(8, "big", signed=True) for n in (seq, tenant_id, t))
    return hashlib.sha256(
        b"\x00" + numbers + len(word).to_bytes(2, "big") + word + commit + prev
    ).digest()


def content_hash(before: bytes, row: bytes) -> bytes:
    """The running hash over the commitments of an import's rows, in order of lines."""
    return hashlib.sha256(before + row).digest()


def milliseconds(at: float) -> int:
    """Seconds since the epoch as the whole milliseconds that are hashed."""
    return round(at * 1_000)


class Ledger:
    """Appends in the writer's thread; reads in a reader's."""

    def __init__(self, heads: Heads, clock: Clock, project: Projector) -> None:
        self._signed: Final = heads
        self._clock: Final = clock
        self._project: Final = project
        self._heads: dict[int, Head] = {}
        self._next_id = 1
        self._grown: dict[int, int] = {}
        self._writer: Writer
        self._reader: Reader

    def attach(self, writer: Writer, reader: Reader) -> None:
        """Hand over the connections."""
        self._writer, self._reader = writer, reader

    async def record(self, events: Sequence[NewEvent], *, essential: bool = False) -> list[int]:
        """Append ``events``; returns their ids once synced. Raises StoreTrouble."""
        return await self._writer.write(lambda tx: self.append(tx, events), essential=essential)

    async def verify(self, tenant_id: int | None = None) -> VerifyResult:
        """Check one chain, or all: every hash, every content that is still there, the evidence
        of imports, and the signed heads. Raises StoreTrouble."""
        try:
            signed = self._signed.signed()
        except ValueError as error:
            return VerifyResult(False, 0, 0, (tenant_id or OPERATOR_CHAIN, 0, str(error)))
        check = _Check(signed, tenant_id)
        async for page in self._pages(tenant_id):
            for event in page:
                check.event(event)
                if check.broken is None and event.type in IMPORTED and event.json is not None:
                    check.evidence(event, await self._evidence(event))
                if check.broken is not None:
                    return check.result()
        orphans = await self._reader.read(_orphans)
        check.end(orphans)
        return check.result()

    async def export(self, tenant_id: int) -> AsyncIterator[dict[str, Json]]:
        """The events of one chain, in order, ready for JSON; hashes as hex."""
        async for page in self._pages(tenant_id):
            for event in page:
                said = json.loads(event.json) if event.json is not None else {}
                yield {
                    "tenant": event.tenant_id,
                    "seq": event.seq,
                    "t": event.t,
                    "type": event.type,
                    "subject": said.get("subject"),
                    "data": said.get("data"),
                    "erased": event.json is None,
                    "salt": event.salt.hex() if event.salt is not None else None,
                    "commit": event.commit_hash.hex(),
                    "prev": event.prev.hex(),
                    "hash": event.hash.hex(),
                }

    # --- in the writer's thread -------------------------------------------------------------

    def load(self, session: Session) -> None:
        """Read the heads anew, after the store was opened."""
        self._heads = {
            tenant: Head(seq, digest)
            for tenant, seq, digest in session.raw.execute(
                "SELECT tenant_id, max(seq), hash FROM events GROUP BY tenant_id"
            )
        }
        (last,) = session.raw.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
        self._next_id = last + 1

    def append(self, tx: Transaction, events: Sequence[NewEvent]) -> list[int]:
        """Chain ``events`` within ``tx`` and bring the projections up to date; returns ids."""
        rows, data, ids = [], [], []
        for event in events:
            tenant = event.tenant_id
            head = self._heads.get(tenant, _START)
            self._remember(tx, tenant)
            seq, t = head.seq + 1, milliseconds(event.at)
            keys = event.subject
            text = canonical({"subject": _subject(keys), "data": dict(event.data)})
            salt = secrets.token_bytes(16)
            commit = commitment(salt, text)
            digest = chain_hash(seq, tenant, t, event.type, commit, head.hash)
            number = self._next_id
            self._next_id += 1
            self._heads[tenant] = Head(seq, digest)
            rows.append((number, tenant, seq, t, event.type, commit, head.hash, digest))
            exact, wide = (keys.exact.hex(), keys.wide.hex()) if keys else (None, None)
            data.append((number, salt, text, exact, wide))
            ids.append(number)
        tx.raw.executemany(_INSERT_EVENT, rows)
        tx.raw.executemany(_INSERT_DATA, data)
        for number, event in zip(ids, events, strict=True):
            self._project(tx, number, event)
        tx.after(lambda: self._count(events))
        return ids

    def replay(self, session: Session) -> Iterator[tuple[int, NewEvent]]:
        """Every event whose content is still there, in order of ids."""
        for number, tenant, t, kind, text in session.raw.execute(
            "SELECT e.id, e.tenant_id, e.t, e.type, d.json FROM events e"
            " JOIN event_data d ON d.event_id = e.id ORDER BY e.id"
        ).fetchall():
            said = json.loads(text)
            subject = said["subject"]
            keys = (
                SubjectKeys(bytes.fromhex(subject["exact"]), bytes.fromhex(subject["wide"]))
                if subject
                else None
            )
            yield number, NewEvent(tenant, kind, t / 1_000, keys, said["data"])

    def tick(self, closing: bool) -> None:
        """Write signed heads when they are due; called between transactions."""
        events, at = sum(self._grown.values()), self._clock.now()
        if events and (closing or self._signed.due(events, at)):
            self._signed.write({tenant: self._heads[tenant] for tenant in self._grown}, at)
            self._grown.clear()

    def _remember(self, tx: Transaction, tenant: int) -> None:
        before, number = self._heads.get(tenant), self._next_id

        def back() -> None:
            self._next_id = number
            if before is None:
                self._heads.pop(tenant, None)
            else:
                self._heads[tenant] = before

        tx.undo(back)

    def _count(self, events: Sequence[NewEvent]) -> None:
        for event in events:
            self._grown[event.tenant_id] = self._grown.get(event.tenant_id, 0) + 1

    # --- in a reader's thread ---------------------------------------------------------------

    async def _pages(self, tenant_id: int | None) -> AsyncIterator[list[Event]]:
        """Pages, each read on its own: a check of a long ledger keeps no snapshot open."""
        last = 2**62 if tenant_id is None else tenant_id
        at = (-1, 0) if tenant_id is None else (tenant_id, 0)
        while True:
            after = at
            page = await self._reader.read(
                lambda session, after=after: [  # type: ignore[misc]
                    Event(*row) for row in session.raw.execute(_PAGE, (*after, last))
                ]
            )
            if not page:
                return
            yield page
            at = (page[-1].tenant_id, page[-1].seq)

    async def _evidence(self, event: Event) -> list[tuple[Any, ...]]:
        number = json.loads(event.json or "{}")["data"]["import"]
        return await self._reader.read(
            lambda session: session.raw.execute(_IMPORT_ROWS, (number,)).fetchall()
        )


IMPORTED: Final = frozenset({"consent.imported", "optout.imported"})
"""Events that stand for a batch; the evidence of each row is in ``import_rows``."""


def _subject(keys: SubjectKeys | None) -> Json:
    return {"exact": keys.exact.hex(), "wide": keys.wide.hex()} if keys else None


def _orphans(session: Session) -> list[int]:
    return [
        number
        for (number,) in session.raw.execute(
            "SELECT event_id FROM event_data WHERE event_id NOT IN (SELECT id FROM events) LIMIT 1"
        )
    ]


class _Check:
    """Walks the chains once and stops at the first thing that does not hold."""

    def __init__(self, signed: dict[int, dict[int, bytes]], tenant_id: int | None) -> None:
        self._signed: Final = {
            tenant: heads for tenant, heads in signed.items() if tenant_id in (None, tenant)
        }
        self._heads: Final[dict[int, Head]] = {}
        self._events = 0
        self._erased = 0
        self.broken: tuple[int, int, str] | None = None

    def event(self, event: Event) -> None:
        self._events += 1
        self._erased += event.json is None
        before = self._heads.get(event.tenant_id, _START)
        why = self._why(event, before)
        if why is not None:
            self.broken = (event.tenant_id, event.seq, why)
        self._heads[event.tenant_id] = Head(event.seq, event.hash)

    def _why(self, event: Event, before: Head) -> str | None:
        if event.seq != before.seq + 1:
            return f"event {before.seq + 1} is missing"
        if event.prev != before.hash:
            return "it does not follow from the event before it"
        expected = chain_hash(
            event.seq, event.tenant_id, event.t, event.type, event.commit_hash, event.prev
        )
        if event.hash != expected:
            return "its hash does not match its fields"
        signed = self._signed.get(event.tenant_id, {}).get(event.seq)
        if signed is not None and signed != event.hash:
            return "it is not the event whose hash was signed"
        if event.json is None or event.salt is None:
            return None
        if commitment(event.salt, event.json) != event.commit_hash:
            return "its content was changed"
        subject = json.loads(event.json)["subject"] or {}
        if (event.exact, event.wide) != (subject.get("exact"), subject.get("wide")):
            return "it was filed under another person"
        return None

    def evidence(self, event: Event, rows: Sequence[tuple[Any, ...]]) -> None:
        said = json.loads(event.json or "{}")["data"]
        running = bytes(32)
        for line, exact, wide, basis, at, commit, salt, text in rows:
            running = content_hash(running, commit)
            if text is None:
                continue
            filed = {"line": line, "exact": exact, "wide": wide, "basis": basis, "at": at}
            row = json.loads(text) if commitment(salt, text) == commit else {}
            if any(row.get(name) != value for name, value in filed.items()):
                self.broken = (event.tenant_id, event.seq, f"evidence of line {line} was changed")
                return
        if running.hex() != said["content"] or len(rows) != said["rows"]:
            self.broken = (event.tenant_id, event.seq, "rows of the import were changed")

    def end(self, orphans: Sequence[int]) -> None:
        for tenant, heads in sorted(self._signed.items()):
            last = self._heads.get(tenant, _START).seq
            cut = [seq for seq in heads if seq > last]
            if cut:
                self.broken = (tenant, last + 1, f"events up to {max(cut)} were cut off")
                return
        if orphans:
            self.broken = (OPERATOR_CHAIN, 0, f"content of event id {orphans[0]} has no event")

    def result(self) -> VerifyResult:
        return VerifyResult(self.broken is None, self._events, self._erased, self.broken)
