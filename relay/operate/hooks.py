"""Operations on inbound webhooks: doors through which other software tells who left."""

from __future__ import annotations

from relay.decide.hook_formats import HookFormat
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json
from relay.store.outbox.inbound_hooks import HookTaken, InboundHook


async def add(
    context: Context,
    tenant: str,
    name: str,
    format: HookFormat,  # noqa: A002  the word of the command line
    list: str | None = None,  # noqa: A002
) -> Json:
    """Make a hook; its ``url`` holds the secret, which is kept nowhere in clear."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant)
    bound = names.mailing_list(directory, owner, list) if list is not None else None
    slug = names.slug(name, "the name")
    try:
        made, secret = await context.store.inbound_hooks.add(
            owner.id,
            bound.id if bound is not None else None,
            format.value,
            slug,
            at=context.clock.now(),
        )
    except HookTaken as error:
        raise OperationError(f"tenant {owner.slug} has a hook {name!r} already") from error
    url = f"{context.settings.http.public_url.rstrip('/')}/hooks/{secret}"
    return {**_shown(context, made), "url": url}


async def listing(context: Context, tenant: str | None = None) -> Json:
    """Hooks, or those of one tenant; never their URLs."""
    owner = names.tenant(context.store.directory, tenant) if tenant is not None else None
    return [
        _shown(context, hook)
        for hook in await context.store.inbound_hooks.listing()
        if owner is None or hook.tenant_id == owner.id
    ]


async def remove(context: Context, tenant: str, name: str) -> Json:
    """Close a hook; what came in through it stays on record."""
    owner = names.tenant(context.store.directory, tenant)
    for hook in await context.store.inbound_hooks.listing():
        if (hook.tenant_id, hook.name) == (owner.id, name):
            await context.store.inbound_hooks.remove(hook.id)
            return _shown(context, hook)
    raise OperationError(f"tenant {owner.slug} has no hook {name!r}")


def _shown(context: Context, hook: InboundHook) -> dict[str, Json]:
    directory = context.store.directory
    owner = directory.tenants.get(hook.tenant_id)
    bound = directory.mailing_list(hook.list_id)
    return {
        "tenant": owner.slug if owner is not None else None,
        "name": hook.name,
        "format": hook.format,
        "list": bound.slug if bound is not None else None,
        "created": names.iso(hook.created_at),
    }
