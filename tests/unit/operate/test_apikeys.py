from __future__ import annotations

import hashlib
from typing import Any

import pytest

from relay.operate import apikeys, tenants
from relay.operate.context import Context
from relay.operate.errors import OperationError


async def test_a_key_is_shown_once_and_kept_as_a_hash(shop: Context) -> None:
    made: Any = await apikeys.add(shop, "shop", "web")
    assert (made["tenant"], made["name"]) == ("shop", "web")
    assert made["key"].startswith("crk_")
    assert len(made["key"]) >= 46
    (kept,) = shop.store.directory.api_keys.values()
    assert kept.secret_hash == hashlib.sha256(made["key"].encode()).digest()
    assert made["key"] not in repr(kept)
    listed: Any = await apikeys.listing(shop, "shop")
    assert listed == [{"tenant": "shop", "name": "web", "created": made["created"]}]


async def test_a_revoked_key_is_gone_and_its_name_is_free(shop: Context) -> None:
    first: Any = await apikeys.add(shop, "shop", "web")
    await apikeys.revoke(shop, "shop", "web")
    assert not shop.store.directory.api_keys
    second: Any = await apikeys.add(shop, "shop", "web")
    assert first["key"] != second["key"]


async def test_names_are_per_tenant(shop: Context) -> None:
    await tenants.add(shop, "club", "Club", "Street 2, Town", "owner@club.example")
    await apikeys.add(shop, "shop", "web")
    await apikeys.add(shop, "club", "web")
    await apikeys.revoke(shop, "club", "web")
    assert len(shop.store.directory.api_keys) == 1


async def test_what_cannot_be_is_said(shop: Context) -> None:
    from relay.operate.operations import OPERATIONS

    with pytest.raises(OperationError, match="no tenant"):
        await apikeys.add(shop, "nobody", "web")
    with pytest.raises(OperationError, match="lower-case"):
        await apikeys.add(shop, "shop", "Web Key")
    with pytest.raises(OperationError, match="no API key"):
        await apikeys.revoke(shop, "shop", "web")
    given = {"tenant": "shop", "name": "web"}
    await OPERATIONS.call(shop, "apikey.add", given)
    with pytest.raises(OperationError, match="already has an API key web"):
        await OPERATIONS.call(shop, "apikey.add", given)
