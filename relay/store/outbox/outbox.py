"""What still has to be told to senders' software, written in the transaction of the event itself.

A crash after an opt-out can therefore delay a notice, never lose it. No address stands here: it is
looked up by its key at the moment of sending, so that an erased person is not named any more.

Told are what changes whether a person may be written to: opt-outs, complaints, consents given,
hard bounces, and suppressions lifted. Not told are requests for consent (until they are confirmed
the address belongs to nobody's list) and imports (they come out of the tenant's own records).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from relay.decide.address import one_spelling
from relay.model import Automation, Basis, ScopeLevel
from relay.ports import Clock, Json, NewEvent
from relay.store.outbox import one_click
from relay.store.people.projection import automated
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.journal import canonical
from relay.store.sqlite.transaction import Session, Transaction
from relay.store.sqlite.worker import Reader

WEBHOOK: Final = "webhook"
ONE_CLICK: Final = "one-click"

TOLD: Final = frozenset({"optout", "complaint", "consent.granted", "bounce", "suppression.lifted"})
"""Types of events that webhooks are told of."""
_STOPS: Final = frozenset({"optout", "complaint"})
_FROM_THE_SENDER: Final = frozenset({"api", "hook", "import"})
"""Channels by which the sender's own software told us: its one-click address is not called."""
_ONCE: Final = 1_000
MOST_SHOWN: Final = 1_000
"""Dead letters that one look shows; ``counts`` knows how many there are."""

_INSERT: Final = (
    "INSERT INTO outbox (tenant_id, kind, webhook_id, lane, url, exact, json, state, attempts,"
    " created_at, next_at, last_answer) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'waiting', 0, ?8,"
    # What is told of a person arrives in order, also while an older notice waits for its retry.
    " max(?8, coalesce((SELECT max(next_at) FROM outbox INDEXED BY outbox_exact"
    " WHERE exact = ?6 AND tenant_id = ?1 AND lane = ?4 AND state = 'waiting'), 0)), '')"
)
_NAMES: Final = (
    "SELECT (SELECT slug FROM tenants WHERE id = ?1), (SELECT slug FROM brands WHERE id = ?2),"
    " (SELECT slug FROM lists WHERE id = ?3), (SELECT hash FROM events WHERE id = ?4)"
)
# One step down an index for each lane, however much waits in it. (A row value in place of the two
# statements would walk through the whole lane before.)
_NEXT_LANE: Final = (
    "SELECT tenant_id, lane, next_at FROM outbox INDEXED BY outbox_due"
    " WHERE state = 'waiting' AND tenant_id = ? AND lane > ? ORDER BY lane, next_at LIMIT 1"
)
_NEXT_TENANT: Final = (
    "SELECT tenant_id, lane, next_at FROM outbox INDEXED BY outbox_due"
    " WHERE state = 'waiting' AND tenant_id > ? ORDER BY tenant_id, lane, next_at LIMIT 1"
)
_NEXT: Final = """
SELECT o.id, o.tenant_id, o.kind, o.lane, o.url, o.json, o.attempts, o.created_at, w.secret,
       s.address
  FROM outbox o
  LEFT JOIN webhooks w ON w.id = o.webhook_id
  LEFT JOIN subjects s ON s.exact = o.exact AND EXISTS (
       SELECT 1 FROM consents c WHERE c.exact = o.exact AND c.tenant_id = o.tenant_id)
 WHERE o.state = 'waiting' AND o.tenant_id = ? AND o.lane = ? AND o.next_at <= ?
 ORDER BY o.next_at, o.id LIMIT 1
"""
_POSTPONE: Final = (
    "UPDATE outbox SET attempts = ?, next_at = ?, last_answer = ? WHERE id = ?"
    " AND state = 'waiting' RETURNING tenant_id, lane, exact"
)
_POSTPONE_YOUNGER: Final = (
    "UPDATE outbox SET next_at = max(next_at, ?1) WHERE exact = ?4 AND tenant_id = ?2"
    " AND lane = ?3 AND state = 'waiting' AND id > ?5"
)
# As _TAKE of one-click addresses: what a scope covers.
_CALL_OFF: Final = """
DELETE FROM outbox
 WHERE exact = ?1 AND tenant_id = ?2 AND kind = 'one-click'
   AND (?4 IS NULL OR json_extract(json, '$.list') = ?4)
   AND (?3 IS NULL OR ?4 IS NOT NULL
        OR json_extract(json, '$.list') IN (SELECT id FROM lists WHERE brand_id = ?3))
   AND (?5 OR created_at <= ?6)
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell to one place."""

    id: int
    tenant_id: int
    kind: str
    lane: str
    url: str = field(repr=False)
    """Of a one-click address it holds the sender's own token: never for a log."""
    payload: str
    """JSON object without the address; of a one-click address the number of its list."""
    attempts: int
    """Failed so far."""
    created_at: float
    secret: str | None = field(repr=False)
    """Of a webhook."""
    address: str | None
    """In its one spelling; None when this tenant never had it from the person, or it was erased."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Where the oldest notice for one place of one tenant stands."""

    tenant_id: int
    name: str
    next_at: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notice that was given up."""

    id: int
    tenant_id: int
    kind: str
    host: str
    type: str
    """Of the event; empty for a one-click address."""
    created_at: float
    attempts: int
    last_answer: str


def host_of(url: str) -> str:
    """``host`` or ``host:port`` of a URL: all of it that may be shown."""
    return urlsplit(url).netloc.rpartition("@")[2]


class Outbox:
    """All methods raise StoreTrouble."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self.told: Callable[[], None] = lambda: None
        """Called in the writer's thread when there is something new to send."""
        self.retried: Callable[[int], None] = lambda tenant_id: None
        """Called in the writer's thread when all notices of a tenant start afresh."""
        self._writer: Writer
        self._slow: Reader

    def attach(self, writer: Writer, slow: Reader) -> None:
        """Hand over the connections."""
        self._writer, self._slow = writer, slow

    async def lanes(self) -> Sequence[Lane]:
        """Every place for which something waits."""
        return await self._slow.read(_lanes)

    async def next(self, lane: Lane, now: float) -> Notice | None:
        """What is to be sent there now, or None."""
        row = await self._slow.read(
            lambda session: session.raw.execute(_NEXT, (lane.tenant_id, lane.name, now)).fetchone()
        )
        if row is None:
            return None
        notice = Notice(*row)
        if notice.address is None:
            return notice
        return replace(notice, address=one_spelling(notice.address))

    async def sent(self, notice: Notice) -> None:
        """It has arrived, and is kept no longer."""
        await self._writer.write(
            lambda tx: tx.raw.execute("DELETE FROM outbox WHERE id = ?", (notice.id,))
        )

    async def postpone(self, notice: Notice, next_at: float, answer: str) -> None:
        """It did not arrive; younger notices of the same person wait for it."""

        def work(tx: Transaction) -> None:
            row = tx.raw.execute(
                _POSTPONE, (notice.attempts + 1, next_at, answer, notice.id)
            ).fetchone()
            if row is not None and row[2] is not None:
                tx.raw.execute(_POSTPONE_YOUNGER, (next_at, *row, notice.id))

        await self._writer.write(work)

    async def give_up(self, notice: Notice, answer: str) -> None:
        """It will not arrive: kept as a dead letter."""
        await self._writer.write(
            lambda tx: tx.raw.execute(
                "UPDATE outbox SET state = 'dead', attempts = ?, last_answer = ? WHERE id = ?",
                (notice.attempts + 1, answer, notice.id),
            )
        )

    async def give_up_old(self, before: float) -> Sequence[tuple[int, str]]:
        """Give up what was written before a time and still waits, at most 1,000 at once; returns
        tenant and kind of each."""

        def work(tx: Transaction) -> Sequence[tuple[int, str]]:
            return tx.raw.execute(
                "UPDATE outbox SET state = 'dead' WHERE id IN (SELECT id FROM outbox"
                " WHERE state = 'waiting' AND created_at < ? LIMIT ?) RETURNING tenant_id, kind",
                (before, _ONCE),
            ).fetchall()

        return await self._writer.write(work)

    async def dead(self, tenant_id: int) -> Sequence[DeadLetter]:
        """The dead letters of a tenant, oldest first, at most ``MOST_SHOWN``."""
        rows = await self._slow.read(
            lambda session: session.raw.execute(
                "SELECT id, tenant_id, kind, url, coalesce(json_extract(json, '$.type'), ''),"
                " created_at, attempts, last_answer FROM outbox"
                " WHERE state = 'dead' AND tenant_id = ? ORDER BY created_at, id LIMIT ?",
                (tenant_id, MOST_SHOWN),
            ).fetchall()
        )
        return [
            DeadLetter(number, tenant, kind, host_of(url), *rest)
            for number, tenant, kind, url, *rest in rows
        ]

    async def retry(self, tenant_id: int) -> int:
        """Let all dead and postponed notices of a tenant start afresh, 1,000 rows at a time and in
        their order; returns how many."""
        now = self._clock.now()
        retried, after = 0, 0
        while (last := await self._slow.read(partial(end_of_step, after))) is not None:
            step = (now, tenant_id, after, last)
            retried += await self._writer.write(lambda tx, step=step: _retry(tx, step))  # type: ignore[misc]
            after = last
        await self._writer.write(lambda tx: tx.after(lambda: self.retried(tenant_id)))
        return retried

    async def purge_dead(self, before: float) -> int:
        """Forget dead letters written before a time, at most 1,000 at once; returns how many."""
        return await self._writer.write(
            lambda tx: (
                tx.raw.execute(
                    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state = 'dead'"
                    " AND created_at < ? LIMIT ?)",
                    (before, _ONCE),
                ).rowcount
            ),
            essential=True,
        )

    async def counts(self) -> Mapping[tuple[int, str], int]:
        """How many wait and are dead, by tenant id and ``waiting`` or ``dead``."""
        return await self._slow.read(_counts)

    # --- in the writer's thread -------------------------------------------------------------

    def project(self, tx: Transaction, number: int, event: NewEvent) -> None:
        """Write what has to be told of one new event."""
        if event.type not in TOLD or event.subject is None:
            return
        data, now = event.data, self._clock.now()
        exact = event.subject.exact.hex()
        brand, listed = _id(data.get("brand")), _id(data.get("list"))
        rows: list[tuple[Any, ...]] = []
        places = tx.raw.execute(
            "SELECT id, url FROM webhooks WHERE tenant_id = ? ORDER BY id", (event.tenant_id,)
        ).fetchall()
        if places:
            payload = canonical(_payload(tx, number, event, brand, listed))
            rows = [
                (event.tenant_id, WEBHOOK, place, f"{WEBHOOK}:{place}", url, exact, payload, now)
                for place, url in places
            ]
        if event.type == "consent.granted" and _brings_back(data):
            # The person is back: a call that is late would take them off the sender's list again.
            # What a source dates before the opt-out brings nobody back (``decide.standing``).
            witnessed = data["basis"] == Basis.CONFIRMED
            scope = (exact, event.tenant_id, brand, listed)
            tx.raw.execute(_CALL_OFF, (*scope, witnessed, event.at))
        if event.type in _STOPS and data.get("channel") not in _FROM_THE_SENDER:
            rows += [
                _call(event.tenant_id, *taken, now)
                for taken in one_click.take(tx, event.tenant_id, event.subject, brand, listed)
            ]
        if rows:
            tx.raw.executemany(_INSERT, rows)
            tx.after(lambda: self.told())


def _brings_back(data: Mapping[str, Json]) -> bool:
    return bool(data.get("own_act")) and automated(data) is not Automation.CERTAIN


def _call(tenant_id: int, exact: str, url: str, list_id: int, now: float) -> tuple[Any, ...]:
    lane, payload = f"{ONE_CLICK}:{host_of(url)}", canonical({"list": list_id})
    return (tenant_id, ONE_CLICK, None, lane, url, exact, payload, now)


def _payload(
    tx: Transaction, number: int, event: NewEvent, brand: int | None, listed: int | None
) -> dict[str, Json]:
    tenant, brand_slug, list_slug, digest = tx.raw.execute(
        _NAMES, (event.tenant_id, brand, listed, number)
    ).fetchone()
    scope = ScopeLevel.LIST if listed is not None else ScopeLevel.TENANT
    if listed is None and brand is not None:
        scope = ScopeLevel.BRAND
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
    return {
        # Not the event's number: that counts over all tenants, and comes again after a restore.
        "id": f"evt_{digest.hex()[:32]}",
        "type": event.type,
        "at": at.replace("+00:00", "Z"),
        "tenant": tenant,
        "brand": brand_slug,
        "list": list_slug,
        "scope": scope.value,
        "channel": event.data.get("channel"),
        "basis": event.data.get("basis"),
    }


def _lanes(session: Session) -> Sequence[Lane]:
    lanes: list[Lane] = []
    row = session.raw.execute(_NEXT_TENANT, (-1,)).fetchone()
    while row is not None:
        tenant_id, name, _ = row
        lanes.append(Lane(*row))
        row = (
            session.raw.execute(_NEXT_LANE, (tenant_id, name)).fetchone()
            or session.raw.execute(_NEXT_TENANT, (tenant_id,)).fetchone()
        )
    return lanes


def end_of_step(after: int, session: Session) -> int | None:
    """The id of the last of the next 1,000 rows of the outbox; None at its end."""
    (last,) = session.raw.execute(
        "SELECT max(id) FROM (SELECT id FROM outbox WHERE id > ? ORDER BY id LIMIT ?)",
        (after, _ONCE),
    ).fetchone()
    return int(last) if last is not None else None


def _retry(tx: Transaction, step: tuple[float, int, int, int]) -> int:
    return tx.raw.execute(
        "UPDATE outbox SET state = 'waiting', attempts = 0, next_at = ?1, created_at = ?1"
        " WHERE tenant_id = ?2 AND id > ?3 AND id <= ?4",
        step,
    ).rowcount


def _counts(session: Session) -> Mapping[tuple[int, str], int]:
    return {
        (tenant, state): number
        for tenant, state, number in session.raw.execute(
            # Each half by an index of its own, without the notices themselves.
            "SELECT tenant_id, 'waiting', count(*) FROM outbox WHERE state = 'waiting'"
            " GROUP BY tenant_id UNION ALL"
            " SELECT tenant_id, 'dead', count(*) FROM outbox WHERE state = 'dead'"
            " GROUP BY tenant_id"
        )
    }


def _id(value: Json) -> int | None:
    return value if isinstance(value, int) else None
