"""Operations on the keys of the HTTP API."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from relay.model import ApiKey, Tenant
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json

PREFIX: Final = "crk_"
"""Makes a key recognisable to people and to scanners that look for secrets in public places."""
SECRET_OCTETS: Final = 32


async def add(context: Context, tenant: str, name: str) -> Json:
    """Make a key; ``{tenant, name, created, key}``, and the key is kept nowhere in clear."""
    owner = names.tenant(context.store.directory, tenant)
    names.slug(name, "the name")
    secret = PREFIX + secrets.token_urlsafe(SECRET_OCTETS)
    made = await context.store.registry.add_api_key(
        ApiKey(
            id=0,
            tenant_id=owner.id,
            name=name,
            secret_hash=hashlib.sha256(secret.encode()).digest(),
            created_at=context.clock.now(),
        )
    )
    return {**_shown(owner, made), "key": secret}


async def listing(context: Context, tenant: str) -> Json:
    """A tenant's keys by name, without their secrets."""
    owner = names.tenant(context.store.directory, tenant)
    return [_shown(owner, key) for key in sorted(_of(context, owner), key=lambda key: key.name)]


async def revoke(context: Context, tenant: str, name: str) -> Json:
    """Take a key away; it opens nothing any more on return."""
    owner = names.tenant(context.store.directory, tenant)
    found = next((key for key in _of(context, owner) if key.name == name), None)
    if found is None:
        raise OperationError(f"tenant {owner.slug} has no API key {name!r}")
    await context.store.registry.revoke_api_key(found.id)
    return _shown(owner, found)


def _of(context: Context, owner: Tenant) -> list[ApiKey]:
    keys = context.store.directory.api_keys.values()
    return [key for key in keys if key.tenant_id == owner.id]


def _shown(owner: Tenant, key: ApiKey) -> dict[str, Json]:
    return {"tenant": owner.slug, "name": key.name, "created": names.iso(key.created_at)}
