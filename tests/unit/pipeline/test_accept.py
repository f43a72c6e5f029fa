"""Acceptance: n recipients in, n fates recorded, and what 250 stands for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from relay.model import Accepted, Action, Reason, Refusal, TenantState
from relay.ports import ContentProblem, StoreTrouble
from tests.unit.pipeline.conftest import House, open_house


async def test_each_recipient_of_a_newsletter_gets_a_fate(house: House) -> None:
    taken = await house.submit("yes@people.test", "never@people.test", "left@people.test")

    assert isinstance(taken, Accepted)
    assert [(v.action, v.reason) for v in taken.verdicts] == [
        (Action.DELIVER, None),
        (Action.QUARANTINE, Reason.NO_CONSENT),
        (Action.DROP, Reason.WITHDRAWN),
    ]
    assert [await house.state(f"message.{n}") for n in (1, 2, 3)] == ["waiting", "held", "dropped"]
    assert [item.seq for item in house.waiting] == [1]
    assert house.holds == [("shop", "message.2", Reason.NO_CONSENT)]


async def test_what_may_go_names_the_consent_that_allows_it(house: House) -> None:
    event = await house.consent("new@people.test")
    taken = await house.submit("new@people.test")
    assert isinstance(taken, Accepted)
    assert taken.verdicts[0].consent_event == event


async def test_a_drop_is_an_event_in_the_ledger(house: House) -> None:
    await house.submit("left@people.test")
    entries = [event async for event in house.store.ledger.export(house.tenant.id)]
    assert "copy.dropped" in {entry["type"] for entry in entries}


async def test_a_password_reset_reaches_a_person_who_left(house: House) -> None:
    taken = await house.submit("left@people.test", sender="orders@shop.test")
    assert isinstance(taken, Accepted)
    assert taken.verdicts[0].action is Action.DELIVER


async def test_a_foreign_from_is_refused_and_recorded(house: House) -> None:
    taken = await house.submit("yes@people.test", sender="ceo@bank.test")
    assert isinstance(taken, Accepted)
    assert taken.verdicts[0].reason is Reason.FOREIGN_SENDER
    assert await house.state("message.1") == "rejected"
    assert house.waiting == []


async def test_a_gateway_finds_the_tenant_by_the_from_domain(house: House) -> None:
    taken = await house.submit(
        "left@people.test", sender="orders@shop.test", credential=house.gateway, mail_from=None
    )
    assert isinstance(taken, Accepted)
    assert taken.verdicts[0].action is Action.DELIVER


async def test_a_gateway_holds_mail_of_nobody_for_the_operator(house: House) -> None:
    taken = await house.submit(
        "a@people.test", "b@people.test", sender="x@nobody.test", credential=house.gateway
    )
    assert isinstance(taken, Accepted)
    assert {v.reason for v in taken.verdicts} == {Reason.FOREIGN_SENDER}
    assert [await house.state(f"message.{n}") for n in (1, 2)] == ["held", "held"]
    assert house.holds[0][0] == "-"


async def test_an_unknown_list_is_refused(house: House) -> None:
    refused = await house.submit("yes@people.test", fields="X-Consent-List: nope\r\n")
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.UNKNOWN_LIST


async def test_a_suspended_tenant_on_a_gateway_is_turned_away(house: House) -> None:
    await house.store.registry.change_tenant(replace(house.tenant, state=TenantState.SUSPENDED))
    refused = await house.submit("yes@people.test", credential=house.gateway)
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.SUSPENDED


async def test_postmaster_of_our_host_is_the_operator_and_never_judged(house: House) -> None:
    taken = await house.submit("never@people.test", "postmaster@relay.test")
    assert isinstance(taken, Accepted)
    by_address = {verdict.recipient.wire: verdict.action for verdict in taken.verdicts}
    assert by_address == {
        "never@people.test": Action.QUARANTINE,
        "postmaster@host.test": Action.DELIVER,
    }


async def test_the_personal_cap_holds_also_for_messages_at_the_same_time(house: House) -> None:
    house.acceptance.settings = house.assessor.settings = house.settings.model_copy(
        update={
            "limits": house.settings.limits.model_copy(update={"personal_recipients_per_day": 3})
        }
    )
    sent = await asyncio.gather(
        *(
            house.submit(f"friend{n}@people.test", sender="me@shop.test", name=f"letter{n}")
            for n in range(5)
        )
    )
    actions = sorted(taken.verdicts[0].action for taken in sent if isinstance(taken, Accepted))
    assert actions == [Action.DELIVER] * 3 + [Action.QUARANTINE] * 2


async def test_refused_recipients_of_a_mixed_transaction_come_back_as_a_report(
    house: House,
) -> None:
    await house.store.registry.change_list(replace(house.news, action=Action.REJECT))
    taken = await house.submit("yes@people.test", "never@people.test")
    assert isinstance(taken, Accepted)
    assert [v.action for v in taken.verdicts] == [Action.DELIVER, Action.REJECT]
    await house.deliver()
    envelopes = [envelope for envelope, _ in house.upstream.sent]
    report = next(content for envelope, content in house.upstream.sent if not envelope.mail_from)
    assert ("bounces@shop.test",) in [envelope.recipients for envelope in envelopes]
    assert b"reason=no-consent" in report
    assert b"Final-Recipient: rfc822; never@people.test" in report


async def test_refused_recipients_of_the_null_sender_are_held(house: House) -> None:
    await house.store.registry.change_list(replace(house.news, action=Action.REJECT))
    taken = await house.submit("yes@people.test", "never@people.test", mail_from=None)
    assert isinstance(taken, Accepted)
    assert [v.action for v in taken.verdicts] == [Action.DELIVER, Action.QUARANTINE]


@pytest.mark.parametrize(
    ("mail_from", "action"), [("bounces@shop.test", Action.REJECT), (None, Action.DROP)]
)
async def test_with_reject_whoever_can_be_told_is_told_that_a_person_has_left(
    house: House, mail_from: str | None, action: Action
) -> None:
    await house.store.registry.change_list(replace(house.news, action=Action.REJECT))
    taken = await house.submit("left@people.test", mail_from=mail_from)
    assert isinstance(taken, Accepted)
    (verdict,) = taken.verdicts
    assert (verdict.action, verdict.reason) == (action, Reason.WITHDRAWN)


async def test_with_reject_mail_that_waits_when_the_person_leaves_is_dropped(house: House) -> None:
    await house.store.registry.change_list(replace(house.news, action=Action.REJECT))
    await house.submit("yes@people.test")
    await house.leave("yes@people.test")
    await house.deliver()
    assert house.upstream.sent == []
    assert await house.state("message.1") == "dropped"


async def test_over_its_rate_mail_is_taken_and_says_that_it_waits(tmp_path: Path) -> None:
    house = await open_house(tmp_path, rate="10/hour,burst=1")
    house.throttle.take(house.tenant.id, "people.test", 1, house.clock.now())
    taken = await house.submit("yes@people.test")
    assert isinstance(taken, Accepted)
    assert (taken.verdicts[0].action, taken.verdicts[0].reason) == (Action.DELAY, Reason.RATE)
    assert await house.state("message.1") == "waiting"
    await house.signer.close()
    await house.store.close()


async def test_over_quota_mail_to_hold_is_refused_and_other_mail_comes_later(house: House) -> None:
    limits = house.settings.limits.model_copy(update={"quota_messages": 1})
    house.acceptance.settings = house.settings.model_copy(update={"limits": limits})
    await house.submit("never@people.test", name="first")
    held = await house.submit("never@people.test", name="second")
    fine = await house.submit("yes@people.test", name="third")
    assert isinstance(held, Accepted)
    assert (held.verdicts[0].action, held.verdicts[0].reason) == (Action.REJECT, Reason.NO_CONSENT)
    assert isinstance(fine, Refusal)
    assert fine.reason is Reason.QUOTA
    assert "limit" in fine.text


@pytest.mark.parametrize(("body", "problem"), [("a\0b\r\n", "nul")])
async def test_content_that_cannot_be_mended(house: House, body: str, problem: str) -> None:
    with pytest.raises(ContentProblem) as refused:
        await house.submit("yes@people.test", body=body)
    assert refused.value.problem == problem
    assert await house.store.mail.message("message") is None


async def test_nothing_is_taken_when_the_report_of_its_refusals_cannot_be_stored(
    house: House,
) -> None:
    """The client is told 451 and sends all of it again: none of it may be on its way already."""
    await house.store.registry.change_list(replace(house.news, action=Action.REJECT))

    async def broken(*_: object) -> None:
        raise StoreTrouble("locked")

    house.generated.post = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(StoreTrouble):
        await house.submit("yes@people.test", "never@people.test")
    assert await house.store.mail.message("message") is None
    assert house.waiting == []


async def test_mail_of_nobody_has_a_quota_too(house: House) -> None:
    limits = house.settings.limits.model_copy(update={"quota_messages": 1})
    house.acceptance.settings = house.settings.model_copy(update={"limits": limits})
    for name, kept in (("first", True), ("second", False)):
        outcome = await house.submit(
            "a@people.test",
            sender="x@nobody.test",
            credential=house.gateway,
            mail_from=None,
            name=name,
        )
        assert isinstance(outcome, Accepted if kept else Refusal)
    assert isinstance(outcome, Refusal)
    assert outcome.reason is Reason.QUOTA
