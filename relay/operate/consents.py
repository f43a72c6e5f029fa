"""Operations on one person's record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

from relay.consent.withdrawing import Withdrawing, Withdrawn
from relay.decide.keys import subject_keys
from relay.decide.standing import standing
from relay.model import ScopeLevel, SubjectKeys, Tenant
from relay.operate import names
from relay.operate.context import Context
from relay.ports import Json
from relay.store.people.timeline import Entry

_EVENTS: Final = ("event", "signup", "consent")
"""Members of recorded data that name another event."""


async def show(context: Context, address: str, tenant: str | None = None) -> Json:
    """``{address, standings: [{tenant, list, kind, state, basis, since}], timeline: [{event, time,
    tenant, type, list, brand, exact, data}]}``; tenants without anything on record are left out.
    Events are called by their number in the tenant's chain, in ``data`` too."""
    person = names.address(address, "the address")
    keys = subject_keys(context.keys.pepper, person)
    directory = context.store.directory
    only = names.tenant(directory, tenant) if tenant is not None else None
    timeline = await context.store.consents.show(keys, only.id if only else None)
    numbers = {entry.event_id: entry.seq for entry in timeline}
    standings: list[Json] = []
    for owner in sorted(directory.tenants.values(), key=lambda owner: owner.slug):
        if only is None or owner.id == only.id:
            standings += [line async for line in _standings(context, owner, keys)]
    return {
        "address": person.wire,
        "standings": standings,
        "timeline": [_shown(context, entry, numbers) for entry in timeline],
    }


async def withdraw(context: Context, address: str, tenant: str, list: str | None = None) -> Json:  # noqa: A002
    """Record an opt-out, in force when this returns; ``{address, tenant, list, scope, stopped,
    recorded, event}``, where ``stopped`` says in words what has stopped, and ``event`` is the
    number in the tenant's chain.

    With a list it closes the widest consent that covered that list, as the link in a mail does
    (clause B21); without one, or with no consent on record, everything of the tenant.
    """
    directory = context.store.directory
    owner = names.tenant(directory, tenant)
    mailing_list = names.mailing_list(directory, owner, list) if list is not None else None
    person = names.address(address, "the address")
    withdrawing = Withdrawing(context.store, context.clock, context.optout, context.optout_in_force)
    done = await withdrawing.withdraw(
        owner,
        subject_keys(context.keys.pepper, person),
        mailing_list=mailing_list,
        channel="command",
        evidence={"by": "command line"},
    )
    return {
        "address": person.wire,
        "tenant": owner.slug,
        "list": mailing_list.slug if mailing_list else None,
        "scope": done.scope,
        "stopped": _stopped(context, owner, done),
        "recorded": done.recorded,
        "event": await context.store.changes.sequence(owner.id, done.event_id),
    }


def _stopped(context: Context, owner: Tenant, done: Withdrawn) -> str:
    directory = context.store.directory
    match done.scope:
        case ScopeLevel.LIST:
            mailing_list = directory.lists[done.list_id or 0]
            what = f"commercial mail of {owner.party.name} on the list {mailing_list.slug}"
        case ScopeLevel.BRAND:
            brand = directory.brands[done.brand_id or 0]
            what = f"commercial mail of {owner.party.name} under the brand {brand.name}"
        case ScopeLevel.TENANT:
            what = f"all commercial mail of {owner.party.name}"
    return what if done.recorded else f"{what} (it had stopped before)"


async def _standings(context: Context, owner: Tenant, keys: SubjectKeys) -> AsyncIterator[Json]:
    (acts,) = await context.store.consents.acts(owner.id, [keys])
    if not acts:
        return
    now = context.clock.now()
    lists = context.store.directory.lists.values()
    own = sorted((m for m in lists if m.tenant_id == owner.id), key=lambda m: m.slug)
    for mailing_list in (None, *own):
        person = standing(acts, tenant_id=owner.id, mailing_list=mailing_list, now=now)
        yield {
            "tenant": owner.slug,
            "list": mailing_list.slug if mailing_list else None,
            "kind": mailing_list.kind if mailing_list else None,
            "state": person.state,
            "basis": person.basis,
            "since": names.iso(person.since) if person.since is not None else None,
            "bounce_suppressed": person.bounce_suppressed,
            "operator_suppressed": person.operator_suppressed,
        }


def _shown(context: Context, entry: Entry, numbers: Mapping[int, int]) -> dict[str, Json]:
    directory = context.store.directory
    owner = directory.tenants.get(entry.tenant_id) if entry.tenant_id is not None else None
    mailing_list = directory.lists.get(_number(entry.data.get("list")))
    brand = directory.brands.get(_number(entry.data.get("brand")))
    return {
        "event": entry.seq,
        "time": names.iso(entry.at),
        "tenant": owner.slug if owner else None,
        "type": entry.type,
        "list": mailing_list.slug if mailing_list else None,
        "brand": brand.slug if brand else None,
        "exact": entry.exact,
        "data": _in_chain(entry.data, numbers),
    }


def _in_chain(value: Json, numbers: Mapping[int, int]) -> Json:
    """What was recorded, with events that it names called by their number in the chain; those of
    which nothing is left on record, and the store's own count (``as_of``), are left out."""
    if isinstance(value, Mapping):
        named = {
            name: numbers.get(member) if name in _EVENTS and isinstance(member, int) else member
            for name, member in value.items()
            if name != "as_of"
        }
        return {name: _in_chain(member, numbers) for name, member in named.items()}
    return value


def _number(value: Json) -> int:
    return value if isinstance(value, int) else -1
