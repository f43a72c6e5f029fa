"""What people said, as it is written down, and as the judge asks for it.

All facts stay; which of them counts is for ``relay.decide.standing`` to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from relay.model import Act, Basis, MailingList, ScopeLevel, StandingState, SubjectKeys
from relay.ports import Json, NewEvent
from relay.store.ledger.chain import IMPORTED, OPERATOR_CHAIN
from relay.store.ledger.ledger import Ledger
from relay.store.people.acts import read_acts
from relay.store.people.block_journal import journal_line
from relay.store.people.projection import BLOCKS, LIFTED, project_event, project_import
from relay.store.people.subjects import KEEP_ADDRESS
from relay.store.people.timeline import Entry, read_timeline
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.generation import Generation
from relay.store.sqlite.glance import Glance
from relay.store.sqlite.transaction import Session, Transaction
from relay.store.sqlite.worker import Reader

FEW: Final = 10
"""Recipients that are looked up without changing threads."""
BOUNCE_SECONDS: Final = 90 * 86_400
"""How long a hard bounce blocks."""

SAID_AGAIN: Final = 60.0
"""Seconds after which a repeated opt-out is an act of its own: what a source signed between the two
may be brought in later, and must not count."""

# A block at this scope since which the person, under whatever spelling, has said yes to nothing
# and was asked nothing: an opt-out after a request must be an event of its own, to end the request.
_STANDING_BLOCK: Final = """
SELECT s.event_id FROM suppressions s
 WHERE s.wide = ? AND s.tenant_id IS ? AND s.brand_id IS ? AND s.list_id IS ? AND s.state = ?
   AND s.event_id IS NOT NULL AND s.expires_at IS NULL AND s.at > ? - ?
   AND NOT EXISTS (SELECT 1 FROM event_data d JOIN events e ON e.id = d.event_id
                    WHERE d.wide = s.wide AND d.event_id > s.event_id
                      AND e.tenant_id IS s.tenant_id
                      AND e.type IN ('consent.granted', 'consent.pending'))
   AND NOT EXISTS (SELECT 1 FROM consents c WHERE c.exact = ? AND c.tenant_id IS s.tenant_id
                      AND c.own_act = 1 AND c.event_id > s.event_id)
 ORDER BY s.event_id DESC LIMIT 1
"""
# An opt-out stops all spellings of an address, so a consent under any of them came back.
_CAME_BACK: Final = """
SELECT 1 FROM consents c, (SELECT t FROM events WHERE id = ?4) e
 WHERE c.exact IN (SELECT ?1 UNION SELECT exact FROM subjects WHERE wide = ?2)
   AND c.tenant_id = ?3 AND (c.at * 1000 >= e.t OR c.event_id > ?4) LIMIT 1
"""
_ADDRESS: Final = (
    "SELECT address FROM subjects s WHERE s.exact = ?1 AND (?2 IS NULL OR EXISTS"
    " (SELECT 1 FROM consents c WHERE c.exact = s.exact AND c.tenant_id = ?2))"
)


def scope_of(mailing_list: MailingList) -> tuple[int | None, int | None]:
    """Brand and list id at which consent for ``mailing_list`` is asked (clause B21)."""
    match mailing_list.consent_scope:
        case ScopeLevel.LIST:
            return mailing_list.brand_id, mailing_list.id
        case ScopeLevel.BRAND:
            return mailing_list.brand_id, None
        case ScopeLevel.TENANT:
            return None, None


class Consents:
    """Implements ``relay.ports.ConsentBook``, and writes what people say."""

    def __init__(self, generation: Generation) -> None:
        self._generation: Final = generation
        self._last_event = 0
        self._writer: Writer
        self._glance: Glance
        self._reader: Reader
        self._slow: Reader
        self._ledger: Ledger

    def attach(
        self, writer: Writer, reader: Reader, slow: Reader, glance: Glance, ledger: Ledger
    ) -> None:
        """Hand over the connections; ``slow`` is for listings, ``glance`` for a few rows."""
        self._writer, self._reader, self._slow, self._glance = writer, reader, slow, glance
        self._ledger = ledger

    @property
    def generation(self) -> int:
        """Grows whenever any consent, block, list or tenant changed. Read it before ``acts``.

        Not when mail leaves under a consent: that changes nothing that could stop other mail.
        """
        return self._generation.value

    @property
    def last_event(self) -> int:
        """Id of the last event that changed any answer and is committed."""
        return self._last_event

    async def acts(self, tenant_id: int, keys: Sequence[SubjectKeys]) -> Sequence[tuple[Act, ...]]:
        """All acts on record for each recipient, in the order of ``keys``, by one query.

        Raises StoreTrouble.
        """
        ask = self._glance.read if len(keys) <= FEW else self._reader.read
        return await ask(lambda session: read_acts(session, tenant_id, keys))

    async def grant(
        self,
        tenant_id: int,
        keys: SubjectKeys,
        *,
        basis: Basis,
        at: float,
        brand_id: int | None = None,
        list_id: int | None = None,
        own_act: bool = False,
        pending: bool = False,
        expires_at: float | None = None,
        automated: Sequence[str] = (),
        address: str | None = None,
        evidence: Mapping[str, Json] | None = None,
    ) -> int:
        """Record a consent (or, ``pending``, the request for one); returns the event's id.

        ``automated`` names the marks by which a confirmation looks like a machine's (clause A4).
        ``address`` goes to the one table that holds addresses in clear. Raises StoreTrouble.
        """
        event = NewEvent(
            tenant_id,
            "consent.pending" if pending else "consent.granted",
            at,
            keys,
            {
                **_scope(brand_id, list_id),
                "basis": basis.value,
                "own_act": own_act,
                "expires_at": expires_at,
                "automated": list(automated),
                "evidence": dict(evidence or {}),
            },
        )

        def work(tx: Transaction) -> int:
            if address is not None:
                tx.raw.execute(KEEP_ADDRESS, (keys.exact.hex(), keys.wide.hex(), address))
            return self._ledger.append(tx, [event])[0]

        return await self._writer.write(work)

    async def withdraw(
        self,
        tenant_id: int,
        keys: SubjectKeys,
        *,
        at: float,
        channel: str,
        brand_id: int | None = None,
        list_id: int | None = None,
        evidence: Mapping[str, Json] | None = None,
    ) -> int:
        """Record an opt-out at a scope; in force for the next read when this returns.

        Idempotent: when the same stands and was said less than ``SAID_AGAIN`` seconds before, its
        event id is returned and nothing is added. Works on a full disk, from the reserve. Raises
        StoreTrouble.
        """
        event = NewEvent(
            tenant_id,
            "optout",
            at,
            keys,
            {
                **_scope(brand_id, list_id),
                "channel": channel,
                "evidence": dict(evidence or {}),
            },
        )
        return await self._block(event, keys, StandingState.WITHDRAWN)

    async def complain(
        self,
        tenant_id: int,
        keys: SubjectKeys,
        *,
        at: float,
        evidence: Mapping[str, Json] | None = None,
    ) -> int:
        """Record a spam complaint: blocks commercial mail of that tenant. Raises StoreTrouble."""
        event = NewEvent(tenant_id, "complaint", at, keys, {"evidence": dict(evidence or {})})
        return await self._block(event, keys, StandingState.COMPLAINED)

    async def suppress_bounce(
        self, tenant_id: int, keys: SubjectKeys, *, at: float, evidence: Mapping[str, Json]
    ) -> int:
        """Record a hard bounce: blocks all mail of that tenant for 90 days. Raises StoreTrouble."""
        event = NewEvent(
            tenant_id,
            "bounce",
            at,
            keys,
            {"expires_at": at + BOUNCE_SECONDS, "evidence": dict(evidence)},
        )
        return await self._block(event, keys, StandingState.SUPPRESSED)

    async def suppress_operator(self, keys: SubjectKeys, *, at: float, reason: str) -> int:
        """The operator blocks all mail of all tenants to a person. Raises StoreTrouble."""
        event = NewEvent(OPERATOR_CHAIN, "suppression", at, keys, {"evidence": {"reason": reason}})
        return await self._block(event, keys, StandingState.SUPPRESSED)

    async def lift(
        self, tenant_id: int | None, keys: SubjectKeys, *, at: float, reason: str
    ) -> int:
        """Take back a bounce suppression, or with None the operator's; opt-outs and complaints
        stay. Returns the event's id. Raises StoreTrouble."""
        chain = OPERATOR_CHAIN if tenant_id is None else tenant_id
        event = NewEvent(chain, LIFTED, at, keys, {"evidence": {"reason": reason}})
        return await self._writer.write(lambda tx: self._ledger.append(tx, [event])[0])

    async def came_back(self, tenant_id: int, keys: SubjectKeys, event_id: int) -> bool:
        """Whether a consent at this tenant, under any spelling of the address, is younger than an
        event. Raises StoreTrouble."""
        look = (keys.exact.hex(), keys.wide.hex(), tenant_id, event_id)
        return await self._glance.read(
            lambda session: session.raw.execute(_CAME_BACK, look).fetchone() is not None
        )

    async def show(self, keys: SubjectKeys, tenant_id: int | None = None) -> tuple[Entry, ...]:
        """All that was ever recorded about a person, oldest first. Raises StoreTrouble."""
        entries = await self._slow.read(lambda session: read_timeline(session, keys))
        return tuple(e for e in entries if tenant_id is None or e.tenant_id == tenant_id)

    async def address_of(self, keys: SubjectKeys, tenant_id: int | None) -> str | None:
        """The address in clear, as it was given with a consent or a request for one, or None.

        For one tenant: only if it was given there, since what others know of a person is not for
        its eyes. Raises StoreTrouble.
        """
        look = (keys.exact.hex(), tenant_id)
        row = await self._slow.read(lambda session: session.raw.execute(_ADDRESS, look).fetchone())
        return row[0] if row is not None else None

    async def rebuild(self) -> None:
        """Make the projections anew from the ledger, in one transaction. Raises StoreTrouble."""
        await self._writer.write(self._rebuild)

    # --- in the writer's thread -------------------------------------------------------------

    def load(self, session: Session) -> None:
        """See where the ledger stands, after the store was opened."""
        (self._last_event,) = session.raw.execute(
            "SELECT coalesce(max(id), 0) FROM events"
        ).fetchone()

    def project(self, tx: Transaction, number: int, event: NewEvent) -> None:
        """Bring the projections up to date with one new event."""
        changed = project_event(tx, number, event)
        if changed or event.type in IMPORTED:
            tx.after(lambda: self._stands(number))
        if not changed:
            return
        self._generation.grows(tx)
        if event.type in BLOCKS or event.type == LIFTED:
            tx.journal(journal_line(event))

    def _stands(self, number: int) -> None:
        self._last_event = max(self._last_event, number)

    async def _block(self, event: NewEvent, keys: SubjectKeys, state: StandingState) -> int:
        tenant = None if event.tenant_id == OPERATOR_CHAIN else event.tenant_id
        scope = (event.data.get("brand"), event.data.get("list"))
        said = (event.at, SAID_AGAIN)
        look = (keys.wide.hex(), tenant, *scope, state.value, *said, keys.exact.hex())

        def work(tx: Transaction) -> int:
            standing = tx.raw.execute(_STANDING_BLOCK, look).fetchone()
            if standing is not None:
                return int(standing[0])
            return self._ledger.append(tx, [event])[0]

        return await self._writer.write(work, essential=True)

    def _rebuild(self, tx: Transaction) -> None:
        # Rows whose event was erased cannot be made anew, and rows still staged have none.
        made = "event_id IN (SELECT event_id FROM event_data) OR import_id IN (%s)"
        committed = "SELECT id FROM imports WHERE committed = 1"
        for table in ("consents", "suppressions"):
            tx.raw.execute(f"DELETE FROM {table} WHERE {made % committed}")  # noqa: S608 - constants
        for number, event in self._ledger.replay(tx):
            if event.type in IMPORTED:
                project_import(tx, int(str(event.data["import"])))
            else:
                project_event(tx, number, event)
        self._generation.grows(tx)


def _scope(brand_id: int | None, list_id: int | None) -> dict[str, Json]:
    return {"brand": brand_id, "list": list_id}
