"""Takes a person out of every table, and remembers by keyed hash that nothing is to come back.

What stays: the chain with its commitments, opt-outs and other blocks (keyed hash only), the wide
key and commitment of imported rows, and the erasure itself as an event. Everything else goes in one
transaction, so that a crash leaves it undone or done. ``find`` looks for it before, in short reads,
because copies and messages have no index by person.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.model import Automation, SubjectKeys
from relay.ports import Json, NewEvent
from relay.store.erasure.removal import LIVE, end, take_away
from relay.store.erasure.spelled import Needles, holds, spellings
from relay.store.erasure.traces import (
    Found,
    Person,
    exacts_of,
    known,
    look_at_copies,
    look_at_messages,
    look_at_texts,
)
from relay.store.ledger.chain import OPERATOR_CHAIN, milliseconds
from relay.store.ledger.ledger import Ledger
from relay.store.mail.bodies import BodyFiles
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.generation import Generation
from relay.store.sqlite.transaction import Session, Transaction, trouble
from relay.store.sqlite.worker import Reader

EVERYWHERE: Final = 0
"""Stands for all tenants in ``erasures``."""
JOURNALLED: Final = "erasure"
"""Type of the line in the opt-out journal: a restored backup is erased anew."""
SCRUB_AGAIN: Final = 3_600.0
"""Seconds until what mail under way has left of a person since is cleared and overwritten too."""
_BODIES_PAGE: Final = 100

_ERASED: Final = """
SELECT k.value FROM json_each(?1) k WHERE EXISTS (
  SELECT 1 FROM erasures g WHERE g.wide = k.value AND g.tenant_id IN (0, ?2)
     AND NOT EXISTS (
       SELECT 1 FROM event_data d
         JOIN consents c ON c.exact = d.exact AND c.tenant_id = ?2 AND c.event_id = d.event_id
        WHERE d.wide = g.wide AND d.event_id > g.event_id
          AND c.state = 'granted' AND c.basis = 'confirmed' AND c.automated < ?3))
"""
_DONE: Final = (
    "SELECT 1 FROM event_data d JOIN events e ON e.id = d.event_id"
    " WHERE d.wide = ? AND e.tenant_id = ? AND e.type = 'erasure' AND e.t = ?"
)
_KEPT: Final = (
    "SELECT e.seq, s.brand_id, s.list_id, s.state, s.at, s.expires_at, s.detail"
    " FROM suppressions s JOIN events e ON e.id = s.event_id WHERE s.wide = ? AND e.tenant_id = ?"
    " AND NOT EXISTS (SELECT 1 FROM event_data d WHERE d.event_id = e.id) ORDER BY e.seq, s.id"
)
_CONSENTING: Final = (
    "SELECT DISTINCT c.tenant_id FROM json_each(?) k JOIN consents c ON c.exact = k.value"
)
_BODIES: Final = """
SELECT message_id, tenant_id, header, octets FROM bodies
 WHERE message_id > ? ORDER BY message_id LIMIT ?
"""
_REMAINING: Final = """
SELECT wide, tenant_id, remaining FROM erasures
 WHERE scrub_at <= ?1 AND at <= ?1 - ?2 AND remaining != '[]'
"""
_UNDER_WAY: Final = """
SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM bodies WHERE message_id = value)
"""


@dataclass(frozen=True, slots=True)
class Removed:
    """What one transaction took away."""

    counts: Mapping[str, int]
    """By sort, over all tenants concerned."""
    tenants: tuple[int, ...]
    """Ids of those in whose chain it is on record."""
    event_ids: tuple[int, ...]
    """The ``erasure`` events; none when there was nothing left and it was on record before."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """Mail of others that still names the person."""

    messages: tuple[str, ...]
    """Ids."""
    until: float | None
    """When the last of it is gone at the latest, in epoch seconds."""


class Erasure:
    """All methods raise StoreTrouble."""

    def __init__(self, generation: Generation) -> None:
        self._generation: Final = generation
        self._writer: Writer
        self._reader: Reader
        self._ledger: Ledger
        self._files: BodyFiles

    def attach(self, writer: Writer, reader: Reader, ledger: Ledger, files: BodyFiles) -> None:
        """Hand over the connections; ``reader`` is the one for listings."""
        self._writer, self._reader, self._ledger = writer, reader, ledger
        self._files = files

    # --- who is erased ----------------------------------------------------------------------

    @staticmethod
    def erased(session: Session, wides: Collection[str], tenant_id: int) -> frozenset[str]:
        """Those of some wide keys (hex) of whom this tenant may put nothing on record: erased,
        and not back since by a confirmation that can be their own."""
        rows = session.raw.execute(
            _ERASED, (json.dumps(sorted(wides)), tenant_id, Automation.CERTAIN)
        )
        return frozenset(wide for (wide,) in rows)

    @classmethod
    def is_erased(cls, session: Session, keys: SubjectKeys, tenant_id: int) -> bool:
        """As ``erased``, for one person; to be asked in the transaction that would record."""
        wide = keys.wide.hex()
        return bool(cls.erased(session, (wide,), tenant_id))

    async def consenting(self, person: Person, tenant_id: int | None) -> tuple[int, ...]:
        """Tenants with a consent of the person, or a request for one, on record."""

        def look(session: Session) -> list[int]:
            exacts = exacts_of(session, person)
            rows = session.raw.execute(_CONSENTING, (json.dumps(sorted(exacts)),))
            return [tenant for (tenant,) in rows]

        found = await self._reader.read(look)
        return tuple(sorted(t for t in found if tenant_id in (None, t)))

    # --- looking ----------------------------------------------------------------------------

    async def find(self, person: Person, tenant_id: int | None) -> Found:
        """Look through copies and messages, a few thousand rows at a time."""
        found = await self._reader.read(lambda session: known(session, person, tenant_id))
        after: tuple[str, int] | None = ("", 0)
        while after is not None:
            here = after
            after = await self._reader.read(
                lambda session, here=here: look_at_copies(  # type: ignore[misc]
                    session, person, tenant_id, found, here
                )
            )
        last: int | None = 0
        while last is not None:
            here_row = last
            last = await self._reader.read(
                lambda session, here_row=here_row: look_at_messages(  # type: ignore[misc]
                    session, person, tenant_id, found, here_row
                )
            )
        await self._reader.read(lambda session: look_at_texts(session, tenant_id, found))
        return found

    async def remaining(self, found: Found, tenant_id: int | None) -> Remaining:
        """Mail that copies to others still need: it went to the person as well, comes from the
        person, or names the person however that is encoded."""
        needles = spellings(found.texts)
        certain = {number for number, _ in found.copies} | set(found.written)
        naming: list[str] = []
        after: str | None = ""
        while after is not None:
            here = after
            page = await self._reader.read(
                lambda session, here=here: session.raw.execute(  # type: ignore[misc]
                    _BODIES, (here, _BODIES_PAGE)
                ).fetchall()
            )
            for message_id, tenant, header, octets in page:
                if tenant_id not in (None, tenant):
                    continue
                if message_id in certain or await asyncio.to_thread(
                    self._names, needles, message_id, header, octets
                ):
                    naming.append(message_id)
            after = page[-1][0] if page else None
        (until,) = await self._reader.read(
            lambda session: session.raw.execute(
                f"SELECT max(expires_at) FROM copies WHERE state IN {LIVE}"  # noqa: S608
                " AND message_id IN (SELECT value FROM json_each(?))",
                (json.dumps(naming),),
            ).fetchone()
        )
        return Remaining(tuple(naming), until)

    async def known(self, person: Person) -> bool:
        """Whether the address is on record for any tenant."""
        row = await self._reader.read(
            lambda session: session.raw.execute(
                "SELECT 1 FROM subjects WHERE wide = ? LIMIT 1", (person.keys.wide.hex(),)
            ).fetchone()
        )
        return row is not None

    # --- removing ---------------------------------------------------------------------------

    async def remove(
        self, person: Person, found: Found, tenant_id: int | None, at: float
    ) -> Removed:
        """Take everything away, and put the erasure on record; synced on return.

        Live copies must have been ended before. ``at`` in seconds since the epoch.
        """
        return await self._writer.write(
            lambda tx: self.remove_in(tx, person, found, tenant_id, at), essential=True
        )

    async def remains(
        self, person: Person, tenant_id: int | None, message_ids: Collection[str]
    ) -> None:
        """These messages name the person, and have not left or were just under way; what they
        leave behind is for ``clear_remaining``, and for ``unfinished`` to say again."""
        scope = EVERYWHERE if tenant_id is None else tenant_id
        await self._writer.write(
            lambda tx: tx.raw.execute(
                "UPDATE erasures SET remaining = ? WHERE wide = ? AND tenant_id = ?",
                (json.dumps(sorted(message_ids)), person.keys.wide.hex(), scope),
            )
        )

    async def clear_remaining(self, now: float) -> None:
        """Forget sender, subject and answers of messages that named an erased person and have
        left since."""
        await self._writer.write(lambda tx: _clear_remaining(tx, now))

    async def unfinished(self, now: float) -> bool:
        """Whether the leftovers of an erasure are to be overwritten, for the first time or because
        more may have been left since."""
        row = await self._reader.read(
            lambda session: session.raw.execute(
                "SELECT 1 FROM erasures WHERE scrub_at <= ? LIMIT 1", (now,)
            ).fetchone()
        )
        return row is not None

    async def finished(self, at: float) -> None:
        """The leftovers of erasures that were due at ``at`` are overwritten; again in an hour as
        long as mail that may name the person is under way."""
        await self._writer.write(
            lambda tx: tx.raw.execute(
                "UPDATE erasures SET scrub_at = iif(remaining = '[]', NULL, ?1 + ?2)"
                " WHERE scrub_at <= ?1",
                (at, SCRUB_AGAIN),
            )
        )

    def _names(
        self, needles: Needles, message_id: str, header: bytes, octets: bytes | None
    ) -> bool:
        if needles.stand_in(header + (octets or b"")):
            return True
        try:
            return octets is None and holds(self._files.path(message_id), needles)
        except FileNotFoundError:
            return False  # it has left meanwhile
        except OSError as error:
            raise trouble(error) from error

    # --- in the writer's thread -------------------------------------------------------------

    def remove_in(
        self, tx: Transaction, person: Person, found: Found, tenant_id: int | None, at: float
    ) -> Removed:
        """``remove``, within a transaction."""
        wide = person.keys.wide.hex()
        counts = take_away(tx, person, found, tenant_id, at)
        scope = EVERYWHERE if tenant_id is None else tenant_id
        known = tx.raw.execute(
            "SELECT 1 FROM erasures WHERE wide = ? AND tenant_id = ?", (wide, scope)
        ).fetchone()
        if known is not None and not counts:
            tx.raw.execute(
                "UPDATE erasures SET scrub_at = ? WHERE wide = ? AND tenant_id = ?",
                (at, wide, scope),
            )
            return Removed({}, (), ())
        chains = sorted({chain for chain, _ in counts} | {scope})
        events = [
            NewEvent(
                chain,
                "erasure",
                at,
                person.keys,
                # Their events have lost what they said: this one vouches for them from now on.
                {**dict(_of_chain(counts, chain)), "kept": _kept(tx, wide, chain)},
            )
            for chain in chains
        ]
        numbers = self._ledger.append(tx, events)
        number = numbers[chains.index(scope)]
        tx.raw.execute(
            "INSERT INTO erasures (wide, tenant_id, at, event_id, remaining, scrub_at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?3) ON CONFLICT DO UPDATE SET at = excluded.at,"
            " event_id = excluded.event_id, remaining = excluded.remaining,"
            " scrub_at = excluded.scrub_at",
            (wide, scope, at, number, json.dumps(_under_way(tx, found))),
        )
        tx.journal(
            {
                "type": JOURNALLED,
                "tenant": tenant_id,
                "exact": person.keys.exact.hex(),
                "wide": wide,
                # Without the pepper a restore cannot tell that mail is to another spelling.
                "exacts": sorted(found.exacts),
                "at": milliseconds(at) / 1_000,
            }
        )
        self._generation.grows(tx)
        totals: Counter[str] = Counter()
        for (_, sort), number_of in counts.items():
            totals[sort] += number_of
        tenants = tuple(chain for chain in chains if chain != OPERATOR_CHAIN)
        return Removed(dict(sorted(totals.items())), tenants, tuple(numbers))

    def repeat_in(self, tx: Transaction, record: Mapping[str, Any]) -> bool:
        """Erase anew what a restored backup brought back, by a line of the opt-out journal; False
        when the backup was made after it. Nothing may be under way meanwhile."""
        wide, tenant_id, at = record["wide"], record["tenant"], float(record["at"])
        scope = EVERYWHERE if tenant_id is None else tenant_id
        done = tx.raw.execute(_DONE, (wide, scope, milliseconds(at))).fetchone()
        if done is not None:
            return False
        person = Person(SubjectKeys(bytes.fromhex(record["exact"]), bytes.fromhex(wide)), "")
        found = known(tx, person, tenant_id)
        found.exacts.update(record.get("exacts", ()))
        after: tuple[str, int] | None = ("", 0)
        while after is not None:
            after = look_at_copies(tx, person, tenant_id, found, after)
        last: int | None = 0
        while last is not None:
            last = look_at_messages(tx, person, tenant_id, found, last)
        look_at_texts(tx, tenant_id, found)
        unneeded = end(tx, found.copies)
        tx.after(lambda: self._files.remove(unneeded))
        self.remove_in(tx, person, found, tenant_id, at)
        return True


def _under_way(tx: Transaction, found: Found) -> list[str]:
    """Messages from or to the person that copies to others still need."""
    certain = {*found.written, *(number for number, _ in found.copies)}
    return [number for (number,) in tx.raw.execute(_UNDER_WAY, (json.dumps(sorted(certain)),))]


def _clear_remaining(tx: Transaction, now: float) -> None:
    for wide, scope, remaining in tx.raw.execute(_REMAINING, (now, SCRUB_AGAIN)).fetchall():
        left = [number for (number,) in tx.raw.execute(_UNDER_WAY, (remaining,))]
        gone = sorted(set(json.loads(remaining)) - set(left))
        for statement in (
            "UPDATE messages SET mail_from = '', from_address = '', subject = '' WHERE id = ?",
            "UPDATE copies SET last_reply = '', findings = NULL WHERE message_id = ?",
        ):
            tx.raw.executemany(statement, [(number,) for number in gone])
        tx.raw.execute(
            "UPDATE erasures SET remaining = ? WHERE wide = ? AND tenant_id = ?",
            (json.dumps(left), wide, scope),
        )


def _kept(tx: Transaction, wide: str, chain: int) -> list[Json]:
    """Blocks that stay: place of the event, brand, list, state, time, expiry, detail."""
    return [list(row) for row in tx.raw.execute(_KEPT, (wide, chain))]


def _of_chain(counts: Mapping[tuple[int, str], int], chain: int) -> Iterator[tuple[str, Json]]:
    for (tenant, sort), number in sorted(counts.items()):
        if tenant == chain:
            yield sort, number
