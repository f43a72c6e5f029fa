"""Tenants and what belongs to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from relay.model import (
    Action,
    Brand,
    Credential,
    Mode,
    ScopeLevel,
    SenderDomain,
    Source,
    TenantState,
)
from relay.store import DirectoryError, Store
from tests.support.clock import FakeClock
from tests.unit.store.samples import newsletter, open_store, person, tenant


async def test_everything_comes_back_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock)
    given = replace(
        tenant(),
        rulebooks=("base", "nl"),
        mode=Mode.OBSERVE,
        action=Action.REJECT,
        attested_admitted=True,
        rate="5/hour",
        personal_per_day=7,
        state=TenantState.SUSPENDED,
        state_reason="abuse",
    )
    shop = await store.registry.add_tenant(given)
    brand = await store.registry.add_brand(Brand(0, shop.id, "kids", "Kids"))
    news = await store.registry.add_list(
        newsletter(
            shop.id,
            brand_id=brand.id,
            consent_scope=ScopeLevel.BRAND,
            from_address="news@shop.test",
            list_id="news.shop.test",
            action=Action.DROP,
            list_headers_ok=True,
        )
    )
    await store.registry.add_domain(SenderDomain(shop.id, "shop.test", "s1"))
    secret = await store.registry.add_credential(
        Credential(0, "wp", shop.id, news.id, False, ("192.0.2.0/24",), b"h" * 32)
    )
    source = await store.registry.add_source(Source(0, "forms", True, "key"))
    before = store.directory
    await store.close()
    again = await open_store(tmp_path, clock)
    assert again.directory == before
    assert again.directory.tenants == {shop.id: replace(given, id=shop.id)}
    assert again.directory.lists == {news.id: news}
    assert again.directory.credentials == {"wp": secret}
    assert again.directory.sources == {"forms": source}
    await again.close()


async def test_a_change_is_in_force_when_it_returns(store: Store) -> None:
    shop = await store.registry.add_tenant(tenant())
    generation = store.consents.generation
    await store.registry.change_tenant(replace(shop, state=TenantState.SUSPENDED))
    assert store.directory.tenants[shop.id].state is TenantState.SUSPENDED
    assert store.consents.generation > generation


async def test_names_are_taken_once(store: Store) -> None:
    shop = await store.registry.add_tenant(tenant())
    await store.registry.add_list(newsletter(shop.id, from_address="n@shop.test"))
    await store.registry.add_domain(SenderDomain(shop.id, "shop.test", "s1"))
    with pytest.raises(DirectoryError, match="already a tenant shop"):
        await store.registry.add_tenant(tenant())
    with pytest.raises(DirectoryError, match="already has a list news"):
        await store.registry.add_list(newsletter(shop.id))
    with pytest.raises(DirectoryError, match="From address"):
        await store.registry.add_list(newsletter(shop.id, "other", from_address="n@shop.test"))
    with pytest.raises(DirectoryError, match=r"shop\.test already belongs to tenant shop"):
        await store.registry.add_domain(SenderDomain(shop.id, "shop.test", "s2"))
    assert len(store.directory.lists) == 1


async def test_what_is_not_there_cannot_change(store: Store) -> None:
    with pytest.raises(DirectoryError):
        await store.registry.revoke_credential("nobody")
    with pytest.raises(DirectoryError):
        await store.registry.remove_domain("nowhere.test")
    with pytest.raises(DirectoryError):
        await store.registry.change_tenant(replace(tenant(), id=9))


async def test_a_brand_in_use_stays(store: Store) -> None:
    shop = await store.registry.add_tenant(tenant())
    brand = await store.registry.add_brand(Brand(0, shop.id, "kids", "Kids"))
    unused = await store.registry.add_brand(Brand(0, shop.id, "pets", "Pets"))
    await store.registry.add_list(newsletter(shop.id, brand_id=brand.id))
    with pytest.raises(DirectoryError, match="still uses"):
        await store.registry.remove_brand(brand.id)
    await store.registry.remove_brand(unused.id)
    again = await store.registry.add_brand(Brand(0, shop.id, "pets", "Pets"))
    assert again.id != unused.id, "an opt-out from the old brand must not bind the new one"


async def test_archiving_a_list_keeps_its_opt_outs(store: Store) -> None:
    shop = await store.registry.add_tenant(tenant())
    news = await store.registry.add_list(newsletter(shop.id))
    who = person("a@ok.test")
    await store.consents.withdraw(shop.id, who, at=1.0, channel="link", list_id=news.id)
    await store.registry.change_list(replace(news, archived=True))
    ((act,),) = await store.consents.acts(shop.id, [who])
    assert act.list_id == news.id


async def test_a_new_list_takes_over_the_address_of_an_archived_one(store: Store) -> None:
    shop = await store.registry.add_tenant(tenant())
    known = {"from_address": "news@shop.test", "list_id": "news.shop.test"}
    old = await store.registry.add_list(newsletter(shop.id, **known))
    with pytest.raises(DirectoryError):
        await store.registry.add_list(newsletter(shop.id, slug="second", **known))
    await store.registry.change_list(replace(old, archived=True))
    new = await store.registry.add_list(newsletter(shop.id, slug="second", **known))
    assert store.directory.lists[new.id] == new
    assert store.directory.lists[old.id] == replace(
        old, archived=True, from_address=None, list_id=None
    )


async def test_revoking_and_rotating(store: Store) -> None:
    shop = await store.registry.add_tenant(tenant())
    await store.registry.add_credential(Credential(0, "wp", shop.id))
    await store.registry.add_domain(SenderDomain(shop.id, "shop.test", "s1"))
    await store.registry.change_domain(SenderDomain(shop.id, "shop.test", "s2"))
    assert store.directory.domains["shop.test"].selector == "s2"
    await store.registry.revoke_credential("wp")
    assert store.directory.credentials == {}
