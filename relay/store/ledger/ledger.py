"""The ledger: append-only events, hash-chained per tenant from the first one.

An event's chained row holds only a commitment, SHA-256(salt || canonical JSON); what it says stands
in a side table, so that erasure can take it away and leave the chain whole.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.model import SubjectKeys
from relay.ports import Clock, Json, NewEvent, StoreTrouble
from relay.store.ledger.chain import (
    BEGINNING,
    DISCONTINUITY,
    HEADS_MISSING,
    Head,
    chain_hash,
    commitment,
    milliseconds,
)
from relay.store.ledger.heads import Heads
from relay.store.ledger.verify import Mismatch, Verification, VerifyResult
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.journal import canonical
from relay.store.sqlite.transaction import Session, Transaction
from relay.store.sqlite.worker import Reader

log = logging.getLogger("relay.store")

SALT: Final = 16
"""Octets of an event's salt."""

_INSERT_EVENT: Final = (
    "INSERT INTO events (id, tenant_id, seq, t, type, commit_hash, prev, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_DATA: Final = (
    "INSERT INTO event_data (event_id, salt, json, exact, wide) VALUES (?, ?, ?, ?, ?)"
)
_PAGE: Final = (
    "SELECT e.id, e.tenant_id, e.seq, e.t, e.type, e.commit_hash, e.prev, e.hash,"
    " d.salt, d.json"
    " FROM events e LEFT JOIN event_data d ON d.event_id = e.id"
    " WHERE e.tenant_id = ? AND e.seq > ? ORDER BY e.seq LIMIT 1000"
)


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


Projector = Callable[[Transaction, int, NewEvent], None]


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

    async def verify(
        self,
        tenant_id: int | None = None,
        *,
        heads: Path | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> VerifyResult:
        """Check one chain, or all: every hash, all content that is still there, the evidence of
        imports, the signed heads, and that consents and opt-outs in force are those of the ledger.

        ``heads``: one more file of signed heads to check against. ``progress`` is told events done
        and in all. No snapshot is held from one page to the next. Raises StoreTrouble.
        """
        files = [path for path in (self._signed.copy_path, heads) if path is not None]
        check = Verification(tenant_id, self._signed, files)
        while await self._reader.read(check.step):
            progress(check.events, check.total or 0)
        if check.broken is None:
            check.broken = await self._writer.write(
                lambda tx: self._ends_differ(tx, tenant_id), essential=True
            )
        return check.result()

    async def sign(self) -> None:
        """Sign the heads of all chains that grew since they were signed last, so that every event
        until now is covered. Raises StoreTrouble."""
        signed: list[bool] = []
        await self._writer.write(
            lambda tx: tx.after(lambda: signed.append(self._sign(self._clock.now()))),
            essential=True,
        )
        if signed != [True]:
            raise StoreTrouble(f"{self._signed.path} cannot be written")

    @property
    def signatures(self) -> Heads:
        """The signed heads and their key."""
        return self._signed

    async def export(self, tenant_id: int) -> AsyncIterator[dict[str, Json]]:
        """The events of one chain, in order, ready for JSON; hashes as hex. ``content`` is what
        was committed to, octet for octet; None, as are subject and data, once it was erased."""
        seq = 0
        # Each page on its own: the export of a long chain keeps no snapshot open.
        while page := await self._reader.read(
            lambda session, seq=seq: [  # type: ignore[misc]
                Event(*row) for row in session.raw.execute(_PAGE, (tenant_id, seq))
            ]
        ):
            for event in page:
                yield shown(event)
            seq = page[-1].seq

    # --- in the writer's thread -------------------------------------------------------------

    def load(self, session: Session) -> None:
        """Read the heads anew, after the store was opened."""
        self._heads = chain_ends(session)
        (last,) = session.raw.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
        self._next_id = last + 1
        self._grown = self._unsigned()

    def begin(self, tx: Transaction) -> None:
        """Sign that nothing is there yet, before anything is; events without a single signed line
        have lost them, and every chain says so from now on."""
        if self._signed.end.lines:
            return
        now = self._clock.now()
        if not self._heads:
            self._signed.write({}, now)
            self._signed.hurry()
            return
        lost = [
            NewEvent(
                tenant,
                DISCONTINUITY,
                now,
                None,
                {"why": HEADS_MISSING, "last": {"seq": head.seq, "hash": head.hash.hex()}},
            )
            for tenant, head in sorted(self._heads.items())
        ]
        self.append(tx, lost)

    def append(self, tx: Transaction, events: Sequence[NewEvent]) -> list[int]:
        """Chain ``events`` within ``tx`` and bring the projections up to date; returns ids."""
        if not events:
            return []
        self._remember(tx, {event.tenant_id for event in events})
        rows, data = [], []
        ids = range(self._next_id, self._next_id + len(events))
        salts = secrets.token_bytes(SALT * len(events))
        for index, (number, event) in enumerate(zip(ids, events, strict=True)):
            tenant, subject, exact, wide = event.tenant_id, None, None, None
            if event.subject is not None:
                exact, wide = event.subject.exact.hex(), event.subject.wide.hex()
                subject = {"exact": exact, "wide": wide}
            text = canonical({"id": number, "subject": subject, "data": dict(event.data)})
            salt = salts[SALT * index : SALT * (index + 1)]
            head = self._heads.get(tenant, BEGINNING)
            seq, t, commit = head.seq + 1, milliseconds(event.at), commitment(salt, text)
            digest = chain_hash(seq, tenant, t, event.type, commit, head.hash)
            self._heads[tenant] = Head(seq, digest)
            rows.append((number, tenant, seq, t, event.type, commit, head.hash, digest))
            data.append((number, salt, text, exact, wide))
        self._next_id = ids.stop
        tx.raw.executemany(_INSERT_EVENT, rows)
        tx.raw.executemany(_INSERT_DATA, data)
        for number, event in zip(ids, events, strict=True):
            self._project(tx, number, event)
        tx.after(lambda: self._count(events))
        return list(ids)

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
            self._sign(at)

    def _sign(self, at: float) -> bool:
        """False when the heads could not be written; they stay due."""
        if self._grown:
            if not self._signed.write({tenant: self._heads[tenant] for tenant in self._grown}, at):
                return False
            self._grown.clear()
        return True

    def _unsigned(self) -> dict[int, int]:
        """How many events of each chain have no signed head yet."""
        grown: dict[int, int] = {}
        signed = self._signed.latest()
        for tenant in sorted(self._heads.keys() | signed.keys()):
            head, last = self._heads.get(tenant, BEGINNING), signed.get(tenant, BEGINNING)
            if head.seq > last.seq:
                grown[tenant] = head.seq - last.seq
            elif head != last:
                log.critical(
                    "the ledger was changed: chain %d ends with event %d, and event %d was signed;"
                    " see `consent-relay ledger verify`",
                    tenant,
                    head.seq,
                    last.seq,
                )
        return grown

    def _ends_differ(self, tx: Transaction, tenant_id: int | None) -> Mismatch | None:
        """Compare the chains' ends with those that this process wrote: a tail that was cut while
        it runs shows although no head was signed yet."""
        stored = chain_ends(tx)
        for tenant in sorted(self._heads.keys() | stored.keys()):
            head, found = self._heads.get(tenant, BEGINNING), stored.get(tenant, BEGINNING)
            if head == found or tenant_id not in (None, tenant):
                continue
            if found.seq < head.seq:
                return tenant, found.seq + 1, f"events up to {head.seq} were cut off"
            return tenant, head.seq + 1, "it was not written by the relay that runs"
        return None

    def _remember(self, tx: Transaction, tenants: Collection[int]) -> None:
        number = self._next_id
        before = {tenant: self._heads.get(tenant, BEGINNING) for tenant in tenants}

        def back() -> None:
            self._next_id = number
            self._heads.update(before)

        tx.undo(back)

    def _count(self, events: Sequence[NewEvent]) -> None:
        for event in events:
            self._grown[event.tenant_id] = self._grown.get(event.tenant_id, 0) + 1


def shown(event: Event) -> dict[str, Json]:
    """An event ready for JSON, see ``Ledger.export``."""
    said = json.loads(event.json) if event.json is not None else {}
    return {
        "id": event.id,
        "tenant": event.tenant_id,
        "seq": event.seq,
        "t": event.t,
        "type": event.type,
        "subject": said.get("subject"),
        "data": said.get("data"),
        "erased": event.json is None,
        "salt": event.salt.hex() if event.salt is not None else None,
        "content": event.json,
        "commit": event.commit_hash.hex(),
        "prev": event.prev.hex(),
        "hash": event.hash.hex(),
    }


def chain_ends(session: Session) -> dict[int, Head]:
    """The last event of every chain, by tenant."""
    ends: dict[int, Head] = {}
    tenant = -1
    while True:
        # One step down an index for each chain, however long it is.
        row = session.raw.execute(
            "SELECT tenant_id, seq, hash FROM events WHERE tenant_id ="
            " (SELECT min(tenant_id) FROM events WHERE tenant_id > ?)"
            " ORDER BY seq DESC LIMIT 1",
            (tenant,),
        ).fetchone()
        if row is None:
            return ends
        tenant, seq, digest = row
        ends[tenant] = Head(seq, digest)
