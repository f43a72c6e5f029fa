"""Doors for webhooks: found by the hash of their secret, by nothing else."""

from __future__ import annotations

import hashlib

import pytest

from relay.store import Store
from relay.store.outbox.inbound_hooks import HookTaken, InboundHook
from tests.unit.store.samples import tenant


def hook(name: str, secret: bytes, tenant_id: int = 1) -> InboundHook:
    return InboundHook(0, tenant_id, None, "generic", name, 9.0, hashlib.sha256(secret).digest())


async def test_added_found_and_removed(store: Store) -> None:
    await store.registry.add_tenant(tenant())
    await store.registry.add_tenant(tenant("club"))
    one = await store.inbound_hooks.add(hook("crm", b"1"))
    two = await store.inbound_hooks.add(hook("crm", b"2", 2))
    with pytest.raises(HookTaken):
        await store.inbound_hooks.add(hook("crm", b"3"))
    assert await store.inbound_hooks.listing() == (one, two)
    assert await store.inbound_hooks.of_secret(one.secret_hash) == one
    assert await store.inbound_hooks.of_secret(hashlib.sha256(b"3").digest()) is None
    assert await store.inbound_hooks.remove(one.id)
    assert not await store.inbound_hooks.remove(one.id)
    assert await store.inbound_hooks.of_secret(one.secret_hash) is None
    assert "secret_hash" not in repr(two)
