"""Doors for the webhooks of other software: a secret in the URL, kept as a hash."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from sqlite3 import IntegrityError
from typing import Final

from relay.store.sqlite.engine import Writer
from relay.store.sqlite.glance import Glance
from relay.store.sqlite.transaction import Transaction
from relay.store.sqlite.worker import Reader

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

    async def add(self, hook: InboundHook) -> InboundHook:
        """Add; ``id`` is given here. Raises HookTaken."""
        row = (hook.tenant_id, hook.list_id, hook.format, hook.name)

        def work(tx: Transaction) -> int:
            try:
                cursor = tx.raw.execute(_ADD, (*row, hook.created_at, hook.secret_hash))
            except IntegrityError as error:
                raise HookTaken from error
            return int(cursor.lastrowid or 0)

        return replace(hook, id=await self._writer.write(work))

    async def of_secret(self, secret_hash: bytes) -> InboundHook | None:
        """The door that a secret opens, or None."""
        row = await self._glance.read(
            lambda session: session.raw.execute(
                f"SELECT {_COLUMNS} FROM inbound_hooks WHERE secret_hash = ?",  # noqa: S608 - constant
                (secret_hash,),
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
