"""Operations on tenants."""

from __future__ import annotations

from dataclasses import replace

from relay.model import Mode, Party, Tenant, TenantState
from relay.operate import names
from relay.operate.choices import NoConsent
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json


async def add(
    context: Context,
    slug: str,
    name: str,
    address: str,
    contact: str,
    registration: str | None = None,
    rulebooks: list[str] | None = None,
    mode: Mode = Mode.ENFORCE,
    operator: bool = False,
    action: NoConsent = NoConsent.QUARANTINE,
    rate: str = "",
    personal_per_day: int | None = None,
    attested_admitted: bool = False,
) -> Json:
    """Add a tenant and show it."""
    directory = context.store.directory
    if directory.tenant(names.slug(slug, "the slug")) is not None:
        raise OperationError(f"there is a tenant {slug!r} already")
    wanted = Tenant(
        id=0,
        slug=slug,
        party=Party(
            name=names.line(name, "--name"),
            postal_address=names.line(address, "--address"),
            contact=names.address(contact, "--contact").wire,
            registration=registration or None,
        ),
        mode=mode,
        is_operator=operator,
        action=action.action,
        attested_admitted=attested_admitted,
        rate=names.rate(rate),
        personal_per_day=personal_per_day,
    )
    if rulebooks:
        wanted = replace(wanted, rulebooks=tuple(rulebooks))
    _check_rulebooks(context, wanted.rulebooks)
    return _shown(await context.store.registry.add_tenant(wanted))


async def listing(context: Context) -> Json:
    """All tenants by slug."""
    tenants = context.store.directory.tenants.values()
    return [_shown(tenant) for tenant in sorted(tenants, key=lambda tenant: tenant.slug)]


async def show(context: Context, slug: str) -> Json:
    """One tenant."""
    return _shown(names.tenant(context.store.directory, slug))


async def change(
    context: Context,
    slug: str,
    name: str | None = None,
    address: str | None = None,
    contact: str | None = None,
    registration: str | None = None,
    rulebooks: list[str] | None = None,
    mode: Mode | None = None,
    action: NoConsent | None = None,
    rate: str | None = None,
    personal_per_day: int | None = None,
    attested_admitted: bool | None = None,
) -> Json:
    """Change what is given."""
    was = names.tenant(context.store.directory, slug)
    party = was.party
    if name is not None:
        party = replace(party, name=names.line(name, "--name"))
    if address is not None:
        party = replace(party, postal_address=names.line(address, "--address"))
    if contact is not None:
        party = replace(party, contact=names.address(contact, "--contact").wire)
    if registration is not None:
        party = replace(party, registration=registration or None)
    wanted = replace(
        was,
        party=party,
        rulebooks=tuple(rulebooks) if rulebooks else was.rulebooks,
        mode=was.mode if mode is None else mode,
        action=was.action if action is None else action.action,
        rate=was.rate if rate is None else names.rate(rate),
        personal_per_day=was.personal_per_day if personal_per_day is None else personal_per_day,
        attested_admitted=was.attested_admitted if attested_admitted is None else attested_admitted,
    )
    _check_rulebooks(context, wanted.rulebooks)
    await context.store.registry.change_tenant(wanted)
    return _shown(wanted)


async def suspend(context: Context, slug: str, reason: str) -> Json:
    """Take no more mail from a tenant."""
    was = names.tenant(context.store.directory, slug)
    suspended = replace(
        was, state=TenantState.SUSPENDED, state_reason=names.line(reason, "--reason")
    )
    await context.store.registry.change_tenant(suspended)
    return _shown(suspended)


async def resume(context: Context, slug: str) -> Json:
    """Let a tenant send again; what waited meanwhile goes now."""
    was = names.tenant(context.store.directory, slug)
    resumed = replace(was, state=TenantState.ACTIVE, state_reason="")
    await context.store.registry.change_tenant(resumed)
    context.wake([record.id for record in await context.store.mail.spooled(was.id)])
    return _shown(resumed)


def _check_rulebooks(context: Context, wanted: tuple[str, ...]) -> None:
    known = context.rulebooks.books
    for name in wanted:
        if name not in known:
            raise OperationError(
                f"there is no rulebook {name!r}; there are: {', '.join(sorted(known))}", status=2
            )
    if len(set(wanted)) < len(wanted):
        raise OperationError("a rulebook is named twice", status=2)


def _shown(tenant: Tenant) -> dict[str, Json]:
    return {
        "slug": tenant.slug,
        "name": tenant.party.name,
        "address": tenant.party.postal_address,
        "contact": tenant.party.contact,
        "registration": tenant.party.registration,
        "state": tenant.state,
        "state_reason": tenant.state_reason,
        "mode": tenant.mode,
        "rulebooks": tenant.rulebooks,
        "operator": tenant.is_operator,
        "action": tenant.action.slug,
        "attested_admitted": tenant.attested_admitted,
        "rate": tenant.rate,
        "personal_per_day": tenant.personal_per_day,
    }
