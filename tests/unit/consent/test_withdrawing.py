"""One way out for every channel: what an opt-out closes, and that it cannot be lost or doubled."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from relay.consent.withdrawing import Withdrawing
from relay.decide.standing import standing
from relay.model import (
    Basis,
    Brand,
    Kind,
    MailingList,
    ScopeLevel,
    StandingState,
    SubjectKeys,
    Tenant,
)
from relay.ports import StoreTrouble
from relay.store.people.imports import ImportRow
from relay.store.sqlite.journal import read
from relay.store.store import Store
from tests.support.clock import FakeClock
from tests.unit.store.samples import newsletter, open_store, person, tenant

ANN = person("ann@people.test")
TAGGED = person("ann+news@people.test", wide="ann@people.test")


@dataclass
class Rig:
    """A shop with a brand that has two lists, and a list without brand."""

    store: Store
    clock: FakeClock
    counted: list[tuple[str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    async def build(self) -> None:
        registry = self.store.registry
        self.shop: Tenant = await registry.add_tenant(tenant("shop"))
        self.brand = await registry.add_brand(Brand(0, self.shop.id, "kids", "Shop Kids"))
        self.toys = await self.list_("toys", brand_id=self.brand.id)
        self.books = await self.list_("books", brand_id=self.brand.id)
        self.news = await self.list_("news")
        self.receipts = await self.list_("receipts", kind=Kind.TRANSACTIONAL)
        self.withdrawing = Withdrawing(
            self.store,
            self.clock,
            lambda slug, channel: self.counted.append((slug, channel)),
            self.seconds.append,
        )

    async def list_(self, slug: str, **fields: object) -> MailingList:
        return await self.store.registry.add_list(newsletter(self.shop.id, slug, **fields))

    async def consents(
        self,
        scope: ScopeLevel,
        mailing_list: MailingList | None = None,
        *,
        who: SubjectKeys = ANN,
        own_act: bool = True,
    ) -> int:
        self.clock.advance(1)
        wanted = mailing_list or self.news
        return await self.store.consents.grant(
            self.shop.id,
            who,
            basis=Basis.CONFIRMED if own_act else Basis.ATTESTED,
            at=self.clock.now(),
            brand_id=wanted.brand_id if scope is not ScopeLevel.TENANT else None,
            list_id=wanted.id if scope is ScopeLevel.LIST else None,
            own_act=own_act,
            address="ann@people.test" if who is ANN else "ann+news@people.test",
        )

    async def leaves(
        self,
        mailing_list: MailingList | None = None,
        scope: ScopeLevel | None = None,
        *,
        who: SubjectKeys = ANN,
        channel: str = "page",
        **more: Any,
    ) -> Any:
        self.clock.advance(1)
        return await self.withdrawing.withdraw(
            self.shop, who, mailing_list=mailing_list, scope=scope, channel=channel, **more
        )

    async def state(self, mailing_list: MailingList | None, who: SubjectKeys = ANN) -> str:
        (acts,) = await self.store.consents.acts(self.shop.id, [who])
        return standing(
            acts, tenant_id=self.shop.id, mailing_list=mailing_list, now=self.clock.now()
        ).state.value

    async def optouts(self) -> list[Any]:
        shown = await self.store.consents.show(ANN)
        return [entry for entry in shown if entry.type == "optout"]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    clock = FakeClock()
    store = await open_store(tmp_path / "data", clock, wait=0.2)
    made = Rig(store, clock)
    await made.build()
    yield made
    await store.close()


async def test_one_consent_for_the_parent_never_takes_three_opt_outs(rig: Rig) -> None:
    await rig.consents(ScopeLevel.TENANT)
    done = await rig.leaves(rig.toys)
    assert (done.scope, done.recorded, done.brand_id, done.list_id) == (
        *(ScopeLevel.TENANT, True),
        *(None, None),
    )
    for mailing_list in (rig.toys, rig.books, rig.news, None):
        assert await rig.state(mailing_list) == "withdrawn"
    assert len(await rig.optouts()) == 1


async def test_a_brand_consent_closes_the_brand_and_leaves_the_rest(rig: Rig) -> None:
    await rig.consents(ScopeLevel.BRAND, rig.toys)
    await rig.consents(ScopeLevel.LIST, rig.toys)
    await rig.consents(ScopeLevel.LIST, rig.news)
    done = await rig.leaves(rig.toys)
    assert (done.scope, done.brand_id, done.list_id) == (ScopeLevel.BRAND, rig.brand.id, None)
    assert await rig.state(rig.toys) == await rig.state(rig.books) == "withdrawn"
    assert await rig.state(rig.news) == "granted"


async def test_a_list_consent_closes_that_list(rig: Rig) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    await rig.consents(ScopeLevel.LIST, rig.books)
    done = await rig.leaves(rig.toys)
    assert (done.scope, done.brand_id, done.list_id) == (
        *(ScopeLevel.LIST, rig.brand.id),
        rig.toys.id,
    )
    assert await rig.state(rig.toys) == "withdrawn"
    assert await rig.state(rig.books) == "granted"


@pytest.mark.parametrize("named", [True, False])
async def test_nothing_on_record_closes_the_tenant(rig: Rig, named: bool) -> None:
    done = await rig.leaves(rig.toys if named else None)
    assert (done.scope, done.recorded) == (ScopeLevel.TENANT, True)
    assert await rig.state(rig.news) == "withdrawn"


async def test_doing_it_twice_is_the_same_and_counts_once(rig: Rig) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    first = await rig.leaves(rig.toys, channel="one-click")
    again = await rig.leaves(rig.toys, channel="api")
    assert (again.recorded, again.event_id, again.scope) == (
        *(False, first.event_id),
        ScopeLevel.LIST,
    )
    assert rig.counted == [("shop", "one-click")]
    assert len(rig.seconds) == 1


async def test_what_is_counted_is_what_was_recorded(rig: Rig) -> None:
    """A file that came between two clicks brings nobody back, and makes no second opt-out."""
    first = await rig.leaves(rig.toys, channel="one-click")
    number = await rig.store.imports.begin("consent", rig.shop.id, at=rig.clock.now())
    row = ImportRow(2, ANN, "ann@people.test", rig.clock.now(), Basis.ATTESTED)
    await rig.store.imports.stage(number, [row])
    await rig.store.imports.commit(number)
    again = await rig.leaves(rig.toys, channel="one-click")
    assert (again.recorded, again.event_id) == (False, first.event_id)
    assert rig.counted == [("shop", "one-click")]
    assert len(await rig.optouts()) == 1


@pytest.mark.parametrize("seconds", [-200_000, 200_000])
async def test_a_clock_that_was_set_changes_nothing(rig: Rig, seconds: float) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    for _ in range(2):
        rig.clock.set_wall(rig.clock.now() + seconds)
        await rig.leaves(rig.toys)
        assert await rig.state(rig.toys) == "withdrawn"
        rig.clock.set_wall(rig.clock.now() + seconds)
        await rig.consents(ScopeLevel.LIST, rig.toys)
        assert await rig.state(rig.toys) == "granted"
    assert len(await rig.optouts()) == 2


async def test_at_the_same_moment_is_once(rig: Rig) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    done = await asyncio.gather(*(rig.leaves(rig.toys) for _ in range(5)))
    assert sorted(one.recorded for one in done) == [False] * 4 + [True]
    assert (len(await rig.optouts()), len(rig.counted)) == (1, 1)


async def test_a_wider_stop_is_recorded_though_the_narrow_one_is_out(rig: Rig) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    await rig.consents(ScopeLevel.LIST, rig.books)
    await rig.consents(ScopeLevel.LIST, rig.news)
    await rig.leaves(rig.toys)
    wider = await rig.leaves(rig.toys, ScopeLevel.BRAND)
    assert (wider.recorded, wider.scope) == (True, ScopeLevel.BRAND)
    assert (await rig.state(rig.books), await rig.state(rig.news)) == ("withdrawn", "granted")
    all_ = await rig.leaves(rig.toys, ScopeLevel.TENANT)
    assert (all_.recorded, all_.scope) == (True, ScopeLevel.TENANT)
    assert await rig.state(rig.news) == "withdrawn"
    assert not (await rig.leaves(rig.toys, ScopeLevel.BRAND)).recorded


async def test_never_narrower_than_what_was_asked_for(rig: Rig) -> None:
    await rig.consents(ScopeLevel.TENANT)
    assert (await rig.leaves(rig.toys, ScopeLevel.LIST)).scope is ScopeLevel.TENANT


@pytest.mark.parametrize("scope", [ScopeLevel.BRAND, ScopeLevel.TENANT])
async def test_a_level_that_is_not_there_is_the_one_above(rig: Rig, scope: ScopeLevel) -> None:
    assert (await rig.leaves(rig.news, scope)).scope is ScopeLevel.TENANT
    assert not (await rig.leaves(None, ScopeLevel.LIST)).recorded


async def test_a_list_asked_for_by_name_closes_that_list(rig: Rig) -> None:
    await rig.consents(ScopeLevel.LIST, rig.news)
    assert (await rig.leaves(rig.toys, ScopeLevel.LIST)).scope is ScopeLevel.LIST
    assert await rig.state(rig.news) == "granted"


async def test_who_came_back_can_leave_again_by_the_old_scope(rig: Rig) -> None:
    """Out of everything, back on one list by an own act, and out of everything again."""
    await rig.leaves(None)
    await rig.consents(ScopeLevel.LIST, rig.toys)
    assert await rig.state(rig.toys) == "granted"
    again = await rig.leaves(rig.toys, ScopeLevel.TENANT)
    assert again.recorded
    assert await rig.state(rig.toys) == "withdrawn"


async def test_another_spelling_that_came_back_is_stopped_too(rig: Rig) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    await rig.leaves(rig.toys)
    await rig.consents(ScopeLevel.LIST, rig.toys, who=TAGGED)
    assert await rig.state(rig.toys, TAGGED) == "granted"
    assert (await rig.leaves(rig.toys)).recorded
    assert await rig.state(rig.toys, TAGGED) == "withdrawn"


async def test_an_opt_out_under_one_spelling_covers_the_others(rig: Rig) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys, who=TAGGED)
    await rig.leaves(rig.toys)
    assert await rig.state(rig.toys, TAGGED) == "withdrawn"


async def test_an_import_brings_nobody_back_and_a_click_after_it_is_harmless(rig: Rig) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    await rig.leaves(rig.toys)
    await rig.consents(ScopeLevel.LIST, rig.toys, own_act=False)
    assert await rig.state(rig.toys) == "withdrawn"
    await rig.leaves(rig.toys)
    assert await rig.state(rig.toys) == "withdrawn"
    assert not (await rig.leaves(rig.toys)).recorded


async def test_what_was_said_earlier_stands_and_nothing_is_of_the_future(rig: Rig) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    told = rig.clock.now() - 86_400
    await rig.leaves(rig.toys, at=told)
    assert await rig.state(rig.toys) == "withdrawn"
    await rig.leaves(rig.news, ScopeLevel.LIST, at=rig.clock.now() + 86_400)
    first, last = await rig.optouts()
    assert first.at == told
    assert last.at == rig.clock.now()


@pytest.mark.parametrize("channel", ["one-click", "page", "api", "command", "hook", "erasure"])
async def test_every_channel_ends_in_the_same_durable_event(
    rig: Rig, tmp_path: Path, channel: str
) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    done = await rig.leaves(rig.toys, channel=channel, evidence={"ip": "192.0.2.1"})
    (entry,) = await rig.optouts()
    assert entry.event_id == done.event_id
    assert entry.data["channel"] == channel
    assert entry.data["evidence"] == {"ip": "192.0.2.1"}
    (line,) = read(tmp_path / "data" / "optouts.jsonl")
    assert (line["channel"], line["list"]) == (channel, rig.toys.id)
    assert rig.counted == [("shop", channel)]
    assert (await rig.store.ledger.verify()).ok


async def test_a_complaint_is_an_opt_out_from_everything(rig: Rig) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    done = await rig.withdrawing.complain(rig.shop, ANN, evidence={"source": "fbl"})
    assert (done.recorded, done.scope) == (True, ScopeLevel.TENANT)
    assert await rig.state(rig.toys) == "complained"
    assert not (await rig.withdrawing.complain(rig.shop, ANN)).recorded
    assert rig.counted == [("shop", "complaint")]


async def test_it_measures_until_it_is_in_force(rig: Rig) -> None:
    withdraw = rig.store.consents.withdraw

    async def slow(*given: Any, **named: Any) -> int:
        rig.clock.advance(0.25)
        return await withdraw(*given, **named)

    rig.store.consents.withdraw = slow  # type: ignore[method-assign]
    await rig.leaves(None)
    assert rig.seconds == [0.25]


async def test_a_locked_store_pretends_nothing(rig: Rig, tmp_path: Path) -> None:
    await rig.consents(ScopeLevel.LIST, rig.toys)
    other = sqlite3.connect(tmp_path / "data" / "store.db", isolation_level=None)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.ensure_future(rig.leaves(rig.toys))
        while not task.done():
            rig.clock.advance(0.1)  # the store waits by this clock
            await asyncio.wait([task], timeout=0.05)
        with pytest.raises(StoreTrouble):
            task.result()
    assert (rig.counted, rig.seconds) == ([], [])
    assert await rig.state(rig.toys) == "granted"
    assert (await rig.leaves(rig.toys)).recorded


async def test_a_newsletter_opt_out_is_no_block_of_the_state_for_receipts(rig: Rig) -> None:
    """The rulebook decides on commercial mail alone; here: nothing but the standing is written."""
    await rig.leaves(None)
    (acts,) = await rig.store.consents.acts(rig.shop.id, [ANN])
    assert {act.state for act in acts} == {StandingState.WITHDRAWN}


async def test_what_was_signed_between_two_opt_outs_does_not_count(rig: Rig) -> None:
    """A source may bring a signed event in late: the person's latest own act was to leave, again.
    Said twice within a minute it is one opt-out, as of a mail program that clicks twice."""
    await rig.consents(ScopeLevel.LIST)
    first = await rig.leaves(rig.news)
    assert not (await rig.leaves(rig.news)).recorded
    rig.clock.advance(600)
    signed_at = rig.clock.now()
    rig.clock.advance(600)
    again = await rig.leaves(rig.news)
    assert again.recorded
    assert again.event_id > first.event_id
    await rig.store.consents.grant(
        rig.shop.id, ANN, basis=Basis.APPROVED, at=signed_at, list_id=rig.news.id, own_act=True
    )
    assert await rig.state(rig.news) == "withdrawn"
    assert len(await rig.optouts()) == 2


async def test_a_complaint_said_again_counts_from_then(rig: Rig) -> None:
    first = await rig.withdrawing.complain(rig.shop, ANN)
    assert not (await rig.withdrawing.complain(rig.shop, ANN)).recorded
    rig.clock.advance(600)
    assert (await rig.withdrawing.complain(rig.shop, ANN)).event_id > first.event_id
