"""Answers already given to writes over the API, so that a repeated request acts once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.store.sqlite.engine import Writer
from relay.store.sqlite.transaction import Transaction
from relay.store.sqlite.worker import Reader

KEPT_SECONDS: Final = 86_400
_ONCE: Final = 100
"""Old answers that one new one clears away."""
_FORGET_SOME: Final = (
    "DELETE FROM idempotency_keys WHERE (tenant_id, key) IN"
    " (SELECT tenant_id, key FROM idempotency_keys WHERE at <= ? ORDER BY at LIMIT ?)"
)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer that a request got."""

    request: str
    """Hash of the request: another one under the same key is a mistake of the client."""
    status: int
    body: str


class IdempotencyKeys:
    """Remembers answers for a day, across restarts. All methods raise StoreTrouble."""

    def attach(self, writer: Writer, reader: Reader) -> None:
        """Hand over the connections."""
        self._writer, self._reader = writer, reader

    async def find(self, tenant_id: int, key: str, now: float) -> Answered | None:
        """What was answered under this key of this tenant in the last day, or None."""
        row = await self._reader.read(
            lambda session: session.raw.execute(
                "SELECT request, status, body FROM idempotency_keys"
                " WHERE tenant_id = ? AND key = ? AND at > ?",
                (tenant_id, key, now - KEPT_SECONDS),
            ).fetchone()
        )
        return Answered(*row) if row is not None else None

    async def keep(self, tenant_id: int, key: str, answer: Answered, now: float) -> None:
        """Remember an answer; durable on return. What is older than a day is forgotten."""

        def work(tx: Transaction) -> None:
            tx.raw.execute(_FORGET_SOME, (now - KEPT_SECONDS, _ONCE))
            tx.raw.execute(
                "INSERT OR REPLACE INTO idempotency_keys (tenant_id, key, request, status, body,"
                " at) VALUES (?, ?, ?, ?, ?, ?)",
                (tenant_id, key, answer.request, answer.status, answer.body, now),
            )

        await self._writer.write(work)
