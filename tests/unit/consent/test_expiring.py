"""What is about to run out, for whom, and that nothing else is listed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.consent.expiring import Expiring, ExpiringConsent
from relay.decide.address import parse_address
from relay.decide.keys import subject_keys
from relay.model import Basis, Brand, Kind, MailingList, Party, SubjectKeys, Tenant
from relay.ports import NewEvent
from relay.rulebooks import Rulebooks
from relay.settings import Store as StoreSettings
from relay.store import ImportRow, Store
from relay.store.people import ageing
from tests.support.clock import FakeClock

DAY = 86_400
PEPPER = b"p" * 32
NOW = 1_800_000_000.0
RULEBOOKS = Rulebooks.read()


def keys(wire: str) -> SubjectKeys:
    return subject_keys(PEPPER, parse_address(wire))


class Shop:
    """A tenant with two lists, one of them of a brand."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.expiring = Expiring(store, RULEBOOKS.policy, clock)

    async def build(self) -> None:
        registry = self.store.registry
        party = Party("Shop", "Street 1", "me@shop.test")
        self.tenant = await registry.add_tenant(Tenant(0, "shop", party))
        self.other = await registry.add_tenant(Tenant(0, "other", party))
        self.brand = await registry.add_brand(Brand(0, self.tenant.id, "toys", "Toys"))
        self.news = await registry.add_list(
            MailingList(0, self.tenant.id, "news", Kind.COMMERCIAL, "News", "1/week")
        )
        self.toys = await registry.add_list(
            MailingList(0, self.tenant.id, "toys", Kind.COMMERCIAL, "T", "1/week", self.brand.id)
        )

    async def yes(self, wire: str, days_ago: int = 720, **given: Any) -> int:
        return await self.store.consents.grant(
            given.pop("tenant", self.tenant).id,
            keys(wire),
            **{
                "basis": Basis.CONFIRMED,
                "own_act": True,
                "at": NOW - days_ago * DAY,
                "list_id": self.news.id,
                "address": wire,
                **given,
            },
        )

    async def soon(self, days: int = 30) -> list[ExpiringConsent]:
        """All pages, one consent a page."""
        found: list[ExpiringConsent] = []
        after: str | None = None
        while True:
            page = await self.expiring.soon(self.tenant, days=days, after=after, limit=1)
            assert len(page.items) <= 1
            found += page.items
            after = page.next
            if after is None:
                whole = await self.expiring.soon(self.tenant, days=days, after=None, limit=100)
                assert whole.items == tuple(found)
                return found

    async def addresses(self, days: int = 30) -> list[str | None]:
        return sorted((one.address for one in await self.soon(days)), key=str)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    clock = FakeClock(NOW)
    store = await Store.open(
        tmp_path,
        settings=StoreSettings(min_free_bytes=0),
        clock=clock,
        pepper=PEPPER,
        reserve_bytes=4_096,
    )
    made = Shop(store, clock)
    await made.build()
    yield made
    await store.close()


async def test_nothing_on_record(shop: Shop) -> None:
    assert await shop.soon() == []


async def test_disuse_and_dates_are_found_with_their_scope(shop: Shop) -> None:
    await shop.yes("old@people.test")
    await shop.yes("dated@people.test", 3, expires_at=NOW + 5 * DAY)
    await shop.yes("brand@people.test", list_id=None, brand_id=shop.brand.id)
    await shop.yes("all@people.test", list_id=None)
    await shop.yes("fresh@people.test", 3)
    await shop.yes("ended@people.test", 740)
    await shop.yes("past@people.test", 3, expires_at=NOW - 5)
    await shop.yes("else@people.test", tenant=shop.other)
    found = {one.address: one for one in await shop.soon()}
    assert {wire: (one.brand, one.list, one.lapse.why) for wire, one in found.items()} == {
        "old@people.test": (None, "news", "unused"),
        "dated@people.test": (None, "news", "date"),
        "brand@people.test": ("toys", None, "unused"),
        "all@people.test": (None, None, "unused"),
    }
    assert found["old@people.test"].lapse.at == NOW + 11 * DAY
    assert found["dated@people.test"].lapse.at == NOW + 5 * DAY
    assert await shop.addresses(days=10) == ["dated@people.test"]


async def test_all_are_found_however_few_one_look_goes_through(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        wire = f"old{number}@people.test"
        await shop.yes(wire, list_id=None)
        await shop.yes(wire)
        await shop.yes(f"fresh{number}@people.test", 3)
    whole = await shop.soon()
    assert len(whole) == 18
    for seen in (0, 1, 2, 5):
        monkeypatch.setattr(ageing, "SEEN", seen)
        assert await shop.soon() == whole


async def test_what_was_used_or_left_or_is_archived_is_not_listed(shop: Shop) -> None:
    used = await shop.yes("used@people.test")
    bound = {"brand": None, "list": shop.news.id, "consent": used, "rulebooks": "d"}
    who = keys("used@people.test")
    await shop.store.ledger.record(
        [NewEvent(shop.tenant.id, "copy.delivered", NOW - DAY, who, bound)]
    )
    await shop.yes("left@people.test")
    await shop.store.consents.withdraw(
        shop.tenant.id, keys("left+x@people.test"), at=NOW, channel="link", list_id=shop.news.id
    )
    await shop.yes("toys@people.test", list_id=shop.toys.id, brand_id=shop.brand.id)
    assert await shop.addresses() == ["toys@people.test"]
    await shop.store.registry.change_list(replace(shop.toys, archived=True))
    assert await shop.addresses() == []


async def test_a_person_imported_again_and_again_is_listed_once(shop: Shop) -> None:
    for _ in range(3):
        number = await shop.store.imports.begin(
            "consent", shop.tenant.id, at=NOW - 720 * DAY, list_id=shop.news.id
        )
        rows = [
            ImportRow(line, keys(wire), wire, NOW - 720 * DAY, Basis.APPROVED)
            for line, wire in enumerate(["a@people.test", "b@people.test", "a@people.test"])
        ]
        await shop.store.imports.stage(number, rows)
        await shop.store.imports.commit(number)
    staged = await shop.store.imports.begin("consent", shop.tenant.id, at=NOW - 720 * DAY)
    row = ImportRow(1, keys("c@people.test"), "c@people.test", NOW - 720 * DAY, Basis.APPROVED)
    await shop.store.imports.stage(staged, [row])
    assert await shop.addresses() == ["a@people.test", "b@people.test"]


async def test_without_a_rule_on_disuse_only_dates_count(shop: Shop) -> None:
    await shop.yes("old@people.test")
    await shop.yes("dated@people.test", 3, expires_at=NOW + 5 * DAY)
    shop.tenant = replace(shop.tenant, rulebooks=("base",))
    assert await shop.addresses() == ["dated@people.test"]


async def test_an_erased_address_is_not_shown(shop: Shop) -> None:
    await shop.yes("old@people.test", address=None)
    assert await shop.addresses() == [None]


@pytest.mark.parametrize("cursor", ["", "x", "a.b.c", "00.1.2", f"{'0' * 32}.1.-2"])
async def test_a_cursor_of_something_else_is_refused(shop: Shop, cursor: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        await shop.expiring.soon(shop.tenant, days=30, after=cursor, limit=1)
