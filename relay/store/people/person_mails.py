"""Mail that we wrote to persons at somebody's request, for the caps on it.

Persons are named by their wide key, so that ``+tag`` spellings share one cap. Confirmation mail is
counted from the requests for it, and here only once these are erased.
"""

from __future__ import annotations

from typing import Final

from relay.store.sqlite.engine import Writer
from relay.store.sqlite.transaction import Transaction

CONFIRMATION: Final = "confirmation"
"""Kind of the mail whose request was erased."""
KEPT_SECONDS: Final = 2 * 86_400
"""Longer than any cap looks back."""


class PersonMails:
    """Counts and remembers."""

    def attach(self, writer: Writer) -> None:
        """Hand over the connection."""
        self._writer = writer

    async def claim(
        self,
        wide: bytes,
        kind: str,
        tenant_id: int,
        *,
        at: float,
        seconds: float,
        per_tenant: int,
        per_person: int,
    ) -> bool:
        """Count one more mail of a kind to a person; False, and nothing is counted, when the last
        ``seconds`` already brought as many from this tenant, or from all, as the caps allow.
        Durable on return. Raises StoreTrouble."""

        def work(tx: Transaction) -> bool:
            if self.count(tx, wide, kind, at - seconds, tenant_id) >= per_tenant:
                return False
            if self.count(tx, wide, kind, at - seconds) >= per_person:
                return False
            self.add(tx, wide, kind, tenant_id, at)
            return True

        return await self._writer.write(work)

    @staticmethod
    def count(
        tx: Transaction, wide: bytes, kind: str, since: float, tenant_id: int | None = None
    ) -> int:
        """How many mails of a kind a person was sent after ``since`` (epoch seconds), by one
        tenant or by all."""
        (number,) = tx.raw.execute(
            "SELECT count(*) FROM person_mails WHERE wide = ?1 AND at > ?2 AND kind = ?3"
            " AND (?4 IS NULL OR tenant_id = ?4)",
            (wide.hex(), since, kind, tenant_id),
        ).fetchone()
        return int(number)

    @staticmethod
    def add(tx: Transaction, wide: bytes, kind: str, tenant_id: int, at: float) -> None:
        """Count one more, and forget what is too old for any cap."""
        tx.raw.execute("DELETE FROM person_mails WHERE at <= ?", (at - KEPT_SECONDS,))
        tx.raw.execute(
            "INSERT INTO person_mails (wide, tenant_id, kind, at) VALUES (?, ?, ?, ?)",
            (wide.hex(), tenant_id, kind, at),
        )
