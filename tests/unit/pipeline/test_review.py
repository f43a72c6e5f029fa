"""A release puts a copy back at the judge."""

from __future__ import annotations

import pytest

from relay.model import Action, Kind, Reason
from tests.unit.pipeline.conftest import House, address


async def test_a_release_without_consent_stays_held(house: House) -> None:
    await house.submit("never@people.test")
    verdict = await house.review.release("message.1", None, "please")
    assert (verdict.action, verdict.reason) == (Action.QUARANTINE, Reason.NO_CONSENT)
    assert await house.state("message.1") == "held"


async def test_consent_that_came_meanwhile_lets_it_go(house: House) -> None:
    await house.submit("never@people.test")
    await house.consent("never@people.test")
    verdict = await house.review.release("message.1", None, "consented by now")
    assert verdict.action is Action.DELIVER
    await house.deliver()
    assert await house.state("message.1") == "sent"


async def test_a_person_says_what_it_is(house: House) -> None:
    await house.submit("never@people.test")
    await house.review.release("message.1", Kind.TRANSACTIONAL, "a receipt, I looked")
    await house.deliver()
    assert await house.state("message.1") == "sent"
    events = [event async for event in house.store.ledger.export(house.tenant.id)]
    assert "copy.released" in {event["type"] for event in events}


async def test_no_word_of_anybody_leads_declared_commercial_mail_past_an_opt_out(
    house: House,
) -> None:
    await house.submit("never@people.test")
    await house.leave("never@people.test")
    verdict = await house.review.release("message.1", Kind.TRANSACTIONAL, "let it pass")
    assert verdict.reason is Reason.WITHDRAWN
    assert house.waiting == []


async def test_unmarked_bulk_stays_held_until_a_person_says_what_it_is(house: House) -> None:
    await house.submit(
        "never@people.test",
        sender="orders@shop.test",
        fields="List-Unsubscribe: <https://shop.test/leave>\r\n",
    )
    again = await house.review.release("message.1", None, "no reason")
    assert again.reason is Reason.UNMARKED_BULK
    said = await house.review.release("message.1", Kind.TRANSACTIONAL, "a receipt")
    assert said.action is Action.DELIVER


@pytest.mark.parametrize("copy_id", ["message.1", "message.9", "message.x", "nothing"])
async def test_only_held_copies_can_be_released(house: House, copy_id: str) -> None:
    await house.submit("yes@people.test")
    with pytest.raises(KeyError):
        await house.review.release(copy_id, None, "")


async def test_explain_takes_nothing_and_says_why(house: House) -> None:
    content = b"From: news@shop.test\r\nSubject: Hi\r\n\r\nHello\r\n"
    said = await house.review.explain(
        house.tenant, content, address("a@shop.test"), [address("left@people.test")], None
    )
    assert isinstance(said, dict)
    (person,) = said["recipients"]  # type: ignore[misc]
    assert person["action"] == "drop"  # type: ignore[index]
    assert person["reason"] == "withdrawn"  # type: ignore[index]
    assert await house.store.mail.message("explain") is None
