"""Who may begin a transaction."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from relay.model import Client, Credential, Reason, TenantState
from relay.ports import DiskFull
from tests.unit.pipeline.conftest import House, address

CLIENT = Client("192.0.2.1", 1234, "web.test", "smtp")


async def with_secret(house: House, secret: str, **other: object) -> Credential:
    digest = hashlib.sha256(secret.encode()).digest()
    return await house.store.registry.add_credential(
        Credential(0, "shop-new", house.tenant.id, secret_hash=digest, **other)  # type: ignore[arg-type]
    )


async def test_only_the_right_secret_proves_anything(house: House) -> None:
    made = await with_secret(house, "s3cret")
    door = house.acceptance
    assert await door.authenticate("shop-new", "s3cret", CLIENT) == made
    assert await door.authenticate("shop-new", "wrong", CLIENT) is None
    assert await door.authenticate("nobody", "s3cret", CLIENT) is None
    assert await door.authenticate("nobody", "no such account", CLIENT) is None


async def test_the_narrowest_network_admits(house: House) -> None:
    registry = house.store.registry
    wide = Credential(0, "wide", house.tenant.id, networks=("192.0.2.0/24",))
    narrow = Credential(0, "narrow", house.tenant.id, networks=("192.0.2.1/32", "2001:db8::/64"))
    await registry.add_credential(wide)
    await registry.add_credential(narrow)

    def admitted(ip: str) -> str | None:
        found = house.acceptance.admit(replace(CLIENT, ip=ip))
        return found.username if found is not None else None

    assert admitted("192.0.2.1") == "narrow"
    assert admitted("::ffff:192.0.2.9") == "wide"
    assert admitted("2001:db8::5") == "narrow"
    assert admitted("198.51.100.1") is None
    assert admitted("not an address") is None


async def test_what_turns_a_transaction_away(house: House) -> None:
    client = replace(CLIENT, credential=house.credential)
    check = house.acceptance.check_sender
    assert check(client, address("a@shop.test"), 0) is None
    assert check(client, None, 0) is None
    foreign = check(client, address("a@bank.test"), 0)
    assert foreign is not None
    assert foreign.reason is Reason.FOREIGN_SENDER
    await house.store.registry.change_tenant(replace(house.tenant, state=TenantState.SUSPENDED))
    suspended = check(client, address("a@shop.test"), 0)
    assert suspended is not None
    assert suspended.reason is Reason.SUSPENDED


async def test_a_credential_revoked_during_the_session_is_of_no_more_use(house: House) -> None:
    client = replace(CLIENT, credential=house.credential)
    await house.store.registry.revoke_credential(house.credential.username)
    refusal = house.acceptance.check_sender(client, address("a@shop.test"), 0)
    assert refusal is not None
    assert "revoked" in refusal.text


async def test_a_nearly_full_disk_takes_no_mail(house: House) -> None:
    client = replace(CLIENT, credential=house.credential)
    with pytest.raises(DiskFull):
        house.acceptance.check_sender(client, address("a@shop.test"), 10**13)
