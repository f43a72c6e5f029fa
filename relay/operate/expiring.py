"""What consents are about to run out."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay.consent.expiring import Expiring
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json

MOST_DAYS = 3_650
_PAGE = 1_000


async def expiring(
    context: Context, tenant: str | None = None, days: int = 30
) -> AsyncIterator[Json]:
    """Consents that end within ``days``: ``{tenant, brand, list, address, basis, since, expires,
    why, unused_days}``; address null when erased, why ``date`` or ``unused``."""
    if not 1 <= days <= MOST_DAYS:
        raise OperationError(f"--days must be 1 to {MOST_DAYS}, not {days}", status=2)
    directory = context.store.directory
    owners = (
        [names.tenant(directory, tenant)]
        if tenant is not None
        else sorted(directory.tenants.values(), key=lambda owner: owner.slug)
    )
    service = Expiring(context.store, context.rulebooks.policy, context.clock)
    for owner in owners:
        after: str | None = None
        while True:
            page = await service.soon(owner, days=days, after=after, limit=_PAGE)
            for one in page.items:
                yield {
                    "tenant": owner.slug,
                    "brand": one.brand,
                    "list": one.list,
                    "address": one.address,
                    "basis": one.lapse.basis,
                    "since": names.iso(one.lapse.since),
                    "expires": names.iso(one.lapse.at),
                    "why": one.lapse.why,
                    "unused_days": one.lapse.unused_days,
                }
            after = page.next
            if after is None:
                break
