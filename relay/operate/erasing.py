"""The operation that erases a person."""

from __future__ import annotations

from relay.consent.erasing import Erasing
from relay.consent.withdrawing import Withdrawing
from relay.operate import names
from relay.operate.context import Context
from relay.ports import Json

OUTSIDE = (
    "Backups made before and the log files of this machine are not touched.",
    "A restore erases anew what the opt-out journal knows of; bodies in old backups stay there.",
)
"""What no erasure can reach, for whoever asked for it."""


async def erase(context: Context, address: str, tenant: str | None = None) -> Json:
    """Erase a person, at one tenant or at all: what is gone, what remains and until when."""
    person = names.address(address, "the address")
    owner = names.tenant(context.store.directory, tenant) if tenant is not None else None
    erased = await _service(context).erase(person, tenant_id=owner.id if owner else None)
    until = erased.remaining_until
    return {
        "address": person.wire,
        "tenant": owner.slug if owner else None,
        "opted_out": erased.opted_out,
        "removed": dict(erased.removed),
        "events": list(erased.event_ids),
        "remaining_messages": erased.remaining_messages,
        "remaining_until": names.iso(until) if until is not None else None,
        "overwritten": erased.overwritten,
        "problem": erased.problem,
        "found_in": list(erased.found_in),
        "outside": list(OUTSIDE),
    }


def _service(context: Context) -> Erasing:
    """The daemon's own; else one that may take its time, because no mail waits meanwhile."""
    if context.erasing is not None:
        return context.erasing

    def seen(tenant: str, channel: str) -> None:
        context.optout(tenant, channel)

    withdrawing = Withdrawing(context.store, context.clock, seen, context.optout_in_force)
    return Erasing(
        store=context.store, clock=context.clock, withdrawing=withdrawing, vacuum_below=None
    )
