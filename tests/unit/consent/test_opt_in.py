"""Asking and confirming (A3, A4, B5-B10; S14): from the form to the consent, and every dead end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.decide.address import parse_address
from relay.decide.notice import LONGEST, NoticeRefused
from relay.model import (
    Automation,
    Basis,
    Brand,
    Kind,
    Outcome,
    ScopeLevel,
    SenderDomain,
    StandingState,
    TenantState,
)
from relay.ports import StoreTrouble
from relay.store.people.signup_caps import MOST_REQUESTS
from relay.store.sqlite.transaction import Transaction
from relay.transform.token import Purpose, Token, mint, read
from relay.web.asking import Asked
from tests.support.clock import FakeClock
from tests.unit.consent.asking import BROWSER, FORM, TOKENS, People, keys, open_people

DAY = 86_400.0


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    opened = await open_people(tmp_path / "data")
    yield opened
    await opened.store.close()


# --- the circle ---------------------------------------------------------------------------------


async def test_a_person_asks_gets_one_mail_and_confirms(people: People) -> None:
    assert (await people.standing()).state is StandingState.ABSENT
    letter = await people.letter()
    assert (await people.standing()).state is StandingState.PENDING
    assert letter.to == "jane@people.test"
    assert await people.press(letter.token)
    known = await people.standing()
    assert (known.state, known.basis) == (StandingState.GRANTED, Basis.CONFIRMED)
    assert await people.types() == ["consent.pending", "confirmation.mailed", "consent.granted"]
    assert people.seen == {
        ("shop", "asked"): 1,
        ("shop", "mailed"): 1,
        ("shop", "confirmed"): 1,
    }


async def test_the_evidence_is_whole(people: People) -> None:
    notice = await people.opt_in.notice("shop", "news", "en")
    assert notice is not None
    at = people.clock.now()
    letter = await people.letter(notice=notice.number)
    await people.press(letter.token)
    events = dict(await people.events())
    version = events["notice.version"]
    signup = {
        "ip": "192.0.2.1",
        "user_agent": BROWSER,
        "form_url": FORM,
        "notice": notice.number,
        "notice_digest": version["digest"],
        "act": "ticked the box and pressed the button",
        "language": "en",
    }
    assert events["consent.pending"] == {
        "brand": None,
        "list": people.news.id,
        "basis": "confirmed",
        "own_act": False,
        "expires_at": at + 7 * DAY,
        "evidence": signup,
    }
    mailed = events["confirmation.mailed"]
    assert mailed == {
        "signup": mailed["signup"],
        "message_id": letter.id,
        "reply": "250 2.0.0 queued",
    }
    assert events["consent.granted"] == {
        "brand": None,
        "list": people.news.id,
        "basis": "confirmed",
        "own_act": True,
        "expires_at": None,
        "automated": [],
        "evidence": {
            "signup": {**signup, "event": mailed["signup"], "at": at},
            "mail": {"message_id": letter.id, "reply": "250 2.0.0 queued", "at": at},
            "confirmation": {
                "ip": "198.51.100.7",
                "user_agent": BROWSER,
                "delay": 65.0,
                "page_fetched_at": at + 60,
                "page_fetches": 1,
                "page_user_agent": BROWSER,
                "page_network": "198.51.100.7",
            },
        },
    }


async def test_the_page_shows_what_was_shown_at_sign_up(people: People) -> None:
    shown = await people.opt_in.notice("shop", "news", "nl-BE")
    assert shown is not None
    letter = await people.letter(notice=shown.number, language="nl")
    page = await people.opt_in.peek(letter.token)
    assert page is not None
    assert page.notice == shown
    assert page.notice.question == (
        "Ja, stuur mij: News about bicycles (hoogstens één keer per week), van Shop Ltd."
    )
    assert (page.address, page.confirmed) == ("j•••@p••••••.test", False)
    assert page.notice.scope is ScopeLevel.LIST
    assert letter.header("Content-Language") == "nl"


async def test_a_second_press_changes_nothing(people: People) -> None:
    letter = await people.letter()
    assert await people.press(letter.token)
    before = await people.events()
    assert await people.press(letter.token)
    assert await people.events() == before
    assert people.seen["shop", "confirmed"] == 1


async def test_two_presses_at_once_are_one_consent(people: People) -> None:
    letter = await people.letter()
    await asyncio.gather(
        *(people.opt_in.confirm(letter.token, ip="192.0.2.8", user_agent=BROWSER) for _ in range(8))
    )
    assert (await people.types()).count("consent.granted") == 1


async def test_looking_changes_nothing(people: People) -> None:
    letter = await people.letter()
    before = await people.events()
    for _ in range(3):
        assert await people.opt_in.peek(letter.token)
        assert await people.opt_in.fetch(letter.token, ip="192.0.2.8", user_agent="Scan/1")
    assert await people.events() == before
    assert (await people.standing()).state is StandingState.PENDING


async def test_head_leaves_no_trace_and_get_does(people: People) -> None:
    letter = await people.letter()
    people.clock.advance(60)
    await people.opt_in.peek(letter.token)
    await people.opt_in.confirm(letter.token, ip="192.0.2.8", user_agent=BROWSER)
    (granted,) = [data for kind, data in await people.events() if kind == "consent.granted"]
    assert granted["automated"] == ["no-page-fetch"]
    assert granted["evidence"]["confirmation"]["page_fetches"] == 0
    assert people.seen["shop", "automated"] == 1


async def test_a_machine_is_marked(tmp_path: Path) -> None:
    people = await open_people(tmp_path / "data", scanner_networks=("198.51.100.0/24",))
    letter = await people.letter()
    people.clock.advance(1)
    await people.opt_in.fetch(letter.token, ip="198.51.100.9", user_agent="curl/8")
    await people.opt_in.confirm(letter.token, ip="198.51.100.9", user_agent="curl/8")
    (granted,) = [data for kind, data in await people.events() if kind == "consent.granted"]
    assert granted["automated"] == [
        "seconds-after-sending",
        "seconds-after-fetch",
        "scanner-network",
        "scanner-agent",
    ]
    await people.store.close()


async def test_a_scanners_press_does_not_use_up_the_persons_own(people: People) -> None:
    letter = await people.letter()
    for _ in range(3):
        page = await people.opt_in.confirm(letter.token, ip="192.0.2.8", user_agent=BROWSER)
        assert page is not None
        assert not page.confirmed
    assert (await people.types()).count("consent.granted") == 1
    assert (await people.standing()).automated is Automation.CERTAIN
    people.clock.advance(60)
    page = await people.opt_in.fetch(letter.token, ip="198.51.100.7", user_agent=BROWSER)
    assert page is not None
    assert not page.confirmed
    assert await people.press(letter.token)
    assert (await people.standing()).automated is Automation.NO
    assert await people.press(letter.token)
    assert (await people.types()).count("consent.granted") == 2


async def test_what_a_scanner_pressed_dies_like_any_other_request(people: People) -> None:
    first = await people.letter()
    await people.opt_in.confirm(first.token, ip="192.0.2.8", user_agent=BROWSER)
    people.clock.advance(2 * DAY)
    second = await people.letter()
    assert not await people.press(first.token)
    await people.opt_in.confirm(second.token, ip="192.0.2.8", user_agent=BROWSER)
    people.clock.advance(7 * DAY)
    assert not await people.press(second.token)
    assert await people.opt_in.lapse() == 0


async def test_a_button_pressed_before_the_upstreams_answer_is_recorded(people: People) -> None:
    await people.ask()
    letter = people.letters[-1]
    assert await people.press(letter.token)
    await people.delivered(letter)
    assert (await people.standing()).state is StandingState.GRANTED
    assert await people.types() == ["consent.pending", "consent.granted", "confirmation.mailed"]
    assert await people.press(letter.token)


# --- the letter ---------------------------------------------------------------------------------


async def test_the_letter_is_from_the_sender_and_answers_reach_the_contact(people: People) -> None:
    letter = await people.letter()
    assert letter.header("From") == "Shop Ltd <owner@shop.test>"
    assert letter.header("Reply-To") == "owner@shop.test"
    stored = await people.store.mail.message(letter.id)
    assert stored is not None
    assert (stored.mail_from, stored.kind) == ("", Kind.AUTO)


async def test_nothing_of_the_requester_is_in_the_letter(people: People) -> None:
    letter = await people.letter(
        user_agent="BUY-PILLS", form_url="https://evil.test/pills", act="PILLS", ip="203.0.113.77"
    )
    for octets in (letter.content, letter.text("plain").encode(), letter.text("html").encode()):
        assert not any(word in octets for word in (b"PILLS", b"evil.test", b"203.0.113.77"))


async def test_the_token_is_in_the_mail_and_nowhere_else(people: People) -> None:
    letter = await people.letter()
    await people.press(letter.token)
    await people.press(letter.token)
    signature = letter.token.rpartition(".")[2]
    events = str(await people.events())
    assert signature not in events
    nonce = read(letter.token, TOKENS, Purpose.CONFIRM).nonce
    assert str(nonce) not in events


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "",
        "jane",
        "jane@",
        "Jane <jane@people.test>",
        "a@b@c.test",
        "jane@localhost",
        "jane@[192.0.2.1]",
        "jane@people.test\r\nBcc: x@y.test",
        "jane@people.test,joe@people.test",
        " jane@people.test",
    ],
)
async def test_only_a_mailbox_is_taken(people: People, address: str) -> None:
    assert await people.ask(address) is Asked.BAD_ADDRESS
    assert (people.letters, await people.types()) == ([], [])


async def test_only_a_list_that_consent_is_asked_for(people: People) -> None:
    await people.add_list("receipts", "Receipts", kind=Kind.TRANSACTIONAL)
    await people.add_list("old", "Old", archived=True)
    for slug in ("receipts", "old", "none"):
        assert await people.ask(mailing_list=slug) is Asked.UNKNOWN_LIST
        assert await people.opt_in.notice("shop", slug, "en") is None
    assert await people.ask(tenant="nobody") is Asked.UNKNOWN_LIST
    await people.store.registry.change_tenant(
        type(people.shop)(people.shop.id, "shop", people.shop.party, state=TenantState.SUSPENDED)
    )
    assert await people.ask() is Asked.UNKNOWN_LIST
    assert await people.types() == []


async def test_only_a_notice_of_this_list(people: People) -> None:
    other = await people.opt_in.notice("shop", "deals", "en")
    foreign = await people.opt_in.notice("club", "news", "en")
    assert other is not None
    assert foreign is not None
    for number in (other.number, foreign.number, 999):
        assert await people.ask(notice=number) is Asked.UNKNOWN_NOTICE
    assert await people.ask(mailing_list="deals", notice=other.number) is Asked.TAKEN


@pytest.mark.parametrize("text", ["", "v1.k1.x.y", "x" * 400])
async def test_no_token_of_ours(people: People, text: str) -> None:
    assert await people.opt_in.peek(text) is None
    assert await people.opt_in.fetch(text, ip="192.0.2.8", user_agent="") is None
    assert await people.opt_in.confirm(text, ip="192.0.2.8", user_agent="") is None


async def test_a_token_of_another_purpose_or_for_another_request_confirms_nothing(
    people: People,
) -> None:
    letter = await people.letter()
    said = read(letter.token, TOKENS, Purpose.CONFIRM)
    wrong = [
        Token(Purpose.UNSUBSCRIBE, *(said.tenant_id, said.list_id, said.keys, said.nonce, 1)),
        Token(Purpose.VIEW, *(said.tenant_id, said.list_id, said.keys, said.nonce, 1)),
        Token(Purpose.CONFIRM, *(said.tenant_id, said.list_id, said.keys, said.nonce + 1, 1)),
        Token(
            Purpose.CONFIRM,
            *(said.tenant_id, said.list_id, keys("joe@people.test"), said.nonce, 1),
        ),
    ]
    for token in wrong:
        assert not await people.press(mint(token, TOKENS))
    assert (await people.standing()).state is StandingState.PENDING


# --- dead tokens --------------------------------------------------------------------------------


async def test_a_newer_request_kills_the_older(people: People) -> None:
    old = await people.letter()
    people.clock.advance(DAY)
    new = await people.letter()
    assert not await people.press(old.token)
    assert await people.press(new.token)


async def test_a_newer_request_under_another_tag_kills_the_older(people: People) -> None:
    old = await people.letter()
    people.clock.advance(DAY)
    new = await people.letter("jane+more@people.test")
    assert not await people.press(old.token)
    assert await people.press(new.token)
    assert (await people.standing()).state is StandingState.PENDING
    assert (await people.standing("jane+more@people.test")).state is StandingState.GRANTED


async def test_a_request_for_another_list_leaves_the_older_alive(tmp_path: Path) -> None:
    people = await open_people(tmp_path / "data", mails_per_address_and_tenant=5)
    news, deals = await people.letter(), await people.letter(mailing_list="deals")
    assert await people.press(news.token)
    assert await people.press(deals.token)
    await people.store.close()


async def test_lists_of_one_scope_are_one_request(people: People) -> None:
    wide = {"consent_scope": ScopeLevel.TENANT}
    one = await people.add_list("one", "One", **wide)
    two = await people.add_list("two", "Two", **wide)
    old = await people.letter(mailing_list="one")
    await people.ask(mailing_list="two")
    assert (await people.types()).count("consent.pending") == 1
    people.clock.advance(DAY)
    new = await people.letter(mailing_list="two")
    assert not await people.press(old.token)
    assert await people.press(new.token)
    for mailing_list in (one, two, people.news):
        known = await people.standing(mailing_list=mailing_list)
        assert known.state is StandingState.GRANTED


async def test_a_token_lives_seven_days(people: People) -> None:
    letter = await people.letter()
    people.clock.advance(7 * DAY - 61)
    assert await people.opt_in.peek(letter.token)
    people.clock.advance(61)
    assert await people.opt_in.peek(letter.token) is None
    assert not await people.press(letter.token)


@pytest.mark.parametrize("scope", ["tenant", "list", "other list"])
@pytest.mark.parametrize("spelling", ["jane@people.test", "Jane+x@people.test"])
async def test_an_opt_out_at_any_scope_kills_the_token(
    people: People, scope: str, spelling: str
) -> None:
    letter = await people.letter()
    list_id = {"tenant": None, "list": people.news.id, "other list": people.deals.id}[scope]
    people.clock.advance(1)
    await people.store.consents.withdraw(
        people.shop.id, keys(spelling), at=people.clock.now(), channel="page", list_id=list_id
    )
    assert await people.opt_in.peek(letter.token) is None
    assert not await people.press(letter.token)
    assert (await people.types()).count("consent.granted") == 0


async def test_a_repeated_opt_out_kills_the_token_too(people: People) -> None:
    async def leave() -> None:
        people.clock.advance(1)
        await people.store.consents.withdraw(
            people.shop.id, keys("jane@people.test"), at=people.clock.now(), channel="page"
        )

    await leave()
    people.clock.advance(1)
    letter = await people.letter()
    await leave()
    assert not await people.press(letter.token)


async def test_a_complaint_kills_the_token(people: People) -> None:
    letter = await people.letter()
    await people.store.consents.complain(
        people.shop.id, keys("jane@people.test"), at=people.clock.now()
    )
    assert not await people.press(letter.token)


async def test_the_operators_suppression_kills_the_token(people: People) -> None:
    letter = await people.letter()
    await people.store.consents.suppress_operator(
        keys("jane@people.test"), at=people.clock.now(), reason="asked by phone"
    )
    assert not await people.press(letter.token)


async def test_an_imported_opt_out_kills_the_token(people: People) -> None:
    letter = await people.letter()
    await import_optout(people)
    assert not await people.press(letter.token)


async def test_an_opt_out_after_confirming_ends_what_the_token_shows(people: People) -> None:
    letter = await people.letter()
    assert await people.press(letter.token)
    people.clock.advance(1)
    await people.store.consents.withdraw(
        people.shop.id, keys("jane@people.test"), at=people.clock.now(), channel="one-click"
    )
    assert not await people.press(letter.token)
    assert (await people.standing()).state is StandingState.WITHDRAWN


async def test_an_opt_out_elsewhere_kills_nothing(people: People) -> None:
    letter = await people.letter()
    await people.store.consents.withdraw(
        people.club.id, keys("jane@people.test"), at=people.clock.now(), channel="page"
    )
    assert await people.press(letter.token)


async def test_a_person_who_left_comes_back_by_their_own_confirmation(people: People) -> None:
    await people.store.consents.withdraw(
        people.shop.id, keys("jane@people.test"), at=people.clock.now(), channel="page"
    )
    people.clock.advance(1)
    letter = await people.letter()
    assert (await people.standing()).state is StandingState.WITHDRAWN
    assert await people.press(letter.token)
    assert (await people.standing()).state is StandingState.GRANTED


async def test_an_erased_request_confirms_nothing(people: People) -> None:
    letter = await people.letter()

    def erase(tx: Transaction) -> None:
        tx.raw.execute("DELETE FROM event_data WHERE wide IS NOT NULL")

    await people.store.writer.write(erase)
    assert not await people.press(letter.token)


# --- caps ---------------------------------------------------------------------------------------


async def test_one_mail_a_day_for_a_person_and_tenant(people: People) -> None:
    letter = await people.letter()
    for spelling in ("jane@people.test", "JANE@People.test", "jane+a@people.test"):
        for slug in ("news", "deals"):
            assert await people.ask(spelling, mailing_list=slug) is Asked.TAKEN
    assert len(people.letters) == 1
    assert people.seen["shop", "capped"] == 6
    assert await people.press(letter.token)


async def test_a_repeated_request_records_nothing_new(people: People) -> None:
    letter = await people.letter()
    before = await people.events()
    assert await people.ask() is Asked.TAKEN
    assert await people.events() == before
    assert await people.press(letter.token)


async def test_two_requests_at_once_are_one_mail(people: People) -> None:
    spellings = ["jane@people.test", "jane+a@people.test", "JANE@people.test", "jane+b@people.test"]
    answers = await asyncio.gather(*(people.ask(spelling) for spelling in spellings * 5))
    assert set(answers) == {Asked.TAKEN}
    assert len(people.letters) == 1


async def test_five_mails_a_day_for_a_person_over_all_tenants(people: People) -> None:
    for number in range(7):
        await people.add_firm(f"firm{number}")
        assert await people.ask("jane@people.test", tenant=f"firm{number}") is Asked.TAKEN
    assert len(people.letters) == 5
    assert [people.seen[f"firm{number}", "capped"] for number in (4, 5, 6)] == [0, 1, 1]
    people.clock.advance(DAY)
    assert await people.ask("jane@people.test", tenant="firm6") is Asked.TAKEN
    assert len(people.letters) == 6


async def test_three_open_requests_of_a_person_at_a_tenant(people: People) -> None:
    for number in range(5):
        await people.add_list(f"list{number}", f"List {number}")
        assert await people.ask(mailing_list=f"list{number}") is Asked.TAKEN
        people.clock.advance(DAY)
    assert len(people.letters) == 3
    assert await people.press(people.letters[-1].token)
    await people.letter(mailing_list="list4")


async def test_ten_persons_a_minute_for_a_network(people: People) -> None:
    for number in range(10):
        assert await people.ask(f"p{number}@people.test", ip="192.0.2.1") is Asked.TAKEN
    assert await people.ask("p10@people.test", ip="192.0.2.1") is Asked.TOO_MANY
    # Neither the list nor the tenant nor a tag makes another person, and known ones still pass.
    assert await people.ask("p9+x@people.test", ip="192.0.2.1", mailing_list="deals") is Asked.TAKEN
    assert await people.ask("p10@people.test", ip="192.0.2.2") is Asked.TAKEN
    people.clock.advance(60)
    assert await people.ask("p11@people.test", ip="192.0.2.1") is Asked.TAKEN
    assert len(people.letters) == 12


async def test_a_household_with_ipv6_is_one_network(people: People) -> None:
    for number in range(10):
        assert await people.ask(f"p{number}@people.test", ip=f"2001:db8::{number}") is Asked.TAKEN
    assert await people.ask("p10@people.test", ip="2001:db8::ffff:1") is Asked.TOO_MANY
    assert await people.ask("p10@people.test", ip="2001:db8:0:1::1") is Asked.TAKEN


async def test_an_address_that_a_tenant_names_counts_for_that_tenant(people: People) -> None:
    for number in range(10):
        await people.ask(f"p{number}@people.test", act="api")
    assert await people.ask("p10@people.test", act="api") is Asked.TOO_MANY
    assert await people.ask("p10@people.test", act="api", tenant="club") is Asked.TAKEN
    assert await people.ask("p10@people.test") is Asked.TAKEN


async def test_capped_addresses_count_for_the_network_like_any(people: People) -> None:
    """Else a tester would learn from the eleventh answer which of ten addresses had asked."""
    for number in range(10):
        await people.ask(f"p{number}@people.test", ip="192.0.2.1")
    for number in range(10):
        assert await people.ask(f"p{number}@people.test", ip="198.51.100.1") is Asked.TAKEN
    assert await people.ask("p10@people.test", ip="198.51.100.1") is Asked.TOO_MANY


async def test_caps_of_form_and_tenant_withhold_silently(tmp_path: Path) -> None:
    people = await open_people(tmp_path / "data", mails_per_form=2, mails_per_tenant=4)
    for number in range(3):
        assert (
            await people.ask(f"a{number}@people.test", form_url=f"{FORM}?x={number}") is Asked.TAKEN
        )
    assert len(people.letters) == 2
    await people.ask("b@people.test", form_url="https://shop.test/other")
    people.clock.advance(60)
    await people.ask("c@people.test")
    assert len(people.letters) == 4
    await people.ask("d@people.test", form_url="https://shop.test/third")
    await people.ask("d@people.test", tenant="club")
    assert len(people.letters) == 5
    assert people.seen["shop", "capped"] == 2
    await people.store.close()


async def test_spellings_of_one_person_do_not_fill_the_ledger(people: People) -> None:
    """They count as one person for the network, so that nothing else would stop a stranger."""
    for number in range(50):
        assert await people.ask(f"jane+{number}@people.test", ip="192.0.2.1") is Asked.TAKEN
    assert (await people.types()).count("consent.pending") == 1


async def test_other_tenants_caps_let_no_ledger_fill_either(people: People) -> None:
    """The cap over all tenants must not show in what one of them sees, nor open the gate."""
    for number in range(5):
        await people.add_firm(f"firm{number}")
        await people.ask("jane@people.test", tenant=f"firm{number}")
    before = (await people.types()).count("consent.pending")
    for number in range(50):
        assert await people.ask(f"jane+{number}@people.test") is Asked.TAKEN
    assert (await people.types()).count("consent.pending") - before == MOST_REQUESTS


async def test_strangers_from_everywhere_do_not_fill_the_ledger(tmp_path: Path) -> None:
    people = await open_people(tmp_path / "data", mails_per_form=2)
    for number in range(50):
        ip = f"2001:db8:0:{number:x}::1"
        assert await people.ask(f"p{number}@people.test", ip=ip) is Asked.TAKEN
    assert (await people.types()).count("consent.pending") == 2
    assert len(people.letters) == 2
    await people.store.close()


async def test_a_withheld_mail_leaves_when_the_person_asks_again(tmp_path: Path) -> None:
    people = await open_people(tmp_path / "data", mails_per_form=1)
    await people.ask("first@people.test")
    await people.ask()
    assert len(people.letters) == 1
    people.clock.advance(61)
    letter = await people.letter()
    assert (await people.types()).count("consent.pending") == 2
    assert await people.press(letter.token)
    await people.store.close()


async def test_caps_survive_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    people = await open_people(tmp_path / "data", clock)
    await people.letter()
    await people.store.close()
    from relay.settings import OptIn as OptInSettings
    from relay.settings import Store as StoreSettings
    from relay.store.store import Store
    from tests.unit.consent.asking import PEPPER

    again = People(
        await Store.open(
            tmp_path / "data",
            settings=StoreSettings(min_free_bytes=0),
            clock=clock,
            pepper=PEPPER,
            reserve_bytes=4_096,
        ),
        clock,
        OptInSettings(),
    )
    assert await again.ask() is Asked.TAKEN
    assert again.letters == []
    await again.store.close()


# --- trouble ------------------------------------------------------------------------------------


async def test_when_the_mail_cannot_be_queued_the_person_simply_asks_again(people: People) -> None:
    people.trouble = StoreTrouble("the disk is full")
    with pytest.raises(StoreTrouble):
        await people.ask()
    people.trouble = None
    assert (await people.standing()).state is StandingState.PENDING
    letter = await people.letter()
    assert (await people.types()).count("consent.pending") == 1
    assert await people.press(letter.token)


async def test_a_crash_between_record_and_mail_blocks_nobody(people: People) -> None:
    people.trouble = StoreTrouble("gone")
    settle = people.store.signups.settle

    async def cut_off(signup_id: int, *, taken: bool) -> None:
        raise StoreTrouble("gone")

    people.store.signups.settle = cut_off  # type: ignore[method-assign]
    with pytest.raises(StoreTrouble):
        await people.ask()
    people.store.signups.settle, people.trouble = settle, None  # type: ignore[method-assign]
    await people.ask()
    assert people.letters == []  # it might still be on its way
    people.clock.advance(121)
    letter = await people.letter()
    assert await people.press(letter.token)


async def test_a_crash_after_the_mail_was_queued_sends_no_second(people: People) -> None:
    settle = people.store.signups.settle

    async def cut_off(signup_id: int, *, taken: bool) -> None:
        raise StoreTrouble("gone")

    people.store.signups.settle = cut_off  # type: ignore[method-assign]
    assert await people.ask() is Asked.TAKEN
    people.store.signups.settle = settle  # type: ignore[method-assign]
    people.clock.advance(121)
    assert await people.ask() is Asked.TAKEN
    assert len(people.letters) == 1
    assert await people.press(people.letters[0].token)


async def test_a_refused_mail_is_not_repeated_on_the_same_day(people: People) -> None:
    await people.ask()
    await people.delivered(people.letters[-1], Outcome.DEFERRED)
    await people.delivered(people.letters[-1], Outcome.REFUSED)
    assert not await people.press(people.letters[-1].token)
    await people.ask()
    assert len(people.letters) == 1
    assert people.seen["shop", "mailed"] == 0
    people.clock.advance(DAY)
    assert await people.press((await people.letter()).token)


async def test_mail_that_is_no_confirmation_is_nobodys_business(people: People) -> None:
    await people.letter()
    before = await people.events()
    from relay.model import Receipt

    await people.opt_in.mailed("other", Receipt(Outcome.DELIVERED, 250, "2.0.0", "ok", "none"))
    assert await people.events() == before


# --- one answer for everybody, one tenant for itself --------------------------------------------


async def test_without_a_sender_domain_nobody_is_mailed_in_another_name(people: People) -> None:
    """The confirmation mail is signed for the tenant's domain, or not sent at all."""
    await people.store.registry.remove_domain("shop.test")
    for address in ("jane@people.test", "no mailbox"):
        assert await people.ask(address) is Asked.NO_SENDER
    assert people.letters == []
    assert await people.events() == []
    await people.store.registry.add_domain(SenderDomain(people.shop.id, "shop.test", "s1"))
    await people.letter()


async def test_no_answer_leaves_sooner_than_another(people: People) -> None:
    """Making a mail takes longer than making none: the pause hides which it was."""
    real = people.generated.post

    async def slow(*letter: Any) -> bool:
        people.clock.advance(0.03)
        return await real(*letter)

    people.generated.post = slow  # type: ignore[method-assign]
    await people.ask()
    await people.ask()
    assert people.pauses == pytest.approx([0.07, 0.1])
    await people.ask("no mailbox")
    assert len(people.pauses) == 2


async def test_the_answer_is_the_same_for_everybody(people: People) -> None:
    now = people.clock.now()
    await people.letter("pending@people.test")
    assert await people.press((await people.letter("known@people.test")).token)
    for name in ("left", "bounced", "blocked"):
        await people.store.consents.grant(
            people.shop.id, keys(f"{name}@people.test"), basis=Basis.APPROVED, at=now
        )
    await people.store.consents.withdraw(
        people.shop.id, keys("left@people.test"), at=now, channel="page"
    )
    await people.store.consents.suppress_bounce(
        people.shop.id, keys("bounced@people.test"), at=now, evidence={}
    )
    await people.store.consents.suppress_operator(
        keys("blocked@people.test"), at=now, reason="asked"
    )
    people.letters.clear()
    names = ("pending", "known", "left", "bounced", "blocked", "nobody")
    answers = {await people.ask(f"{name}@people.test", ip="203.0.113.1") for name in names}
    assert answers == {Asked.TAKEN}
    assert [letter.to.partition("@")[0] for letter in people.letters] == ["left", "nobody"]


async def test_a_suppressed_person_gets_no_mail_but_may_once_lifted(people: People) -> None:
    person = keys("jane@people.test")
    await people.store.consents.suppress_operator(person, at=people.clock.now(), reason="asked")
    await people.ask()
    assert people.letters == []
    assert (await people.types()) == ["consent.pending"]
    await people.store.consents.lift(None, person, at=people.clock.now(), reason="mistake")
    people.clock.advance(1)
    assert await people.press((await people.letter()).token)


async def test_what_a_tenant_has_on_record_never_depends_on_another(tmp_path: Path) -> None:
    histories = []
    for number, others in enumerate((False, True)):
        people = await open_people(tmp_path / str(number), mails_per_address=2)
        clock = people.clock
        for step in range(12):
            spelling = ("jane@people.test", "jane+a@people.test", "joe@people.test")[step % 3]
            if others:
                await people.ask(spelling, tenant="club", ip="203.0.113.9")
                await people.store.consents.withdraw(
                    people.club.id, keys(spelling), at=clock.now(), channel="page"
                )
                clock.advance(1)
                await people.ask(spelling, tenant="club", ip="203.0.113.9")
            else:
                clock.advance(1)
            await people.ask(spelling, mailing_list=("news", "deals")[step % 2])
            if step == 7:
                await people.store.consents.withdraw(
                    people.shop.id, keys(spelling), at=clock.now(), channel="page"
                )
            clock.advance((10, 20_000, 50_000)[step % 3])
        histories.append(
            [
                (kind, {k: v for k, v in data.items() if k not in ("signup", "message_id")})
                for kind, data in await people.events()
                if kind != "notice.version"
            ]
        )
        for _, data in histories[-1]:
            data.get("evidence", {}).pop("notice", None)
        await people.store.close()
    assert histories[0] == histories[1]
    assert len(histories[0]) >= 5


# --- the end ------------------------------------------------------------------------------------


async def test_requests_lapse_are_counted_and_forgotten(people: People) -> None:
    await people.letter()
    yes = await people.letter("yes@people.test")
    assert await people.press(yes.token)
    people.clock.advance(6 * DAY)
    assert await people.opt_in.lapse() == 0
    people.clock.advance(1 * DAY)
    assert await people.opt_in.lapse() == 1
    assert await people.opt_in.lapse() == 0
    assert people.seen["shop", "lapsed"] == 1
    assert await people.store.consents.address_of(keys("jane@people.test"), None) is not None
    people.clock.advance(30 * DAY)
    await people.opt_in.lapse()
    # Of the one who never answered no address is kept; of the other one it is.
    address_of = people.store.consents.address_of
    assert await address_of(keys("jane@people.test"), None) is None
    assert await address_of(keys("yes@people.test"), None) == "yes@people.test"
    rows = await people.store.writer.write(
        lambda tx: tx.raw.execute("SELECT count(*) FROM signups").fetchone()
    )
    assert rows == (0,)
    assert (await people.standing("yes@people.test")).state is StandingState.GRANTED


async def test_another_spelling_does_not_change_the_address_on_record(people: People) -> None:
    await people.letter("Jane@people.test")
    await people.ask("jANE@people.test", mailing_list="deals")
    address = await people.store.consents.address_of(keys("jane@people.test"), None)
    assert address == "Jane@people.test"


# --- notices ------------------------------------------------------------------------------------


async def test_a_notice_is_on_record_before_it_is_shown_and_only_once(people: People) -> None:
    first = await people.opt_in.notice("shop", "news", "en")
    again = await people.opt_in.notice("shop", "news", "en")
    assert first == again
    assert first is not None
    assert (first.purpose, first.promise, first.sender) == (
        "News about bicycles",
        "1/week",
        "Shop Ltd",
    )
    assert first.question == (
        "Yes, send me: News about bicycles (at most once a week), from Shop Ltd."
    )
    ((kind, data),) = await people.events()
    assert (kind, data["version"], data["language"]) == ("notice.version", 1, "en")


async def test_a_change_of_list_or_tenant_makes_a_new_version(people: People) -> None:
    from dataclasses import replace

    first = await people.opt_in.notice("shop", "news", "en")
    await people.store.registry.change_list(replace(people.news, promise="2/week"))
    second = await people.opt_in.notice("shop", "news", "en")
    party = replace(people.shop.party, name="Shop BV")
    await people.store.registry.change_tenant(replace(people.shop, party=party))
    third = await people.opt_in.notice("shop", "news", "en")
    assert first is not None
    assert second is not None
    assert third is not None
    assert len({first.number, second.number, third.number}) == 3
    versions = await people.opt_in.notices(people.shop, people.news)
    assert [version.version for version in versions] == [1, 2, 3, 4]
    # What was shown is what counts, also when it is not the newest any more.
    letter = await people.letter(notice=first.number)
    page = await people.opt_in.peek(letter.token)
    assert page is not None
    assert page.notice.promise == "1/week"


async def test_a_brand_is_the_sender(people: People) -> None:
    brand = await people.store.registry.add_brand(Brand(0, people.shop.id, "fast", "Fast Wheels"))
    await people.add_list(
        "fast",
        "Offers",
        brand_id=brand.id,
        consent_scope=ScopeLevel.BRAND,
        from_address="offers@shop.test",
    )
    letter = await people.letter(mailing_list="fast")
    assert letter.header("From") == "Fast Wheels <offers@shop.test>"
    page = await people.opt_in.peek(letter.token)
    assert page is not None
    assert page.notice.scope is ScopeLevel.BRAND
    assert "all newsletters and offers from Fast Wheels" in letter.text("plain")
    assert (page.notice.sender, page.notice.party) == ("Fast Wheels", "Shop Ltd")
    assert await people.press(letter.token)
    granted = dict(await people.events())["consent.granted"]
    assert (granted["brand"], granted["list"]) == (brand.id, None)


async def test_a_tenants_own_words_are_on_the_page_and_never_in_the_mail(people: People) -> None:
    """A sign-up over the API is a mail to whomever the tenant names: with words of the tenant's own
    choice in it, it would be a mailing without consent, also to those who left."""
    advert = "Buy now at https://offers.shop.test/"
    own = await people.opt_in.add_notice(
        people.shop, people.news, language="en", question=advert, purpose=f"{advert}today"
    )
    await people.store.consents.withdraw(
        people.shop.id, keys("jane@people.test"), at=people.clock.now(), channel="page"
    )
    letter = await people.letter(notice=own.id, act="api")
    for part in ("plain", "html"):
        assert "offers.shop.test" not in letter.text(part)
        assert people.news.purpose in letter.text(part)
    page = await people.opt_in.peek(letter.token)
    assert page is not None
    assert page.notice.question == advert


async def test_a_tenants_own_words(people: People) -> None:
    own = await people.opt_in.add_notice(
        people.shop, people.news, language="nl", question="Stuur mij fietsnieuws", purpose="Nieuws"
    )
    same = await people.opt_in.add_notice(
        people.shop, people.news, language="nl", question="Stuur mij fietsnieuws ", purpose="Nieuws"
    )
    assert own == same
    letter = await people.letter(notice=own.id)
    page = await people.opt_in.peek(letter.token)
    assert page is not None
    assert (page.notice.question, page.notice.purpose) == ("Stuur mij fietsnieuws", "Nieuws")
    assert own in await people.opt_in.notices(people.shop, people.news)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"question": "Also mail of selected partners?"}, '"selected partners" in the question'),
        ({"purpose": "Nieuws van onze partners"}, '"onze partners" in the purpose'),
        ({"question": " "}, "the question is empty"),
        ({"question": "a\nb"}, "one line"),
        ({"question": "x" * 2001}, "nobody reads it"),
        ({"language": "xx"}, "the language must be one of en, nl"),
    ],
)
async def test_words_that_are_refused(people: People, fields: dict[str, str], words: str) -> None:
    given = {"language": "en", "question": "Send me news", **fields}
    with pytest.raises(NoticeRefused, match=words):
        await people.opt_in.add_notice(people.shop, people.news, **given)  # type: ignore[arg-type]
    assert await people.events() == []


async def test_a_sender_may_be_called_anything(people: People) -> None:
    """What is vague in a promise is a name in a name."""
    for slug, name in (("care", "Partners in Care B.V."), ("third", "Selected Partners (NL) B.V.")):
        await people.add_firm(slug, name=name, purpose=f"News from {name}")
        for language in ("en", "nl"):
            assert await people.opt_in.notice(slug, "news", language) is not None
        assert await people.ask(f"jane@{slug}.test", tenant=slug) is Asked.TAKEN
    assert len(people.letters) == 2


async def test_the_longest_purpose_that_is_taken_can_be_asked_for(people: People) -> None:
    await people.add_list("long", "x" * LONGEST)
    assert await people.ask(mailing_list="long") is Asked.TAKEN


async def test_a_list_with_vague_third_parties_is_not_asked_for(people: People) -> None:
    await people.add_list("old", "News", third_parties="carefully selected partners")
    assert await people.opt_in.notice("shop", "old", "en") is None
    assert await people.ask(mailing_list="old") is Asked.UNKNOWN_NOTICE
    assert await people.events() == []


async def import_optout(people: People) -> None:
    from relay.store.people.imports import ImportRow

    imported = await people.store.imports.begin(
        "optout", people.shop.id, source_id=None, at=people.clock.now()
    )
    address = parse_address("jane@people.test")
    await people.store.imports.stage(
        imported, [ImportRow(1, people.store.keys(address), address.wire, people.clock.now())]
    )
    await people.store.imports.commit(imported)
