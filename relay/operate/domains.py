"""Operations on sender domains and their DKIM keys."""

from __future__ import annotations

import asyncio
import re

from relay.model import SenderDomain
from relay.operate import keyfiles, names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.keyfiles import KeyFileError
from relay.ports import Json
from relay.transform.sign import KeyProblem, dns_record, generate_key

_SELECTOR = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


async def add(context: Context, tenant: str, domain: str, selector: str | None = None) -> Json:
    """Register a domain with a new key (an old key file of that selector is used again)."""
    owner = names.tenant(context.store.directory, tenant)
    domain = names.domain(domain)
    known = context.store.directory.domains.get(domain)
    if known is not None:
        of = context.store.directory.tenants[known.tenant_id].slug
        raise OperationError(f"{domain} is a domain of tenant {of} already")
    # A subdomain of somebody else's domain would take that mail away from them.
    above = context.store.directory.owner_of(domain)
    if above is not None and above.tenant_id != owner.id:
        of = context.store.directory.tenants[above.tenant_id].slug
        raise OperationError(f"{domain} lies below {above.domain} of tenant {of}")
    selector = _selector(selector or "relay1")
    await _make_key(context, domain, selector)
    sender = SenderDomain(tenant_id=owner.id, domain=domain, selector=selector)
    await context.store.registry.add_domain(sender)
    return _shown(context, sender)


async def listing(context: Context, tenant: str) -> Json:
    """A tenant's domains with the records to publish."""
    owner = names.tenant(context.store.directory, tenant)
    senders = [
        sender
        for sender in context.store.directory.domains.values()
        if sender.tenant_id == owner.id
    ]
    return [_shown(context, sender) for sender in sorted(senders, key=lambda s: s.domain)]


async def rotate(context: Context, tenant: str, domain: str, selector: str | None = None) -> Json:
    """Sign with a new key under a new selector; the old key file stays."""
    was = _find(context, tenant, domain)
    selector = _selector(selector) if selector else _next(context, was)
    if keyfiles.dkim_file(context.data_dir, was.domain, selector).exists():
        raise OperationError(f"{was.domain} has had a key under the selector {selector} already")
    await _make_key(context, was.domain, selector)
    sender = SenderDomain(tenant_id=was.tenant_id, domain=was.domain, selector=selector)
    await context.store.registry.change_domain(sender)
    return _shown(context, sender)


async def remove(context: Context, tenant: str, domain: str) -> Json:
    """Mail from the domain is refused from now on; the key files stay."""
    was = _find(context, tenant, domain)
    await context.store.registry.remove_domain(was.domain)
    return {"domain": was.domain, "selector": was.selector}


def _find(context: Context, tenant: str, domain: str) -> SenderDomain:
    owner = names.tenant(context.store.directory, tenant)
    found = context.store.directory.domains.get(names.domain(domain))
    if found is None or found.tenant_id != owner.id:
        raise OperationError(f"tenant {tenant} has no domain {domain!r}")
    return found


def _selector(text: str) -> str:
    if _SELECTOR.fullmatch(text.lower()) is None:
        raise OperationError(
            f"the selector {text!r} must be letters, digits and inner hyphens", status=2
        )
    return text.lower()


def _next(context: Context, sender: SenderDomain) -> str:
    """``relay1`` → ``relay2``, past those that have a key already."""
    stem, number = re.fullmatch(r"(.*?)(\d*)", sender.selector).groups()  # type: ignore[union-attr]
    after = int(number or 1)
    while True:
        after += 1
        selector = f"{stem}{after}"
        if not keyfiles.dkim_file(context.data_dir, sender.domain, selector).exists():
            return selector


async def _make_key(context: Context, domain: str, selector: str) -> None:
    file = keyfiles.dkim_file(context.data_dir, domain, selector)
    if file.exists():
        return
    pem = await asyncio.to_thread(generate_key)
    try:
        keyfiles.write_secret(file, pem)
    except KeyFileError as error:
        raise OperationError(str(error)) from error


def _shown(context: Context, sender: SenderDomain) -> dict[str, Json]:
    file = keyfiles.dkim_file(context.data_dir, sender.domain, sender.selector)
    try:
        value = dns_record(file.read_bytes())
    except (OSError, KeyProblem) as error:
        raise OperationError(f"the key {file} cannot be used: {error}") from error
    return {
        "domain": sender.domain,
        "selector": sender.selector,
        "records": [
            {
                "name": f"{sender.selector}._domainkey.{sender.domain}",
                "type": "TXT",
                "value": value,
            }
        ],
    }
