"""Where tenants' software wants to be told, and the secrets that sign what it is told."""

from __future__ import annotations

import base64
import secrets
import sqlite3
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from relay.store.outbox.outbox import end_of_step
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.transaction import Transaction
from relay.store.sqlite.worker import Reader

MOST: Final = 10
"""Webhooks of one tenant: every opt-out writes a notice for each, also on a full disk."""
SECRET_OCTETS: Final = 32
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what such secrets begin with
NO_END: Final = 2**62
_FORGET: Final = "DELETE FROM outbox WHERE webhook_id = ? AND id > ? AND id <= ?"
_COLUMNS: Final = "id, tenant_id, url, secret, created_at"


class WebhookError(Exception):
    """A webhook that cannot be; the message is one sentence for a person."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One place of one tenant."""

    id: int
    tenant_id: int
    url: str
    secret: str = field(repr=False)
    """``whsec_`` and the base64 of the key (Standard Webhooks)."""
    created_at: float = 0.0


class Webhooks:
    """The webhooks of all tenants. All methods raise StoreTrouble."""

    def attach(self, writer: Writer, slow: Reader) -> None:
        """Hand over the connections."""
        self._writer, self._slow = writer, slow

    async def add(self, tenant_id: int, url: str, *, at: float) -> Webhook:
        """Add a place, with a new secret. Raises WebhookError."""
        key = base64.b64encode(secrets.token_bytes(SECRET_OCTETS)).decode("ascii")
        secret = SECRET_PREFIX + key

        def work(tx: Transaction) -> int:
            (there,) = tx.raw.execute(
                "SELECT count(*) FROM webhooks WHERE tenant_id = ?", (tenant_id,)
            ).fetchone()
            if there >= MOST:
                raise WebhookError(
                    f"the tenant has {MOST} webhooks, which is the most there may be"
                )
            try:
                cursor = tx.raw.execute(
                    "INSERT INTO webhooks (tenant_id, url, secret, created_at) VALUES (?, ?, ?, ?)",
                    (tenant_id, url, secret, at),
                )
            except sqlite3.IntegrityError as error:
                raise WebhookError("the tenant has a webhook with that URL already") from error
            return int(cursor.lastrowid or 0)

        return Webhook(await self._writer.write(work), tenant_id, url, secret, at)

    async def all(self, tenant_id: int | None = None) -> tuple[Webhook, ...]:
        """Those of one tenant, or of all, by id."""
        rows: list[Any] = await self._slow.read(
            lambda session: session.raw.execute(
                f"SELECT {_COLUMNS} FROM webhooks"  # noqa: S608 - constants
                " WHERE ?1 IS NULL OR tenant_id = ?1 ORDER BY id",
                (tenant_id,),
            ).fetchall()
        )
        return tuple(Webhook(*row) for row in rows)

    async def remove(self, tenant_id: int, url: str) -> Webhook:
        """Remove a place, and every notice that waits for it: these first, 1,000 rows of the outbox
        at a time. Raises WebhookError."""
        found = next((one for one in await self.all(tenant_id) if one.url == url), None)
        if found is None:
            raise WebhookError("the tenant has no webhook with that URL")
        after = 0
        while (last := await self._slow.read(partial(end_of_step, after))) is not None:
            step = (found.id, after, last)
            await self._writer.write(lambda tx, step=step: tx.raw.execute(_FORGET, step))  # type: ignore[misc]
            after = last

        def work(tx: Transaction) -> None:
            tx.raw.execute("DELETE FROM webhooks WHERE id = ?", (found.id,))
            tx.raw.execute(_FORGET, (found.id, after, NO_END))

        await self._writer.write(work)
        return found
