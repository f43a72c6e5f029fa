"""Which notices a tenant has been sent."""

from __future__ import annotations

from typing import Final

from relay.store.sqlite.engine import Writer
from relay.store.sqlite.transaction import Transaction

KEPT_DAYS: Final = 7


class NoticeLog:
    """Remembers notices for a week, across restarts."""

    def attach(self, writer: Writer) -> None:
        """Hand over the connection."""
        self._writer = writer

    async def claim(self, tenant_id: int, kind: str, day: int) -> bool:
        """True for the first to ask for this notice of this UTC day; durable on return.

        Raises StoreTrouble.
        """

        def work(tx: Transaction) -> bool:
            tx.raw.execute("DELETE FROM notices WHERE day < ?", (day - KEPT_DAYS,))
            added = tx.raw.execute(
                "INSERT OR IGNORE INTO notices (tenant_id, kind, day) VALUES (?, ?, ?)",
                (tenant_id, kind, day),
            )
            return added.rowcount == 1

        return await self._writer.write(work)
