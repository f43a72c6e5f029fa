"""A person's own view: opened by a fresh link in the mailbox, and by nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay.consent.erasing import Erasing
from relay.consent.letters import Letters
from relay.consent.viewing import OwnRecordsOfPersons
from relay.consent.withdrawing import Withdrawing
from relay.decide.address import parse_address
from relay.model import Basis, Brand, ScopeLevel, StandingState, Tenant
from relay.ports import NewEvent
from relay.store import ImportRow
from relay.transform.token import Purpose, Token, mint, read
from relay.web.own_view import OwnView
from tests.support.clock import FakeClock
from tests.unit.consent.asking import TOKENS, People, keys, open_people

JANE = "jane@people.test"
_LINK = re.compile(r"https://relay\.test/p/(v1\.[A-Za-z0-9._-]+)")


@dataclass
class Desk:
    """Where a person asks."""

    people: People
    own: OwnRecordsOfPersons
    withdrawing: Withdrawing

    @property
    def clock(self) -> FakeClock:
        return self.people.clock

    def unsubscribe(self, tenant: Tenant, address: str = JANE, nonce: int = 0) -> str:
        token = Token(Purpose.UNSUBSCRIBE, tenant.id, None, keys(address), nonce, 20_000)
        return mint(token, TOKENS)

    async def request(
        self, tenant: Tenant | None = None, address: str = JANE, ip: str = "192.0.2.1"
    ) -> bool:
        token = self.unsubscribe(tenant or self.people.shop, address)
        return await self.own.request_link(token, language="en", ip=ip)

    async def link(self, tenant: Tenant | None = None, address: str = JANE) -> str:
        """The token of a letter just mailed."""
        before = len(self.people.letters)
        assert await self.request(tenant, address)
        (letter,) = self.people.letters[before:]
        assert letter.to == address
        (token,) = set(_LINK.findall(letter.text("plain")))
        return str(token)

    async def view(self, tenant: Tenant | None = None, address: str = JANE) -> OwnView:
        found = await self.own.view(await self.link(tenant, address))
        assert found is not None
        return found


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    people = await open_people(tmp_path / "data")
    withdrawing = Withdrawing(people.store, people.clock, lambda *_: None, lambda seconds: None)
    own = OwnRecordsOfPersons(
        store=people.store,
        post=people.post,
        letters=Letters(people.settings, people.clock),
        token_keys=TOKENS,
        settings=people.settings,
        clock=people.clock,
        new_id=lambda: next(people.ids),
        withdrawing=withdrawing,
    )
    yield Desk(people, own, withdrawing)
    await people.store.close()


async def confirm(desk: Desk, address: str = JANE, *, days: int = 0, **fields: Any) -> None:
    """Sign up, ``days`` from now (one mail a day is all that a person gets), and confirm."""
    desk.clock.advance(days * 86_401)
    letter = await desk.people.letter(address, **fields)
    assert await desk.people.press(letter.token)


# --- the link -----------------------------------------------------------------------------------


async def test_the_link_goes_to_the_mailbox_and_opens_the_record(desk: Desk) -> None:
    await confirm(desk)
    token = await desk.link()
    said = read(token, TOKENS, Purpose.VIEW)
    assert (said.tenant_id, said.keys) == (desk.people.shop.id, keys(JANE))
    assert said.nonce >> 32 == int(desk.clock.now())
    found = await desk.own.view(token)
    assert found is not None
    assert (found.sender, found.contact, found.address) == ("Shop Ltd", "owner@shop.test", JANE)


async def test_the_letter_is_from_the_tenant(desk: Desk) -> None:
    await confirm(desk)
    await desk.request()
    letter = desk.people.letters[-1]
    assert letter.header("From") == "Shop Ltd <owner@shop.test>"
    assert letter.header("Auto-Submitted") == "auto-generated"


async def test_who_is_unknown_is_answered_the_same_and_gets_no_mail(desk: Desk) -> None:
    assert await desk.request(address="nobody@people.test") is True
    assert desk.people.letters == []
    for wrong in ("", "v1.k1.x.y", mint(_other_purpose(desk), TOKENS)):
        assert await desk.own.request_link(wrong, language="en", ip="192.0.2.1") is False


def _other_purpose(desk: Desk) -> Token:
    return Token(Purpose.VIEW, desk.people.shop.id, None, keys(JANE), 1 << 40, 1)


async def test_caps_for_a_person_count_all_spellings(desk: Desk) -> None:
    await confirm(desk)
    await confirm(desk, "jane+tag@people.test", mailing_list="deals", days=1)
    before = len(desk.people.letters)
    for _ in range(2):
        assert await desk.request()
        assert await desk.request(address="jane+tag@people.test")
    assert len(desk.people.letters) - before == 3
    desk.clock.advance(86_400)
    assert await desk.request()
    assert len(desk.people.letters) - before == 4


async def test_whom_only_another_tenant_knows_gets_no_mail_either(desk: Desk) -> None:
    """A tenant makes links for whomever it likes: they must not tell, and write, for others."""
    await confirm(desk)
    before = len(desk.people.letters)
    assert await desk.request(desk.people.club) is True
    assert len(desk.people.letters) == before


async def test_caps_over_all_tenants(desk: Desk) -> None:
    await confirm(desk)
    registry = desk.people.store.registry
    owners = [desk.people.shop, desk.people.club]
    owners += [
        await registry.add_tenant(Tenant(0, f"t{n}", desk.people.club.party)) for n in range(3)
    ]
    for owner in owners:
        await desk.people.store.consents.grant(
            owner.id, keys(JANE), basis=Basis.ATTESTED, at=desk.clock.now()
        )
    before = len(desk.people.letters)
    for number, owner in enumerate(owners * 3):
        assert await desk.request(owner, ip=f"192.0.2.{number}")
    assert len(desk.people.letters) - before == 10


async def test_a_network_that_asks_for_many_gets_no_more_mail_out_of_us(desk: Desk) -> None:
    people = [f"p{number}@people.test" for number in range(12)]
    for address in people:
        await desk.people.store.consents.grant(
            desk.people.shop.id,
            keys(address),
            basis=Basis.ATTESTED,
            at=desk.clock.now(),
            address=address,
        )
    for address in people:
        assert await desk.request(address=address)
    assert len(desk.people.letters) == 10
    assert await desk.request(address=people[11], ip="198.51.100.1")
    assert len(desk.people.letters) == 11


async def test_the_link_is_good_for_an_hour_and_never_before_its_time(desk: Desk) -> None:
    await confirm(desk)
    token = await desk.link()
    start = desk.clock.now()
    desk.clock.set_wall(start - 1)
    assert await desk.own.view(token) is None
    desk.clock.set_wall(start + 3_599)
    assert await desk.own.view(token) is not None
    desk.clock.set_wall(start + 3_600)
    assert await desk.own.view(token) is None
    assert await desk.own.receipt(token) is None
    done = await desk.own.stop(token, scope="tenant", scope_id=0, ip="", user_agent="")
    assert done is None
    assert (await desk.people.standing()).state is StandingState.GRANTED


async def test_no_other_token_opens_it(desk: Desk) -> None:
    await confirm(desk)
    desk.clock.advance(86_401)
    letter = await desk.people.letter(mailing_list="deals")
    for wrong in (desk.unsubscribe(desk.people.shop), letter.token, "", "v1.k1.x.y"):
        assert await desk.own.view(wrong) is None


# --- what it shows ------------------------------------------------------------------------------


async def test_a_confirmed_consent_in_the_words_that_were_shown(desk: Desk) -> None:
    at = desk.clock.now()
    await confirm(desk)
    (consent,) = (await desk.view()).consents
    notice = await desk.people.opt_in.notice("shop", "news", "en")
    assert notice is not None
    assert (consent.scope, consent.scope_id) == ("list", desk.people.news.id)
    assert (consent.name, consent.promise) == ("News about bicycles", "1/week")
    assert (consent.state, consent.basis) == ("granted", "confirmed")
    assert consent.since == at + 65
    assert consent.asked_at == "https://relay.test/s/shop/news"
    assert consent.words == notice.question
    assert consent.third_parties == ""


async def test_history_is_of_this_person_at_this_tenant(desk: Desk) -> None:
    await confirm(desk)
    await confirm(desk, tenant="club")
    await confirm(desk, "other@people.test")
    view = await desk.view()
    assert [event.type for event in view.history] == [
        "consent.pending",
        "confirmation.mailed",
        "consent.granted",
    ]
    assert "Club" not in repr(view)
    club = await desk.view(desk.people.club)
    assert [consent.name for consent in club.consents] == ["Club news"]
    assert "bicycles" not in repr(club)


async def test_much_mail_pushes_out_no_consent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daily newsletter of three years: since when, where and in what words is still there."""
    monkeypatch.setattr("relay.store.people.own_events.MOST", 5)
    monkeypatch.setattr("relay.consent.viewing.MOST", 5)
    await confirm(desk)
    assert not (await desk.view()).more
    token = await desk.link()
    shop = desk.people.shop.id
    store = desk.people.store
    for kind in ("copy.delivered", "copy.dropped"):
        mails = [
            NewEvent(shop, kind, desk.clock.now() + n, keys(JANE), {"brand": None, "list": 1})
            for n in range(4)
        ]
        await store.writer.write(lambda tx, mails=mails: store.ledger.append(tx, mails))  # type: ignore[misc]
    view, receipt = await desk.own.view(token), await desk.own.receipt(token)
    assert view is not None
    assert isinstance(receipt, dict)
    assert [event.type for event in view.history][:3] == [
        "consent.pending",
        "confirmation.mailed",
        "consent.granted",
    ]
    assert view.consents[0].words
    assert (view.more, receipt["events_complete"]) == (True, False)


async def test_the_operators_own_work_stays_inside(desk: Desk) -> None:
    await confirm(desk)
    await desk.people.store.consents.suppress_operator(
        keys(JANE), at=desk.clock.now(), reason="secret reason"
    )
    token = mint(
        Token(
            Purpose.VIEW,
            desk.people.shop.id,
            None,
            keys(JANE),
            int(desk.clock.now()) << 32,
            1,
        ),
        TOKENS,
    )
    shown = repr(await desk.own.view(token)) + json.dumps(await desk.own.receipt(token))
    assert "secret reason" not in shown
    assert "suppression" not in shown


async def test_imported_consent_says_where_it_came_from(desk: Desk) -> None:
    store, shop = desk.people.store, desk.people.shop
    number = await store.imports.begin("consent", shop.id, at=desk.clock.now())
    row = ImportRow(2, keys(JANE), JANE, 5.0, Basis.ATTESTED, {"source": "fair in May"})
    await store.imports.stage(number, [row])
    await store.imports.commit(number)
    view = await desk.view()
    (consent,) = view.consents
    assert (consent.scope, consent.scope_id, consent.name) == ("tenant", 0, "Shop Ltd")
    assert (consent.basis, consent.since, consent.asked_at) == ("attested", 5.0, "fair in May")
    assert [(event.type, event.channel) for event in view.history] == [
        ("consent.granted", "import")
    ]


async def test_an_imported_row_concerns_the_list_of_its_file(desk: Desk) -> None:
    store, shop = desk.people.store, desk.people.shop
    deals = store.directory.list_of(shop.id, "deals")
    assert deals is not None
    number = await store.imports.begin("consent", shop.id, at=desk.clock.now(), list_id=deals.id)
    await store.imports.stage(number, [ImportRow(2, keys(JANE), JANE, 5.0, Basis.ATTESTED)])
    await store.imports.commit(number)
    view = await desk.view()
    assert [consent.name for consent in view.consents] == ["Deals"]
    assert [event.name for event in view.history] == ["Deals"]


async def test_other_spellings_of_the_person_are_shown_too(desk: Desk) -> None:
    await confirm(desk)
    await confirm(desk, "jane+tag@people.test", mailing_list="deals", days=1)
    names = {consent.name for consent in (await desk.view()).consents}
    assert names == {"News about bicycles", "Deals"}


async def test_requests_never_answered_and_brands(desk: Desk) -> None:
    brand = await desk.people.store.registry.add_brand(
        Brand(0, desk.people.shop.id, "bikes", "Bikes!")
    )
    await desk.people.add_list("bike", "x", brand_id=brand.id, consent_scope=ScopeLevel.BRAND)
    await confirm(desk, mailing_list="bike")
    desk.clock.advance(86_401)
    await desk.people.letter(mailing_list="deals")
    states = {consent.name: consent.state for consent in (await desk.view()).consents}
    assert states == {"Bikes!": "granted", "Deals": "pending"}
    desk.clock.advance(8 * 86_400)
    states = {consent.name: consent.state for consent in (await desk.view()).consents}
    assert states == {"Bikes!": "granted", "Deals": "expired"}


# --- stopping -----------------------------------------------------------------------------------


async def test_stopping_one_list_leaves_the_other(desk: Desk) -> None:
    await confirm(desk)
    await confirm(desk, mailing_list="deals", days=1)
    token = await desk.link()
    view = await desk.own.stop(
        token, scope="list", scope_id=desk.people.news.id, ip="192.0.2.9", user_agent="Browser"
    )
    assert view is not None
    assert {c.name: c.state for c in view.consents} == {
        "News about bicycles": "withdrawn",
        "Deals": "granted",
    }
    assert not view.all_stopped
    assert view.history[-1].type == "optout"
    assert view.history[-1].channel == "page"
    assert (await desk.people.standing()).state is StandingState.WITHDRAWN
    evidence = (await desk.people.events())[-1][1]["evidence"]
    assert (evidence["ip"], evidence["user_agent"]) == ("192.0.2.9", "Browser")


async def test_stopping_everything(desk: Desk) -> None:
    await confirm(desk)
    await confirm(desk, mailing_list="deals", days=1)
    token = await desk.link()
    view = await desk.own.stop(token, scope="tenant", scope_id=0, ip="", user_agent="")
    assert view is not None
    assert view.all_stopped
    assert {consent.state for consent in view.consents} == {"withdrawn"}


async def test_stopping_a_brand(desk: Desk) -> None:
    brand = await desk.people.store.registry.add_brand(
        Brand(0, desk.people.shop.id, "bikes", "Bikes!")
    )
    bike = await desk.people.add_list(
        "bike", "x", brand_id=brand.id, consent_scope=ScopeLevel.BRAND
    )
    await confirm(desk, mailing_list="bike")
    await confirm(desk, days=1)
    token = await desk.link()
    view = await desk.own.stop(token, scope="brand", scope_id=brand.id, ip="", user_agent="")
    assert view is not None
    assert (await desk.people.standing(mailing_list=bike)).state is StandingState.WITHDRAWN
    assert (await desk.people.standing()).state is StandingState.GRANTED


async def test_a_scope_of_somebody_else_is_no_scope(desk: Desk) -> None:
    await confirm(desk)
    other = await desk.people.store.registry.add_brand(Brand(0, desk.people.club.id, "b", "B"))
    token = await desk.link()
    for scope, number in (
        ("list", desk.people.clubnews.id),
        ("list", 999),
        ("brand", other.id),
        ("brand", 999),
        ("tenant", 1),
        ("everything", 0),
    ):
        assert (
            await desk.own.stop(token, scope=scope, scope_id=number, ip="", user_agent="") is None
        )
    assert (await desk.people.standing()).state is StandingState.GRANTED


# --- the receipt --------------------------------------------------------------------------------


async def test_the_receipt_can_be_proven_with_the_ledger(desk: Desk) -> None:
    await confirm(desk)
    await confirm(desk, tenant="club")
    receipt: Any = await desk.own.receipt(await desk.link())
    assert json.loads(json.dumps(receipt)) == receipt
    assert receipt["pii_principal"] == JANE
    (controller,) = receipt["pii_controllers"]
    assert controller == {
        "name": "Shop Ltd",
        "address": "Main Street 1",
        "contact": "owner@shop.test",
        "registration": "12345678",
    }
    (consent,) = receipt["consents"]
    notice = consent["notice"]
    assert (notice["version"], notice["language"]) == (1, "en")
    assert consent["state"] == "granted"
    chain = {event["seq"]: event async for event in desk.people.store.ledger.export(1)}
    for event in receipt["events"]:
        proven = chain[event["ledger"]["sequence"]]
        assert (proven["hash"], proven["type"]) == (event["ledger"]["hash"], event["type"])
    granted = receipt["events"][-1]
    assert granted["ledger"] == consent["ledger"]
    assert granted["evidence"]["confirmation"]["ip"] == "198.51.100.7"
    assert "message_id" not in json.dumps(receipt)
    assert "Club" not in json.dumps(receipt)


# --- after an erasure ---------------------------------------------------------------------------


async def test_after_an_erasure_no_link_opens_anything(desk: Desk) -> None:
    await confirm(desk)
    token = await desk.link()
    erasing = Erasing(store=desk.people.store, clock=desk.clock, withdrawing=desk.withdrawing)
    await erasing.erase(parse_address(JANE), tenant_id=None)
    assert await desk.own.view(token) is None
    assert await desk.own.receipt(token) is None
    before = len(desk.people.letters)
    assert await desk.request() is True
    assert len(desk.people.letters) == before


async def test_a_sign_up_before_the_erasure_confirms_nothing_one_after_it_does(
    desk: Desk,
) -> None:
    old = await desk.people.letter()
    erasing = Erasing(store=desk.people.store, clock=desk.clock, withdrawing=desk.withdrawing)
    await erasing.erase(parse_address(JANE), tenant_id=None)
    assert not await desk.people.press(old.token)
    desk.clock.advance(86_400)
    await confirm(desk)
    assert (await desk.people.standing()).state is StandingState.GRANTED
    (consent,) = (await desk.view()).consents
    assert consent.state == "granted"
