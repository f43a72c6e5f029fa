"""Changes of consent as one tenant may see them, by the numbers of its own chain.

The ids of events count over all tenants: they would tell one of them how busy the others are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.decide.address import one_spelling
from relay.model import SubjectKeys
from relay.ports import Json
from relay.store.sqlite.worker import Reader

SEEN: Final = 20_000
"""Most events of a chain that one page looks through: most of them are about mail."""
MARK_OCTETS: Final = 8
"""Of an event's hash, to know the event again by."""

_TYPES: Final = (
    "consent.pending",
    "consent.granted",
    "consent.imported",
    "optout",
    "optout.imported",
    "complaint",
    "bounce",
    "suppression.lifted",
    "erasure",
)
# Whether and when a confirmation mail went out is the person's affair until they have answered it.
_WANTED: Final = f"e.type IN ({', '.join(repr(kind) for kind in _TYPES)})"

_HEAD: Final = "SELECT coalesce(max(seq), 0) FROM events WHERE tenant_id = ?"
_MARK: Final = "SELECT substr(hash, 1, ?) FROM events WHERE tenant_id = ? AND seq = ?"
# An address is known to a tenant that has it from the person, and not through another tenant.
_FEED: Final = f"""
SELECT e.seq, 0, e.t / 1000.0, e.type, d.json, s.address, NULL
  FROM events e
  LEFT JOIN event_data d ON d.event_id = e.id
  LEFT JOIN subjects s ON s.exact = d.exact AND EXISTS (
       SELECT 1 FROM consents c WHERE c.exact = d.exact AND c.tenant_id = e.tenant_id)
 WHERE e.tenant_id = ? AND e.seq > ? AND e.seq <= ? AND {_WANTED}
 ORDER BY e.seq LIMIT ?
"""  # noqa: S608 - constants
_TIMELINE: Final = f"""
SELECT e.seq, 0, e.t / 1000.0, e.type, d.json, NULL, NULL
  FROM event_data d JOIN events e ON e.id = d.event_id
 WHERE d.wide = ?1 AND e.tenant_id = ?2 AND (e.seq, 0) > (?3, ?4) AND {_WANTED}
UNION ALL
SELECT e.seq, r.line, r.at, i.kind || '.imported',
       json_set(r.json, '$.brand', i.brand_id, '$.list', i.list_id), NULL, o.slug
  FROM import_rows r
  JOIN imports i ON i.id = r.import_id
  JOIN events e ON e.id = i.event_id
  LEFT JOIN sources o ON o.id = i.source_id
 WHERE r.wide = ?1 AND i.tenant_id = ?2 AND i.committed = 1 AND (e.seq, r.line) > (?3, ?4)
 ORDER BY 1, 2 LIMIT ?5
"""  # noqa: S608 - constants
_SEQUENCE: Final = "SELECT seq FROM events WHERE id = ? AND tenant_id = ?"


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as it was recorded."""

    seq: int
    """Number in the tenant's own chain."""
    line: int
    """Of an imported file; 0 for everything else."""
    at: float
    """Epoch seconds."""
    type: str
    data: Mapping[str, Json] | None
    """What was recorded: scope, basis, evidence; None once it was erased."""
    exact: str | None
    """Keyed hash of the mailbox, as hex."""
    address: str | None
    """In its one spelling, where this tenant has it from the person."""
    source: str | None
    """Slug of the source of an imported row."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes, and where the next page begins."""

    changes: tuple[Change, ...]
    seq: int
    """Up to here the chain has been looked through."""
    mark: bytes
    """First octets of the hash of that event; empty when there is none."""
    more: bool
    """There is more of the chain already."""


class StrangeMark(Exception):
    """The chain does not hold the event of a cursor: the store was restored from a backup."""


class Changes:
    """Reads one tenant's changes. All methods raise StoreTrouble."""

    def attach(self, reader: Reader) -> None:
        """Hand over the connection for listings."""
        self._reader = reader

    async def after(self, tenant_id: int, seq: int, mark: bytes, limit: int) -> Page:
        """At most ``limit`` changes behind the event ``seq``, oldest first.

        Raises StrangeMark when that event's hash does not begin with ``mark``.
        """

        def work(session: Any) -> Page:
            raw = session.raw

            def mark_of(number: int) -> bytes:
                row = raw.execute(_MARK, (MARK_OCTETS, tenant_id, number)).fetchone()
                return bytes(row[0]) if row is not None else b""

            if mark_of(seq) != mark:
                raise StrangeMark
            (head,) = raw.execute(_HEAD, (tenant_id,)).fetchone()
            last = min(head, seq + SEEN)
            rows = raw.execute(_FEED, (tenant_id, seq, last, limit)).fetchall()
            changes = tuple(_change(row) for row in rows)
            reached = changes[-1].seq if len(changes) == limit else last
            return Page(changes, reached, mark_of(reached), reached < head)

        return await self._reader.read(work)

    async def of_person(
        self, tenant_id: int, keys: SubjectKeys, *, after: tuple[int, int], limit: int
    ) -> tuple[Change, ...]:
        """At most ``limit`` changes about a person at this tenant behind ``after`` (number and
        line), oldest first; under whatever spelling (``+tag``) of the address."""
        parameters = (keys.wide.hex(), tenant_id, *after, limit)
        return await self._reader.read(
            lambda session: tuple(
                _change(row) for row in session.raw.execute(_TIMELINE, parameters)
            )
        )

    async def sequence(self, tenant_id: int, event_id: int) -> int:
        """The number in the tenant's own chain of one of its events. Raises KeyError."""
        row = await self._reader.read(
            lambda session: session.raw.execute(_SEQUENCE, (event_id, tenant_id)).fetchone()
        )
        if row is None:
            raise KeyError(event_id)
        return int(row[0])


def _change(row: Sequence[Any]) -> Change:
    seq, line, at, kind, text, kept, source = row
    address = one_spelling(kept) if kept is not None else None
    said: dict[str, Any] | None = json.loads(text) if text is not None else None
    if said is None:
        return Change(seq, line, at, kind, None, None, address, source)
    if line:
        # A row of an import says whom it is about in itself.
        return Change(seq, line, at, kind, said, said.get("exact"), address, source)
    exact = (said["subject"] or {}).get("exact")
    return Change(seq, line, at, kind, said["data"], exact, address, source)
