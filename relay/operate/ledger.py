"""Operations on the ledger."""

from __future__ import annotations

from pathlib import Path

from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.progress import Progress, no_progress
from relay.ports import Json
from relay.store.ledger.verify import Discontinuity


async def verify(
    context: Context,
    tenant: str | None = None,
    heads: str | None = None,
    progress: Progress = no_progress,
) -> Json:
    """``{ok, events, erased, broken: {tenant, chain, seq, why} | null, discontinuities: [{tenant,
    chain, seq, time, backup, last, lost}]}``; ``heads`` is the absolute name of one more file of
    signed heads."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant) if tenant is not None else None
    more = Path(heads) if heads is not None else None
    if more is not None and not more.is_file():
        raise OperationError(f"there is no file {more}", status=2)
    result = await context.store.ledger.verify(
        owner.id if owner else None, heads=more, progress=progress
    )
    broken: Json = None
    if result.first_broken is not None:
        chain, seq, why = result.first_broken
        broken = {"tenant": _slug(context, chain), "chain": chain, "seq": seq, "why": why}
    return {
        "ok": result.ok,
        "events": result.events,
        "erased": result.erased,
        "broken": broken,
        "discontinuities": [_shown(context, one) for one in result.discontinuities],
    }


async def key(context: Context) -> Json:
    """``{fingerprint, pem}`` of the public key that signs the heads, for publication."""
    public = context.store.proofs.key
    return {"fingerprint": public.fingerprint, "pem": public.pem}


def _slug(context: Context, chain: int) -> str | None:
    owner = context.store.directory.tenants.get(chain)
    return owner.slug if owner else None


def _shown(context: Context, one: Discontinuity) -> Json:
    said = one.said
    backup, last, lost = (said.get(name) for name in ("backup_at", "last", "lost"))
    return {
        "tenant": _slug(context, one.tenant_id),
        "chain": one.tenant_id,
        "seq": one.seq,
        "time": names.iso(one.at),
        "backup": names.iso(backup) if isinstance(backup, int | float) else None,
        "last": last,
        "lost": lost,
    }
