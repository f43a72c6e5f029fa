"""Reads what a proof is made of: events, links between them, imported rows, signed heads, notices.

Page by page: a chain may be longer than memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from relay.ports import Json
from relay.store.ledger.chain import BEGINNING, DISCONTINUITY
from relay.store.ledger.head_copy import RESTORED
from relay.store.ledger.head_file import read_lines
from relay.store.ledger.heads import Heads, Line, Unsigned, read_line
from relay.store.ledger.key import PublicKey
from relay.store.sqlite.transaction import Session
from relay.store.sqlite.worker import Reader

PAGE: Final = 500
DAY: Final = 86_400.0

_RUN: Final = (
    "SELECT e.seq, e.id, e.t, e.type, e.commit_hash, e.hash, d.salt, d.json"
    " FROM events e LEFT JOIN event_data d ON d.event_id = e.id"
    " WHERE e.tenant_id = ? AND e.seq BETWEEN ? AND ? ORDER BY e.seq LIMIT 500"
)
_OF_PERSON: Final = (
    "SELECT e.tenant_id, e.seq, e.id, d.json FROM event_data d JOIN events e ON e.id = d.event_id"
    " WHERE d.wide = ? ORDER BY e.tenant_id, e.seq"
)
_BATCHES: Final = (
    "SELECT i.tenant_id, e.seq, e.id, i.id FROM import_rows r JOIN imports i ON i.id = r.import_id"
    " JOIN events e ON e.id = i.event_id WHERE r.wide = ? AND i.committed = 1"
    " GROUP BY i.id ORDER BY i.tenant_id, e.seq"
)
_ROWS: Final = (
    "SELECT line, wide, commit_hash, salt, json FROM import_rows"
    " WHERE import_id = ? AND line > ? ORDER BY line LIMIT 1000"
)
_NOTICES: Final = (
    "SELECT e.seq, n.digest, n.json FROM notice_versions n JOIN events e ON e.id = n.event_id"
    " WHERE n.tenant_id = ?"
)
# A partial index holds them: with a parameter for the type it could not be used.
_GAPS: Final = f"SELECT seq FROM events WHERE tenant_id = ? AND type = '{DISCONTINUITY}'"  # noqa: S608
# Whatever a tenant's evidence names by number: another person's event never comes along.
_SEQS: Final = (
    "SELECT e.seq FROM events e JOIN event_data d ON d.event_id = e.id WHERE e.tenant_id = ?1"
    " AND (d.wide IS NULL OR d.wide = ?4) AND (e.id IN (SELECT value FROM json_each(?2))"
    " OR e.seq IN (SELECT value FROM json_each(?3)) AND e.type = 'terms.accepted')"
)


@dataclass(frozen=True, slots=True)
class Mentioned:
    """One event that is about a person, or about a batch that holds a row of theirs."""

    tenant_id: int
    seq: int
    event_id: int
    content: str | None
    """Canonical JSON; None for a batch."""
    import_id: int | None = None


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """One version of a notice."""

    seq: int
    """Of the event that recorded it."""
    digest: str
    content: str
    """The canonical JSON whose SHA-256 is ``digest``."""


Link: TypeAlias = dict[str, Any]


class Proofs:
    """All methods raise StoreTrouble."""

    def __init__(self, heads: Heads) -> None:
        self._heads: Final = heads
        self._reader: Reader

    def attach(self, reader: Reader) -> None:
        """Hand over the connection."""
        self._reader = reader

    @property
    def key(self) -> PublicKey:
        """What the heads are signed with."""
        return self._heads.public

    def seal(self, statement: bytes) -> bytes:
        """Sign a whole bundle."""
        return self._heads.sign(statement)

    async def of_person(self, wide: bytes) -> list[Mentioned]:
        """All events about a person, under any spelling, and batches with their rows; by tenant
        and place in the chain."""
        key = wide.hex()

        def look(session: Session) -> list[Mentioned]:
            own = [Mentioned(*row) for row in session.raw.execute(_OF_PERSON, (key,))]
            batches = [
                Mentioned(tenant, seq, event, None, number)
                for tenant, seq, event, number in session.raw.execute(_BATCHES, (key,))
            ]
            return sorted(own + batches, key=lambda found: (found.tenant_id, found.seq))

        return await self._reader.read(look)

    async def events(
        self, tenant_id: int, first: int, last: int, full: Collection[int] | None = None
    ) -> AsyncIterator[Link]:
        """A run of a chain, ``first`` to ``last`` inclusive; the content of those in ``full``
        (sequence numbers; None is all), and of every discontinuity, comes along."""
        while first <= last:
            span = (tenant_id, first, last)
            page = await self._reader.read(
                lambda session, span=span: session.raw.execute(_RUN, span).fetchall()  # type: ignore[misc]
            )
            for seq, number, t, kind, commit, digest, salt, text in page:
                link: Link = {
                    "id": number,
                    "seq": seq,
                    "t": t,
                    "type": kind,
                    "commit": commit.hex(),
                    "hash": digest.hex(),
                }
                if full is None or seq in full or kind == DISCONTINUITY:
                    link["salt"] = salt.hex() if salt is not None else None
                    link["content"] = text
                yield link
            if not page:
                return
            first = page[-1][0] + 1

    async def last_seq(self, tenant_id: int) -> int:
        """The place of a chain's last event; 0 when there is none."""
        row = await self._reader.read(
            lambda session: session.raw.execute(
                "SELECT coalesce(max(seq), 0) FROM events WHERE tenant_id = ?", (tenant_id,)
            ).fetchone()
        )
        return int(row[0])

    async def referred(
        self,
        tenant_id: int,
        wide: bytes,
        *,
        ids: Collection[int],
        acceptances: Collection[int],
    ) -> list[int]:
        """The places of events that are named by id, and of acceptances of terms that are named by
        place; only those about no person, or about the person ``wide``. And every discontinuity of
        the chain."""
        look = (tenant_id, json.dumps(sorted(ids)), json.dumps(sorted(acceptances)), wide.hex())
        rows = await self._reader.read(
            lambda session: [
                *session.raw.execute(_SEQS, look),
                *session.raw.execute(_GAPS, (tenant_id,)),
            ]
        )
        return [seq for (seq,) in rows]

    async def rows(self, import_id: int, wide: bytes | None = None) -> AsyncIterator[list[Json]]:
        """The rows of an import, in order: ``[line, commitment]``, and behind those salt and
        content unless the row was erased or is not of the person ``wide``."""
        only, line = wide.hex() if wide is not None else None, -(2**62)
        while True:
            here = (import_id, line)
            page = await self._reader.read(
                lambda session, here=here: session.raw.execute(_ROWS, here).fetchall()  # type: ignore[misc]
            )
            for number, person, commit, salt, text in page:
                shown = text is not None and only in (None, person)
                yield [number, commit.hex(), *([salt.hex(), text] if shown else [])]
            if not page:
                return
            line = page[-1][0]

    async def notices(self, tenant_id: int) -> list[StoredNotice]:
        """Every version of every notice of a tenant."""
        rows = await self._reader.read(
            lambda session: session.raw.execute(_NOTICES, (tenant_id,)).fetchall()
        )
        return [StoredNotice(*row) for row in rows]

    async def heads_around(self, tenant_id: int, seqs: Sequence[int]) -> list[Line]:
        """For each of some places (ascending) in a chain the signed head before it, if any, and
        the one at or after it."""
        return await asyncio.to_thread(self._choose, tenant_id, _Around(seqs))

    async def heads_by_day(self, tenant_id: int) -> list[Line]:
        """A signed head for each day on which the chain grew, and the last one."""
        return await asyncio.to_thread(self._choose, tenant_id, _Daily())

    def _choose(self, tenant_id: int, choice: _Around | _Daily) -> list[Line]:
        chosen: list[Line] = []
        last: Line | None = None
        for line in _lines_of(self._heads.path, self.key, tenant_id):
            head = line.heads.get(tenant_id, BEGINNING)
            if line.restored:
                # What the lost store signed beyond this is void.
                chosen = [one for one in chosen if one.heads[tenant_id].seq <= head.seq]
                if last is not None and last.heads[tenant_id].seq > head.seq:
                    last = chosen[-1] if chosen else None
            if head == BEGINNING:
                continue
            before = last.heads[tenant_id].seq if last is not None else 0
            if choice.wants(line, before, head.seq, chosen):
                if choice.both and last is not None and last not in chosen[-1:]:
                    chosen.append(last)
                chosen.append(line)
            last = line
        if not choice.both and last is not None and last not in chosen[-1:]:
            chosen.append(last)
        return chosen


class _Around:
    both: Final = True

    def __init__(self, seqs: Sequence[int]) -> None:
        self._seqs: Final = seqs

    def wants(self, line: Line, before: int, seq: int, chosen: Sequence[Line]) -> bool:
        return bisect_left(self._seqs, before + 1) < bisect_right(self._seqs, seq)


class _Daily:
    both: Final = False

    def wants(self, line: Line, before: int, seq: int, chosen: Sequence[Line]) -> bool:
        return line.restored or not chosen or chosen[-1].at // DAY != line.at // DAY


def _lines_of(path: Path, key: PublicKey, tenant_id: int) -> Iterator[Line]:
    """The lines that name a chain; what is not signed by us is for ``verify`` to report."""
    named = f'"{tenant_id}":['.encode()
    for _, raw in read_lines(path):
        if named not in raw and RESTORED not in raw:
            continue
        with contextlib.suppress(Unsigned):
            yield read_line(raw, key)
