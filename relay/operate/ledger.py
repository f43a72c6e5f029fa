"""Operations on the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay.operate import names
from relay.operate.context import Context
from relay.ports import Json


async def verify(context: Context, tenant: str | None = None) -> Json:
    """``{ok, events, erased, broken: {tenant, seq, why} | null}``."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant) if tenant is not None else None
    result = await context.store.ledger.verify(owner.id if owner else None)
    broken: Json = None
    if result.first_broken is not None:
        chain, seq, why = result.first_broken
        of = directory.tenants.get(chain)
        broken = {"tenant": of.slug if of else None, "chain": chain, "seq": seq, "why": why}
    return {
        "ok": result.ok,
        "events": result.events,
        "erased": result.erased,
        "broken": broken,
    }


async def export(context: Context, tenant: str) -> AsyncIterator[Json]:
    """All events of a tenant, in order."""
    owner = names.tenant(context.store.directory, tenant)
    async for event in context.store.ledger.export(owner.id):
        yield event
