"""Who accepted the terms of attested consents, for which content (clauses A11, B27)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.ports import NewEvent
from relay.store.ledger.ledger import Ledger
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.transaction import Transaction
from relay.store.sqlite.worker import Reader

_ADD: Final = (
    "INSERT INTO acceptances (tenant_id, list_id, accepted_by, at, terms_version, terms_digest,"
    " content_digest, event_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_FIND: Final = (
    "SELECT tenant_id, list_id, accepted_by, at, terms_version, terms_digest, content_digest,"
    " event_id FROM acceptances WHERE tenant_id = ? AND list_id = ? AND terms_digest = ?"
    " AND content_digest = ? ORDER BY id DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One acceptance; digests are SHA-256 in hex."""

    tenant_id: int
    list_id: int
    accepted_by: str
    """Name of the person who accepted for the tenant."""
    at: float
    terms_version: str
    terms_digest: str
    content_digest: str
    """Of the file, or of the one record, that the acceptance is for."""
    event_id: int = 0
    """Given by ``add``."""


class Acceptances:
    """Acceptances stay for ever: nothing here changes or removes one."""

    def attach(self, writer: Writer, reader: Reader, ledger: Ledger) -> None:
        """Hand over the connections."""
        self._writer, self._reader, self._ledger = writer, reader, ledger

    async def add(self, acceptance: Acceptance) -> int:
        """Record one with its event; returns the event's id. Raises StoreTrouble."""
        a = acceptance
        event = NewEvent(
            a.tenant_id,
            "terms.accepted",
            a.at,
            None,
            {
                "list": a.list_id,
                "accepted_by": a.accepted_by,
                "terms_version": a.terms_version,
                "terms_digest": a.terms_digest,
                "content_digest": a.content_digest,
            },
        )

        def work(tx: Transaction) -> int:
            (number,) = self._ledger.append(tx, [event])
            terms = (a.terms_version, a.terms_digest)
            row = (a.tenant_id, a.list_id, a.accepted_by, a.at, *terms, a.content_digest, number)
            tx.raw.execute(_ADD, row)
            return number

        return await self._writer.write(work)

    async def find(
        self, tenant_id: int, list_id: int, *, terms_digest: str, content_digest: str
    ) -> Acceptance | None:
        """The latest acceptance of these terms for this content and list. Raises StoreTrouble."""
        look = (tenant_id, list_id, terms_digest, content_digest)
        row = await self._reader.read(lambda session: session.raw.execute(_FIND, look).fetchone())
        return Acceptance(*row) if row is not None else None
