"""What each tenant uses: waiting and held copies, octets of bodies, personal recipients today."""

from __future__ import annotations

from collections import Counter
from typing import Final

from relay.store.sqlite.transaction import Session, Transaction

DAY: Final = 86_400
KEPT_DAYS: Final = 7


def utc_day(at: float) -> int:
    """Number of the UTC day since the epoch."""
    return int(at // DAY)


class Usage:
    """Exact counters in memory, changed after each commit and read anew at each open."""

    def __init__(self) -> None:
        self._copies: Counter[int] = Counter()
        self._octets: Counter[int] = Counter()
        self._personal: Counter[tuple[int, int]] = Counter()

    def of(self, tenant_id: int) -> tuple[int, int]:
        """Waiting and held copies, and octets of their bodies (each body counted once)."""
        return self._copies[tenant_id], self._octets[tenant_id]

    def personal(self, tenant_id: int, day: int) -> int:
        """Personal recipients accepted on a UTC day."""
        return self._personal[tenant_id, day]

    # --- in the writer's thread -------------------------------------------------------------

    def load(self, session: Session, today: int) -> None:
        """Count anew."""
        raw = session.raw
        self._copies = Counter(
            dict(
                raw.execute(
                    "SELECT tenant_id, count(*) FROM copies WHERE state IN ('waiting', 'held')"
                    " GROUP BY tenant_id"
                )
            )
        )
        self._octets = Counter(
            dict(raw.execute("SELECT tenant_id, sum(size) FROM bodies GROUP BY tenant_id"))
        )
        raw.execute("DELETE FROM personal_counts WHERE day < ?", (today - KEPT_DAYS,))
        self._personal = Counter(
            {
                (tenant, day): recipients
                for tenant, day, recipients in raw.execute(
                    "SELECT tenant_id, day, recipients FROM personal_counts"
                )
            }
        )

    def changes(self, tx: Transaction, tenant_id: int, *, copies: int, octets: int) -> None:
        """Count once ``tx`` has committed."""

        def count() -> None:
            self._copies[tenant_id] += copies
            self._octets[tenant_id] += octets

        tx.after(count)

    def sends_personal(self, tx: Transaction, tenant_id: int, day: int, recipients: int) -> None:
        """Persist with ``tx``, and count once it has committed."""
        tx.raw.execute(
            "INSERT INTO personal_counts (tenant_id, day, recipients) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET recipients = recipients + excluded.recipients",
            (tenant_id, day, recipients),
        )

        def count() -> None:
            self._personal[tenant_id, day] += recipients

        tx.after(count)
