"""Operations on credentials."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets

from relay.model import Credential
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json

SECRET_OCTETS = 32
WIDEST = {4: 16, 6: 48}
"""The shortest prefix of a client network: anything wider would be an open relay."""


async def add(
    context: Context,
    tenant: str | None,
    name: str,
    list: str | None = None,  # noqa: A002  the word of the command line
    networks: list[str] | None = None,
    gateway: bool = False,
) -> Json:
    """Make a credential; ``{username, secret, …}``, and the secret is kept nowhere in clear."""
    directory = context.store.directory
    names.slug(name, "the name")
    owner = bound = None
    if gateway:
        username = f"gateway-{name}"
    else:
        if tenant is None:
            raise OperationError("a credential has a tenant, or is a gateway", status=2)
        owner = names.tenant(directory, tenant)
        username = f"{owner.slug}-{name}"
        bound = names.mailing_list(directory, owner, list) if list is not None else None
    if username in directory.credentials:
        raise OperationError(f"there is a credential {username} already")
    given = _networks(networks or [])
    taken = {
        network: other.username
        for other in directory.credentials.values()
        for network in other.networks
    }
    for network in given:
        if network in taken:
            raise OperationError(f"the network {network} admits {taken[network]} already")
    secret = secrets.token_urlsafe(SECRET_OCTETS)
    made = await context.store.registry.add_credential(
        Credential(
            id=0,
            username=username,
            tenant_id=owner.id if owner else None,
            list_id=bound.id if bound else None,
            gateway=gateway,
            networks=given,
            secret_hash=hashlib.sha256(secret.encode()).digest(),
        )
    )
    return {**_shown(context, made), "secret": secret}


async def listing(context: Context, tenant: str | None = None) -> Json:
    """Credentials by user name, without secrets."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant) if tenant is not None else None
    return [
        _shown(context, credential)
        for _, credential in sorted(directory.credentials.items())
        if owner is None or credential.tenant_id == owner.id
    ]


async def revoke(context: Context, username: str) -> Json:
    """Take a credential away."""
    found = context.store.directory.credentials.get(username)
    if found is None:
        raise OperationError(f"there is no credential {username!r}")
    await context.store.registry.revoke_credential(found.username)
    return _shown(context, found)


def _networks(texts: list[str]) -> tuple[str, ...]:
    found = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise OperationError(f"{text!r} is not a network: {error}", status=2) from error
        if network.prefixlen < WIDEST[network.version]:
            raise OperationError(
                f"the network {text} is wider than /{WIDEST[network.version]}: "
                f"that would be an open relay",
                status=2,
            )
        found.append(str(network))
    return tuple(dict.fromkeys(found))


def _shown(context: Context, credential: Credential) -> dict[str, Json]:
    directory = context.store.directory
    owner = directory.tenants.get(credential.tenant_id) if credential.tenant_id else None
    bound = directory.lists.get(credential.list_id) if credential.list_id else None
    return {
        "username": credential.username,
        "tenant": owner.slug if owner else None,
        "list": bound.slug if bound else None,
        "gateway": credential.gateway,
        "networks": credential.networks,
    }
