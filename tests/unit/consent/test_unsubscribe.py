"""What the bearer of an unsubscribe token sees and can stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.consent.unsubscribe import UnsubscribeLinks
from relay.consent.withdrawing import Withdrawing
from relay.decide.standing import standing
from relay.model import Basis, Brand, MailingList, ScopeLevel
from relay.store.store import Store
from relay.transform.token import Purpose, Token, TokenKeys, mint
from relay.web.optouts import OptOutPage
from tests.support.clock import FakeClock
from tests.unit.store.samples import newsletter, open_store, person, tenant

KEYS = TokenKeys({"k1": b"t" * 32}, "k1")
ANN = person("ann@people.test")
LIST, BRAND, TENANT = ScopeLevel.LIST, ScopeLevel.BRAND, ScopeLevel.TENANT


@dataclass
class Rig:
    """A shop, one list under a brand and one without."""

    store: Store
    clock: FakeClock

    async def build(self) -> None:
        self.counted: list[str] = []
        self.shop = await self.store.registry.add_tenant(tenant("shop"))
        brand = await self.store.registry.add_brand(Brand(0, self.shop.id, "kids", "Shop Kids"))
        self.toys = await self.add("toys", brand_id=brand.id)
        self.books = await self.add("books", brand_id=brand.id)
        self.news = await self.add("news")
        withdrawing = Withdrawing(
            self.store, self.clock, lambda _, channel: self.counted.append(channel), lambda _: None
        )
        self.links = UnsubscribeLinks(self.store, KEYS, self.clock, withdrawing)

    async def add(self, slug: str, **fields: object) -> MailingList:
        return await self.store.registry.add_list(newsletter(self.shop.id, slug, **fields))

    async def consents(self, scope: ScopeLevel, mailing_list: MailingList) -> None:
        self.clock.advance(1)
        await self.store.consents.grant(
            self.shop.id,
            ANN,
            basis=Basis.CONFIRMED,
            at=self.clock.now(),
            own_act=True,
            brand_id=mailing_list.brand_id if scope is not TENANT else None,
            list_id=mailing_list.id if scope is LIST else None,
            address="ann@people.test",
        )

    def token(self, mailing_list: MailingList | None, tenant_id: int | None = None) -> str:
        list_id = mailing_list.id if mailing_list is not None else None
        owner = tenant_id or self.shop.id
        return mint(Token(Purpose.UNSUBSCRIBE, owner, list_id, ANN, 7, 20_000), KEYS)

    async def shown(self, mailing_list: MailingList | None) -> tuple[object, ...]:
        page = await self.links.describe(self.token(mailing_list))
        assert page is not None
        return page.scope, page.wider, page.already_out, page.brand

    async def leave(
        self, mailing_list: MailingList | None, scope: ScopeLevel | None = None
    ) -> OptOutPage:
        self.clock.advance(1)
        done = await self.links.withdraw(
            self.token(mailing_list),
            channel="page",
            ip="192.0.2.1",
            user_agent="Browser/1",
            scope=scope,
        )
        assert done is not None
        return done

    async def out(self, mailing_list: MailingList | None) -> bool:
        (acts,) = await self.store.consents.acts(self.shop.id, [ANN])
        person = standing(
            acts, tenant_id=self.shop.id, mailing_list=mailing_list, now=self.clock.now()
        )
        return person.state == "withdrawn"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    store = await open_store(tmp_path / "data", FakeClock())
    made = Rig(store, FakeClock())
    await made.build()
    yield made
    await store.close()


async def test_the_page_names_no_address_in_clear(rig: Rig) -> None:
    await rig.consents(LIST, rig.toys)
    page = await rig.links.describe(rig.token(rig.toys))
    assert page is not None
    assert "ann@people.test" not in repr(page)
    assert page.address
    assert (page.sender, page.purpose, page.promise) == ("Shop", "news", "1/week")


async def test_the_wider_stop_goes_up_one_level_at_a_time(rig: Rig) -> None:
    for mailing_list in (rig.toys, rig.books, rig.news):
        await rig.consents(LIST, mailing_list)
    assert await rig.shown(rig.toys) == (LIST, BRAND, False, "Shop Kids")
    assert await rig.shown(rig.news) == (LIST, TENANT, False, "")
    first = await rig.leave(rig.toys)
    assert (first.scope, first.wider) == (LIST, BRAND)
    assert await rig.shown(rig.toys) == (LIST, BRAND, True, "Shop Kids")
    assert (await rig.out(rig.toys), await rig.out(rig.books)) == (True, False)
    second = await rig.leave(rig.toys, BRAND)
    assert (second.scope, second.wider) == (BRAND, TENANT)
    assert (await rig.out(rig.books), await rig.out(rig.news)) == (True, False)
    assert await rig.shown(rig.toys) == (BRAND, TENANT, True, "Shop Kids")
    third = await rig.leave(rig.toys, TENANT)
    assert (third.scope, third.wider) == (TENANT, None)
    assert await rig.shown(rig.toys) == (TENANT, None, True, "Shop Kids")
    assert await rig.out(rig.news)
    assert rig.counted == ["page"] * 3
    # Pressed in an old tab once more: nothing is offered that has stopped.
    again = await rig.leave(rig.toys)
    assert (again.scope, again.wider) == (TENANT, None)


async def test_what_the_page_says_is_what_stops(rig: Rig) -> None:
    await rig.consents(BRAND, rig.toys)
    assert await rig.shown(rig.toys) == (BRAND, TENANT, False, "Shop Kids")
    done = await rig.leave(rig.toys)
    assert done.scope is BRAND
    assert await rig.out(rig.books)


@pytest.mark.parametrize("named", [True, False])
async def test_without_consent_on_record_everything_stops(rig: Rig, named: bool) -> None:
    mailing_list = rig.toys if named else None
    assert (await rig.shown(mailing_list))[:3] == (TENANT, None, False)
    assert (await rig.leave(mailing_list)).scope is TENANT
    assert await rig.out(rig.news)


async def test_a_second_click_is_the_same_and_not_counted(rig: Rig) -> None:
    await rig.consents(LIST, rig.toys)
    await rig.leave(rig.toys)
    again = await rig.leave(rig.toys)
    assert (again.already_out, again.scope) == (True, LIST)
    assert rig.counted == ["page"]


async def test_an_old_link_works_after_the_person_came_back(rig: Rig) -> None:
    await rig.consents(LIST, rig.toys)
    await rig.leave(rig.toys)
    await rig.consents(LIST, rig.toys)
    assert await rig.shown(rig.toys) == (LIST, BRAND, False, "Shop Kids")
    await rig.leave(rig.toys)
    assert rig.counted == ["page"] * 2
    assert await rig.out(rig.toys)


async def test_a_token_that_we_never_made(rig: Rig) -> None:
    other = TokenKeys({"k1": b"o" * 32}, "k1")
    foreign = mint(Token(Purpose.UNSUBSCRIBE, rig.shop.id, None, ANN, 7, 20_000), other)
    wrong = mint(Token(Purpose.CONFIRM, rig.shop.id, None, ANN, 7, 20_000), KEYS)
    for token in (foreign, wrong, rig.token(rig.toys, tenant_id=99), "", "v1.k1.x.y"):
        assert await rig.links.describe(token) is None
        assert await rig.links.withdraw(token, channel="page", ip="", user_agent="") is None
    assert not await rig.out(None)


async def test_a_page_never_tells_whom_another_tenant_knows(rig: Rig) -> None:
    """Every tenant can make links for any address: the page would say who is whose customer."""
    club = await rig.store.registry.add_tenant(tenant("club"))
    token = rig.token(None, club.id)
    before = await rig.links.describe(token)
    await rig.consents(TENANT, rig.news)
    assert await rig.links.describe(token) == before
    own = await rig.links.describe(rig.token(None))
    assert own is not None
    assert own.address == "a•••@p••••••.test"
