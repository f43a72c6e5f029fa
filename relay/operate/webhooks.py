"""Operations on webhooks: where a tenant's software is told of consents and opt-outs."""

from __future__ import annotations

from collections.abc import Mapping

from relay.egress.outbound_http import OutboundHttp
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json
from relay.store.outbox.webhooks import Webhook, WebhookError


async def add(context: Context, tenant: str, url: str) -> Json:
    """Add a place; ``{tenant, url, secret}``, and the secret is shown this once."""
    owner = names.tenant(context.store.directory, tenant)
    why = OutboundHttp(context.settings.outbound.allow_networks).refusal(url)
    if why is not None:
        raise OperationError(f"{url!r} cannot be called: {why}", status=2)
    try:
        made = await context.store.webhooks.add(owner.id, url, at=context.clock.now())
    except WebhookError as error:
        raise OperationError(str(error)) from error
    return {"tenant": owner.slug, "url": made.url, "secret": made.secret}


async def listing(context: Context, tenant: str | None = None) -> Json:
    """``[{tenant, url, since}]``, without secrets."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant) if tenant is not None else None
    found = await context.store.webhooks.all(owner.id if owner is not None else None)
    return [_shown(context, webhook) for webhook in found]


async def remove(context: Context, tenant: str, url: str) -> Json:
    """Remove a place; what waits for it is forgotten."""
    owner = names.tenant(context.store.directory, tenant)
    try:
        gone = await context.store.webhooks.remove(owner.id, url)
    except WebhookError as error:
        raise OperationError(str(error)) from error
    return _shown(context, gone)


async def dead(context: Context, tenant: str) -> Json:
    """What was given up: ``[{id, kind, host, type, time, attempts, answer}]``, oldest first, at
    most 1,000.

    For a one-click address only the host is shown: the rest is the sender's token.
    """
    owner = names.tenant(context.store.directory, tenant)
    return [
        {
            "id": letter.id,
            "kind": letter.kind,
            "host": letter.host,
            "type": letter.type or None,
            "time": names.iso(letter.created_at),
            "attempts": letter.attempts,
            "answer": letter.last_answer,
        }
        for letter in await context.store.outbox.dead(owner.id)
    ]


async def retry(context: Context, tenant: str) -> Json:
    """Send everything again that was given up or is being retried; ``{retried}``."""
    owner = names.tenant(context.store.directory, tenant)
    return {"retried": await context.store.outbox.retry(owner.id)}


def _shown(context: Context, webhook: Webhook) -> Mapping[str, Json]:
    owner = context.store.directory.tenants.get(webhook.tenant_id)
    return {
        "tenant": owner.slug if owner is not None else None,
        "url": webhook.url,
        "since": names.iso(webhook.created_at),
    }
