"""Operations on lists."""

from __future__ import annotations

import re
from dataclasses import replace

from relay.consent.sender_of import sender_name
from relay.decide.notice import fault_of
from relay.model import Kind, MailingList, ScopeLevel, Tenant
from relay.operate import brands, names
from relay.operate.choices import ListKind, NoConsent
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json

# RFC 2919 section 2: list-label "." list-id-namespace, of dot-atom text.
_LIST_ID = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)+")


async def add(
    context: Context,
    tenant: str,
    slug: str,
    kind: ListKind,
    purpose: str,
    promise: str,
    brand: str | None = None,
    scope: ScopeLevel = ScopeLevel.LIST,
    from_address: str = "",
    list_id: str = "",
    action: NoConsent | None = None,
    list_headers_ok: bool = False,
    third_parties: str = "",
) -> Json:
    """Add a list to a tenant."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant)
    taken = directory.list_of(owner.id, names.slug(slug, "the slug"))
    if taken is not None:
        advice = ", archived: choose another slug" if taken.archived else ""
        raise OperationError(f"tenant {tenant} has a list {slug!r} already{advice}")
    brand_id = None
    if brand is not None:
        found = brands.find(context, owner.id, brand)
        if found is None:
            raise OperationError(f"tenant {tenant} has no brand {brand!r}")
        brand_id = found.id
    elif scope is ScopeLevel.BRAND:
        raise OperationError("--scope brand wants --brand", status=2)
    wanted = MailingList(
        id=0,
        tenant_id=owner.id,
        slug=slug,
        kind=Kind(kind),
        purpose=names.line(purpose, "--purpose"),
        promise=names.promise(promise),
        brand_id=brand_id,
        consent_scope=scope,
        from_address=_from(from_address),
        list_id=_list_id(list_id),
        action=None if action is None else action.action,
        list_headers_ok=list_headers_ok,
        third_parties=third_parties.strip(),
    )
    _check(context, owner, wanted)
    _check_words(context, owner, wanted)
    return _shown(context, await context.store.registry.add_list(wanted))


async def listing(context: Context, tenant: str) -> Json:
    """A tenant's lists by slug, archived ones too."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant)
    lists = [member for member in directory.lists.values() if member.tenant_id == owner.id]
    return [_shown(context, member) for member in sorted(lists, key=lambda member: member.slug)]


async def show(context: Context, tenant: str, slug: str) -> Json:
    """One list."""
    return _shown(context, _find(context, tenant, slug))


async def change(
    context: Context,
    tenant: str,
    slug: str,
    purpose: str | None = None,
    promise: str | None = None,
    from_address: str | None = None,
    list_id: str | None = None,
    action: NoConsent | None = None,
    list_headers_ok: bool | None = None,
    third_parties: str | None = None,
) -> Json:
    """Change what is given. Kind, brand and scope stay: consents were given for them."""
    was = _find(context, tenant, slug)
    wanted = replace(
        was,
        purpose=was.purpose if purpose is None else names.line(purpose, "--purpose"),
        promise=was.promise if promise is None else names.promise(promise),
        from_address=was.from_address if from_address is None else _from(from_address),
        list_id=was.list_id if list_id is None else _list_id(list_id),
        action=was.action if action is None else action.action,
        list_headers_ok=was.list_headers_ok if list_headers_ok is None else list_headers_ok,
        third_parties=was.third_parties if third_parties is None else third_parties.strip(),
    )
    owner = names.tenant(context.store.directory, tenant)
    _check(context, owner, wanted)
    if purpose is not None or third_parties is not None:
        _check_words(context, owner, wanted)
    await context.store.registry.change_list(wanted)
    return _shown(context, wanted)


async def archive(context: Context, tenant: str, slug: str) -> Json:
    """Send no more for a list; everything on record about it stays."""
    was = _find(context, tenant, slug)
    archived = replace(was, archived=True)
    await context.store.registry.change_list(archived)
    return _shown(context, archived)


def _find(context: Context, tenant: str, slug: str) -> MailingList:
    directory = context.store.directory
    return names.mailing_list(directory, names.tenant(directory, tenant), slug)


def _from(text: str) -> str | None:
    return names.address(text, "--from").exact if text else None


def _list_id(text: str) -> str | None:
    if not text:
        return None
    bare = text.strip().removeprefix("<").removesuffix(">").lower()
    if _LIST_ID.fullmatch(bare) is None:
        raise OperationError(f"{text!r} is not a List-Id such as news.shop.example", status=2)
    return bare


def _check(context: Context, owner: Tenant, wanted: MailingList) -> None:
    """What selects a list must select one list, and be the tenant's."""
    if wanted.kind is not Kind.TRANSACTIONAL and wanted.list_headers_ok:
        raise OperationError("--list-headers-ok is for transactional lists", status=2)
    if wanted.from_address is not None:
        sender = context.store.directory.owner_of(wanted.from_address.rpartition("@")[2])
        if sender is None or sender.tenant_id != owner.id:
            raise OperationError(
                f"{wanted.from_address} is not in a domain of tenant {owner.slug}: "
                f"`domain add` comes first",
                status=2,
            )
    for other in context.store.directory.lists.values():
        if other.tenant_id != owner.id or other.id == wanted.id or other.archived:
            continue
        if wanted.from_address is not None and other.from_address == wanted.from_address:
            raise OperationError(f"{wanted.from_address} selects the list {other.slug} already")
        if wanted.list_id is not None and other.list_id == wanted.list_id:
            raise OperationError(f"{wanted.list_id} is the List-Id of {other.slug} already")


def _check_words(context: Context, owner: Tenant, wanted: MailingList) -> None:
    """What people are shown when asked for consent says who gets their address (clause B30)."""
    if wanted.kind is not Kind.COMMERCIAL:
        return
    known = (owner.party.name, sender_name(owner, wanted, context.store.directory))
    for fault in (
        fault_of(wanted.purpose, "--purpose", names=known),
        fault_of(wanted.third_parties, "--third-parties", names=known, listing=True),
    ):
        if fault is not None:
            raise OperationError(fault, status=2)


def _shown(context: Context, member: MailingList) -> dict[str, Json]:
    brand = context.store.directory.brands.get(member.brand_id) if member.brand_id else None
    return {
        "slug": member.slug,
        "kind": member.kind,
        "purpose": member.purpose,
        "promise": member.promise,
        "brand": brand.slug if brand else None,
        "scope": member.consent_scope,
        "from": member.from_address,
        "list_id": member.list_id,
        "action": member.action.slug if member.action is not None else None,
        "list_headers_ok": member.list_headers_ok,
        "third_parties": member.third_parties,
        "archived": member.archived,
    }
