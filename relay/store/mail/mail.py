"""Bodies and copies: implements ``relay.ports.MailStore``.

A small body rides in the commit; a large one is a file, synced and named before its row commits,
and removed after the row's removal has. Content lives as long as a copy waits or is held; what was
decided and what became of it stays listed until it is purged.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from relay.model import Address, Copy, CopyState, Kind, Reason, StoredMessage
from relay.ports import Clock, CopyChange, NewEvent, OneClick, StoreTrouble, Waiting
from relay.store.ledger.ledger import Ledger
from relay.store.mail.bodies import BodyFiles
from relay.store.mail.recent import RecentMail
from relay.store.mail.rows import (
    COPY_COLUMNS,
    MESSAGE_COLUMNS,
    RECORD_COLUMNS,
    CopyRecord,
    copy_of,
    copy_row,
    message_of,
    message_row,
    parts_of,
    record_of,
)
from relay.store.mail.usage import Usage, utc_day
from relay.store.outbox import one_click as one_click_urls
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.transaction import Session, Transaction
from relay.store.sqlite.worker import Reader

log = logging.getLogger("relay.store")

LIVE: Final = frozenset({CopyState.WAITING, CopyState.HELD})
"""States in which a copy may still leave."""
_ONCE: Final = 1_000
"""Copies or messages that one clearing step touches."""


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" * len(columns.split(",")))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - constants


_INSERT_MESSAGE: Final = _insert("messages", MESSAGE_COLUMNS)
_INSERT_BODY: Final = _insert("bodies", "message_id, tenant_id, size, in_file, header, octets")
_INSERT_COPY: Final = _insert("copies", COPY_COLUMNS)
_UPDATE_COPY: Final = (
    "UPDATE copies SET state = ?, next_at = ?, attempts = ?, last_reply = ?, reason = ?,"
    " released_kind = coalesce(?, released_kind), expires_at = coalesce(?, expires_at)"
    " WHERE message_id = ? AND seq = ? AND state IN ('waiting', 'held') RETURNING tenant_id"
)
_DELETE_BODY: Final = (
    "DELETE FROM bodies WHERE message_id = ?1 AND NOT EXISTS (SELECT 1 FROM copies"
    " WHERE message_id = ?1 AND state IN ('waiting', 'held')) RETURNING tenant_id, size, in_file"
)
_MESSAGE: Final = (
    f"SELECT {', '.join('m.' + name for name in MESSAGE_COLUMNS.split(', '))}, b.header"  # noqa: S608
    " FROM messages m LEFT JOIN bodies b ON b.message_id = m.id WHERE m.id = ?"
)
_COPIES: Final = (
    f"SELECT {COPY_COLUMNS} FROM copies WHERE message_id = ?"  # noqa: S608 - constants
    " AND seq IN (SELECT value FROM json_each(?))"
)
_WAITING: Final = (
    "SELECT c.message_id, c.seq, c.tenant_id, c.domain, coalesce(c.released_kind, m.kind),"
    " c.next_at FROM copies c JOIN messages m ON m.id = c.message_id"
    " WHERE c.state = 'waiting' ORDER BY c.at, c.message_id, c.seq"
)
_RECORDS: Final = f"SELECT {RECORD_COLUMNS} FROM copies c JOIN messages m ON m.id = c.message_id"  # noqa: S608
_OLDEST_FIRST: Final = " ORDER BY c.at, c.message_id, c.seq"


@dataclass(frozen=True, slots=True)
class Counts:
    """What waits and what is held, for metrics."""

    waiting: int
    oldest_waiting_at: float | None
    held: Mapping[int, int]
    """Held copies per tenant id."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    tenant_id: int
    message: tuple[Any, ...]
    body: tuple[Any, ...] | None
    copies: list[tuple[Any, ...]]
    live: int
    size: int
    events: Sequence[NewEvent]
    personal: int
    day: int
    one_click: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class _Changed:
    rows: list[tuple[Any, ...]]
    ended: set[str]
    """Messages of which a copy came to its end."""
    events: Sequence[NewEvent]


@dataclass(slots=True)
class _Used:
    """By how much one transaction changes what a tenant uses."""

    copies: int = 0
    octets: int = 0


class Mail:
    """Bodies and copies. All methods raise StoreTrouble."""

    def __init__(
        self,
        files: BodyFiles,
        ledger: Ledger,
        clock: Clock,
        *,
        large_body: int,
        exact_key: Callable[[Address], bytes],
    ) -> None:
        self._files: Final = files
        self._usage: Final = Usage()
        self._clock: Final = clock
        self._large_body: Final = large_body
        self._exact_key: Final = exact_key
        self._recent: Final = RecentMail()
        self._accepts: Final = _AcceptLane(ledger, self._usage)
        self._changes: Final = _ChangeLane(ledger, self._usage, files)
        self._disk: Final = ThreadPoolExecutor(2, thread_name_prefix="store-bodies")
        self._writer: Writer
        self._reader: Reader
        self._slow: Reader

    def attach(self, writer: Writer, reader: Reader, slow: Reader) -> None:
        """Hand over the connections; ``slow`` is for listings and large reads."""
        self._writer, self._reader, self._slow = writer, reader, slow

    async def accept(
        self,
        message: StoredMessage,
        body: bytes,
        copies: Sequence[Copy],
        events: Sequence[NewEvent],
        personal: int,
        one_click: OneClick | None = None,
    ) -> None:
        """Commit body, copies with their verdicts, and events, and remember ``one_click``; synced
        to disk on return.

        Raises StoreTrouble (DiskFull when there is no room).
        """
        live = sum(copy.state in LIVE for copy in copies)
        in_file = live > 0 and len(body) > self._large_body
        if in_file:
            await self._on_disk(self._files.write, message.id, body)
        item = _Accepted(
            tenant_id=message.tenant_id,
            message=message_row(message),
            body=(
                message.id,
                message.tenant_id,
                message.body_size,
                int(in_file),
                message.header,
                None if in_file else body,
            )
            if live
            else None,
            copies=[copy_row(copy, message, self._exact_key(copy.recipient)) for copy in copies],
            live=live,
            size=message.body_size if live else 0,
            events=events,
            personal=personal,
            day=utc_day(message.at),
            one_click=one_click_urls.row(message.tenant_id, message.list_id, message.at, one_click)
            if one_click is not None
            else None,
        )
        try:
            await self._writer.submit(self._accepts, item, rows=len(copies) + 2)
        except StoreTrouble:
            if in_file:
                await self._on_disk(self._files.remove, [message.id])
            raise
        if live:
            self._recent.put(message, body, copies)

    async def change(self, changes: Sequence[CopyChange], events: Sequence[NewEvent] = ()) -> None:
        """Record attempts and final states, synced on return. A copy that has come to its end is
        never changed again; ``reason`` takes the place of the one before."""
        for change in changes:
            self._recent.changed(change.message_id)
        item = _Changed(
            rows=[
                (
                    change.state.value,
                    change.next_at,
                    change.attempts,
                    change.last_reply,
                    change.reason.value if change.reason is not None else None,
                    change.released_kind.value if change.released_kind is not None else None,
                    change.expires_at,
                    change.message_id,
                    change.seq,
                )
                for change in changes
            ],
            ended={change.message_id for change in changes if change.state not in LIVE},
            events=events,
        )
        # What has left must be on record even on a full disk, or it would leave twice.
        await self._writer.submit(self._changes, item, rows=2 * len(changes), essential=True)

    async def message(self, message_id: str) -> StoredMessage | None:
        """What all copies of a message share, or None. The header goes with the body."""
        entry = self._recent.get(message_id)
        if entry is not None:
            return entry.message
        row = await self._reader.read(
            lambda session: session.raw.execute(_MESSAGE, (message_id,)).fetchone()
        )
        return message_of(row[:-1], row[-1]) if row is not None else None

    async def body(self, message_id: str) -> bytes:
        """The body octets of a stored message. Raises KeyError when no copy lives any more."""
        entry = self._recent.get(message_id)
        if entry is not None:
            return entry.body
        row = await self._slow.read(
            lambda session: session.raw.execute(
                "SELECT in_file, octets, size FROM bodies WHERE message_id = ?", (message_id,)
            ).fetchone()
        )
        if row is None:
            raise KeyError(message_id)
        in_file, octets, size = row
        body: bytes = await self._on_disk(self._files.read, message_id, size) if in_file else octets
        message = await self.message(message_id)
        if message is not None:
            self._recent.put(message, body)
        return body

    async def copies(self, message_id: str, seqs: Sequence[int]) -> Sequence[Copy]:
        """The named copies as they are now, in the order of ``seqs``; unknown ones are left out."""
        entry = self._recent.get(message_id)
        if entry is not None and entry.copies is not None:
            found = entry.copies
        else:
            rows = await self._reader.read(
                lambda session: session.raw.execute(
                    _COPIES, (message_id, json.dumps(list(seqs)))
                ).fetchall()
            )
            found = {copy.seq: copy for copy in map(copy_of, rows)}
        return [found[seq] for seq in seqs if seq in found]

    async def waiting(self) -> AsyncIterator[Waiting]:
        """Every waiting copy, oldest first; read once at start."""
        for number, seq, tenant, domain, kind, next_at in await self._slow.read(
            lambda session: session.raw.execute(_WAITING).fetchall()
        ):
            yield Waiting(number, seq, tenant, domain, Kind(kind), next_at)

    def usage(self, tenant_id: int) -> tuple[int, int]:
        """Waiting and held copies of a tenant, and the octets of their bodies."""
        return self._usage.of(tenant_id)

    def personal_today(self, tenant_id: int, day: int) -> int:
        """Recipients counted against the personal cap on a UTC day (days since the epoch)."""
        return self._usage.personal(tenant_id, day)

    async def held(
        self, tenant_id: int | None = None, reason: Reason | None = None
    ) -> tuple[CopyRecord, ...]:
        """Held copies, oldest first."""
        return await self._records(
            " WHERE c.state = 'held' AND (?1 IS NULL OR c.tenant_id = ?1)"
            " AND (?2 IS NULL OR c.reason = ?2)" + _OLDEST_FIRST,
            (tenant_id, reason.value if reason is not None else None),
        )

    async def held_since(self, since: float) -> tuple[CopyRecord, ...]:
        """Held copies of mail accepted at ``since`` or later, oldest first."""
        where = " WHERE c.state = 'held' AND c.at >= ?"
        return await self._records(where + _OLDEST_FIRST, (since,))

    async def spooled(self, tenant_id: int | None = None) -> tuple[CopyRecord, ...]:
        """Waiting copies, oldest first."""
        return await self._records(
            " WHERE c.state = 'waiting' AND (?1 IS NULL OR c.tenant_id = ?1)" + _OLDEST_FIRST,
            (tenant_id,),
        )

    async def record(self, copy_id: str) -> CopyRecord | None:
        """The copy of ``MESSAGEID.SEQ`` in whatever state, or None."""
        parts = parts_of(copy_id)
        if parts is None:
            return None
        found = await self._records(" WHERE c.message_id = ? AND c.seq = ?", parts)
        return found[0] if found else None

    async def expire_held(self, now: float) -> tuple[CopyRecord, ...]:
        """Give up held copies whose ``expires_at`` has come, at most 1,000 at once; returns them,
        so that their tenants can be told."""
        where = " WHERE c.state = 'held' AND c.expires_at <= ?" + _OLDEST_FIRST + " LIMIT ?"
        old = await self._records(where, (now, _ONCE))
        if old:
            await self.change([_expired(record) for record in old])
        return old

    async def purge_records(self, before: float) -> int:
        """Forget messages accepted before a time of which no copy lives, at most 1,000 at once;
        returns how many."""
        return await self._writer.write(lambda tx: _purge(tx, before), essential=True)

    async def counts(self) -> Counts:
        """What waits and what is held now."""
        rows = await self._slow.read(
            lambda session: session.raw.execute(
                "SELECT state, tenant_id, count(*), min(at) FROM copies"
                " WHERE state IN ('waiting', 'held') GROUP BY state, tenant_id"
            ).fetchall()
        )
        waiting = [(number, at) for state, _, number, at in rows if state == "waiting"]
        return Counts(
            sum(number for number, _ in waiting),
            min((at for _, at in waiting), default=None),
            {tenant: number for state, tenant, number, _ in rows if state == "held"},
        )

    def load(self, tx: Transaction) -> None:
        """Count usage anew, after the store was opened; in the writer's thread."""
        self._usage.load(tx, utc_day(self._clock.now()))

    def sweep(self, session: Session) -> None:
        """Compare body files with their rows, once at start."""
        known = session.raw.execute("SELECT message_id FROM bodies WHERE in_file = 1")
        self._files.sweep({number for (number,) in known}, self._clock.now())

    def close(self) -> None:
        """End the threads that write body files."""
        self._disk.shutdown()

    async def _records(self, where: str, parameters: Sequence[Any]) -> tuple[CopyRecord, ...]:
        return await self._slow.read(
            lambda session: tuple(
                record_of(row) for row in session.raw.execute(_RECORDS + where, parameters)
            )
        )

    async def _on_disk(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)


class _AcceptLane:
    def __init__(self, ledger: Ledger, usage: Usage) -> None:
        self._ledger: Final = ledger
        self._usage: Final = usage

    def apply(self, tx: Transaction, items: Sequence[_Accepted]) -> None:
        raw = tx.raw
        raw.executemany(_INSERT_MESSAGE, [item.message for item in items])
        raw.executemany(_INSERT_BODY, [item.body for item in items if item.body is not None])
        raw.executemany(_INSERT_COPY, [row for item in items for row in item.copies])
        self._ledger.append(tx, [event for item in items for event in item.events])
        personal: Counter[tuple[int, int]] = Counter()
        for item in items:
            if item.live:
                self._usage.changes(tx, item.tenant_id, copies=item.live, octets=item.size)
            if item.personal:
                personal[item.tenant_id, item.day] += item.personal
        if urls := [item.one_click for item in items if item.one_click is not None]:
            raw.executemany(one_click_urls.UPSERT, urls)
        for (tenant, day), recipients in personal.items():
            self._usage.sends_personal(tx, tenant, day, recipients)


class _ChangeLane:
    def __init__(self, ledger: Ledger, usage: Usage, files: BodyFiles) -> None:
        self._ledger: Final = ledger
        self._usage: Final = usage
        self._files: Final = files

    def apply(self, tx: Transaction, items: Sequence[_Changed]) -> None:
        raw = tx.raw
        used: defaultdict[int, _Used] = defaultdict(_Used)
        for item in items:
            for row in item.rows:
                state, (message_id, seq) = row[0], row[-2:]
                found = raw.execute(_UPDATE_COPY, row).fetchall()
                if not found:
                    log.info("%s.%s has come to its end before: not %s", message_id, seq, state)
                    continue
                used[found[0][0]].copies -= state not in LIVE
        self._ledger.append(tx, [event for item in items for event in item.events])
        gone: list[str] = []
        for message_id in {number for item in items for number in item.ended}:
            for owner, size, in_file in raw.execute(_DELETE_BODY, (message_id,)).fetchall():
                used[owner].octets -= size
                if in_file:
                    gone.append(message_id)
        for number, by in used.items():
            self._usage.changes(tx, number, copies=by.copies, octets=by.octets)
        if gone:
            tx.after(lambda: self._files.remove(gone))


def _expired(record: CopyRecord) -> CopyChange:
    return CopyChange(
        record.message_id,
        record.seq,
        CopyState.EXPIRED,
        record.next_at,
        record.attempts,
        record.last_reply,
        record.reason,
    )


def _purge(tx: Transaction, before: float) -> int:
    old = tx.raw.execute(
        "SELECT m.id FROM messages m WHERE m.at < ? AND NOT EXISTS (SELECT 1 FROM bodies b"
        " WHERE b.message_id = m.id) ORDER BY m.at LIMIT ?",
        (before, _ONCE),
    ).fetchall()
    tx.raw.executemany("DELETE FROM copies WHERE message_id = ?", old)
    tx.raw.executemany("DELETE FROM messages WHERE id = ?", old)
    return len(old)
