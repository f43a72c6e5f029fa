"""Doors for webhooks: found by the hash of their secret, by nothing else."""

from __future__ import annotations

import pytest

from relay.store import Store
from relay.store.outbox.inbound_hooks import HookTaken
from tests.unit.store.samples import tenant


async def test_added_found_and_removed(store: Store) -> None:
    await store.registry.add_tenant(tenant())
    await store.registry.add_tenant(tenant("club"))
    hooks = store.inbound_hooks
    one, secret = await hooks.add(1, None, "generic", "crm", at=9.0)
    two, other = await hooks.add(2, 7, "mailchimp", "crm", at=9.0)
    assert secret != other
    with pytest.raises(HookTaken):
        await hooks.add(1, None, "generic", "crm", at=9.0)
    assert await hooks.listing() == (one, two)
    assert (two.tenant_id, two.list_id, two.format) == (2, 7, "mailchimp")
    assert await hooks.of_secret(secret) == one
    assert await hooks.of_secret(secret + "\udcff") is None
    assert secret.encode() not in one.secret_hash
    assert await hooks.remove(one.id)
    assert not await hooks.remove(one.id)
    assert await hooks.of_secret(secret) is None
    assert "secret_hash" not in repr(two)
