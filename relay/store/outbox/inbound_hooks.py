"""Doors for the webhooks of other software: a secret in the URL, kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from sqlite3 import IntegrityError
from typing import Final

from relay.store.sqlite.engine import Writer
from relay.store.sqlite.glance import Glance
from relay.store.sqlite.transaction import Transaction
from relay.store.sqlite.worker import Reader

SECRET_OCTETS: Final = 32
_COLUMNS: Final = "id, tenant_id, list_id, format, name, created_at, secret_hash"
_ADD: Final = (
    "INSERT INTO inbound_hooks (tenant_id, list_id, format, name, created_at, secret_hash)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)


class HookTaken(Exception):
    """The tenant has a hook of that name already."""


@dataclass(frozen=True, slots=True)
class InboundHook:
    """One door."""

    id: int
    tenant_id: int
    list_id: int | None
    """Opt-outs through this door are from this list; None: from everything of the tenant."""
    format: str
    """One of ``relay.decide.hook_formats.HookFormat``."""
    name: str
    created_at: float
    secret_hash: bytes = field(repr=False)
    """SHA-256 of the machine-made secret."""


class InboundHooks:
    """Keeps the doors. All methods raise StoreTrouble."""

    def attach(self, writer: Writer, reader: Reader, glance: Glance) -> None:
        """Hand over the connections; ``glance`` for the look-up of one secret."""
        self._writer, self._reader, self._glance = writer, reader, glance

    async def add(
        self, tenant_id: int, list_id: int | None, format_: str, name: str, *, at: float
    ) -> tuple[InboundHook, str]:
        """Open a door; returns it, and its new secret, which is kept nowhere in clear. Raises
        HookTaken."""
        secret = secrets.token_urlsafe(SECRET_OCTETS)
        row = (tenant_id, list_id, format_, name, at, _hash(secret))

        def work(tx: Transaction) -> int:
            try:
                return int(tx.raw.execute(_ADD, row).lastrowid or 0)
            except IntegrityError as error:
                raise HookTaken from error

        return InboundHook(await self._writer.write(work), *row), secret

    async def of_secret(self, secret: str) -> InboundHook | None:
        """The door that a secret opens, or None."""
        # Looked up by its hash: how long the answer takes says nothing about the secret.
        digest = _hash(secret)
        row = await self._glance.read(
            lambda session: session.raw.execute(
                f"SELECT {_COLUMNS} FROM inbound_hooks WHERE secret_hash = ?",  # noqa: S608 - constant
                (digest,),
            ).fetchone()
        )
        return InboundHook(*row) if row is not None else None

    async def listing(self) -> tuple[InboundHook, ...]:
        """All doors, in the order in which they were made."""
        rows = await self._reader.read(
            lambda session: session.raw.execute(
                f"SELECT {_COLUMNS} FROM inbound_hooks ORDER BY id"  # noqa: S608 - constant
            ).fetchall()
        )
        return tuple(InboundHook(*row) for row in rows)

    async def remove(self, hook_id: int) -> bool:
        """Close a door; False when there is none of that id."""

        def work(tx: Transaction) -> bool:
            gone = tx.raw.execute("DELETE FROM inbound_hooks WHERE id = ?", (hook_id,))
            return gone.rowcount == 1

        return await self._writer.write(work)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
