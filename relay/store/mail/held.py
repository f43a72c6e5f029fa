"""A tenant's quarantine, a page at a time. What the relay itself wrote is never in it."""

from __future__ import annotations

from typing import Final, TypeAlias

from relay.model import Reason
from relay.store.mail.rows import RECORD_COLUMNS, CopyRecord, parts_of, record_of
from relay.store.sqlite.worker import Reader

Place: TypeAlias = tuple[float, str, int]
"""Time of acceptance, message id and number of a copy: what held copies are ordered by."""

START: Final[Place] = (0.0, "", 0)

# The tenant stands in each statement, so that no caller can forget it.
_HELD: Final = (
    f"SELECT {RECORD_COLUMNS} FROM copies c JOIN messages m ON m.id = c.message_id"  # noqa: S608
    " WHERE c.state = 'held' AND c.tenant_id = ?1 AND m.ours = 0"
)
_PAGE: Final = (
    _HELD + " AND (c.at, c.message_id, c.seq) > (?2, ?3, ?4) AND (?5 IS NULL OR c.reason = ?5)"
    " ORDER BY c.at, c.message_id, c.seq LIMIT ?6"
)
_ONE: Final = _HELD + " AND c.message_id = ?2 AND c.seq = ?3"


class Held:
    """Reads held copies of one tenant. All methods raise StoreTrouble."""

    def attach(self, reader: Reader) -> None:
        """Hand over the connection for listings."""
        self._reader = reader

    async def page(
        self, tenant_id: int, *, after: Place, limit: int, reason: Reason | None = None
    ) -> tuple[CopyRecord, ...]:
        """At most ``limit`` held copies behind ``after``, oldest first."""
        wanted = reason.value if reason is not None else None
        return await self._reader.read(
            lambda session: tuple(
                record_of(row)
                for row in session.raw.execute(_PAGE, (tenant_id, *after, wanted, limit))
            )
        )

    async def one(self, tenant_id: int, copy_id: str) -> CopyRecord | None:
        """The held copy of ``MESSAGEID.SEQ``; None when it is not this tenant's, or not held."""
        parts = parts_of(copy_id)
        if parts is None:
            return None
        row = await self._reader.read(
            lambda session: session.raw.execute(_ONE, (tenant_id, *parts)).fetchone()
        )
        return record_of(row) if row is not None else None
