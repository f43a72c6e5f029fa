"""Delivery: judged again, composed, signed, sent, recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from relay.model import Basis, CopyState, Kind, Outcome, Reason, Receipt, TenantState
from relay.pipeline.assess import Assessment
from relay.ports import Batch, DiskFull, StoreTrouble
from tests.unit.pipeline.conftest import RULEBOOKS, House, address, keys


async def test_an_opt_out_stops_mail_that_waits(house: House) -> None:
    await house.submit("yes@people.test")
    await house.leave("yes@people.test")
    await house.deliver()
    assert house.upstream.sent == []
    assert await house.state("message.1") == "dropped"
    assert [(copy, verdict.reason) for copy, verdict in house.seen.stops] == [
        ("message.1", Reason.WITHDRAWN)
    ]
    assert house.seen.after_optout == []


async def test_an_opt_out_while_the_mail_waits_for_a_connection_stops_it(house: House) -> None:
    await house.submit("yes@people.test")
    send = house.upstream.send

    async def crowded(envelope, content):  # type: ignore[no-untyped-def]
        await house.leave("yes@people.test")
        if not await envelope.still_wanted():
            return ()
        return await send(envelope, content)

    house.upstream.send = crowded  # type: ignore[method-assign]
    await house.deliver()
    assert house.upstream.sent == []
    assert await house.state("message.1") == "dropped"
    assert [verdict.reason for _, verdict in house.seen.stops] == [Reason.WITHDRAWN]


async def test_what_others_do_while_the_mail_waits_for_a_connection_stops_nothing(
    house: House,
) -> None:
    await house.submit("yes@people.test")
    send = house.upstream.send

    async def crowded(envelope, content):  # type: ignore[no-untyped-def]
        await house.consent("another@people.test")
        assert await envelope.still_wanted()
        return await send(envelope, content)

    house.upstream.send = crowded  # type: ignore[method-assign]
    await house.deliver()
    assert len(house.upstream.sent) == 1
    assert await house.state("message.1") == "sent"
    (bound,) = await delivered(house)
    assert bound["as_of"] == house.store.consents.last_event


@pytest.mark.parametrize("arrived", [-5.0, 5.0])
async def test_an_opt_out_during_the_transaction_is_no_alarm(house: House, arrived: float) -> None:
    """Also when it arrived before the mail left, and waited for the store until after."""
    await house.submit("yes@people.test")
    send = house.upstream.send

    async def leaving(envelope, content):  # type: ignore[no-untyped-def]
        receipts = await send(envelope, content)
        await house.store.consents.withdraw(
            house.tenant.id, keys("yes@people.test"), at=house.clock.now() + arrived, channel="page"
        )
        return receipts

    house.upstream.send = leaving  # type: ignore[method-assign]
    await house.deliver()
    assert len(house.upstream.sent) == 1
    assert house.seen.after_optout == []


async def test_mail_that_left_past_an_opt_out_is_an_alarm(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judge that answers from memory, as if the opt-out were not there."""
    await house.submit("yes@people.test")
    assess = house.assessor.assess
    old: list[Assessment] = []

    async def remembering(*given, **more):  # type: ignore[no-untyped-def]
        if more.get("as_of") is None and old:
            return old[0]
        old.append(await assess(*given, **more))
        return old[-1]

    monkeypatch.setattr(house.assessor, "assess", remembering)
    send = house.upstream.send

    async def later(envelope, content):  # type: ignore[no-untyped-def]
        await house.consent("someone@people.test")
        return await send(envelope, content)

    later_receipt = Receipt(Outcome.DEFERRED, 451, "4.3.0", "later", "up.test[127.0.0.1]:25")
    house.upstream.receipts["yes@people.test"] = later_receipt
    await house.consent("another@people.test")
    await house.deliver()
    house.upstream.receipts.clear()
    await house.leave("yes@people.test")
    house.upstream.send = later  # type: ignore[method-assign]
    await house.deliver()
    assert house.seen.after_optout == ["message.1"]


async def test_an_opt_out_while_the_judge_reads_stops_the_copy(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.submit("yes@people.test")
    await house.consent("another@people.test")
    acts = house.store.consents.acts
    left: list[bool] = []

    async def slow(tenant_id, wanted):  # type: ignore[no-untyped-def]
        found = await acts(tenant_id, wanted)
        if not left:
            left.append(True)
            await house.leave("yes@people.test")
        return found

    monkeypatch.setattr(house.store.consents, "acts", slow)
    await house.deliver()
    assert house.upstream.sent == []
    assert await house.state("message.1") == "dropped"


async def delivered(house: House) -> list[dict[str, object]]:
    """Each ``copy.delivered`` of the tenant: subject and data in one."""
    return [
        {"subject": event["subject"], **event["data"]}  # type: ignore[dict-item]
        async for event in house.store.ledger.export(house.tenant.id)
        if event["type"] == "copy.delivered"
    ]


async def test_a_delivered_commercial_copy_is_bound_to_its_consent_and_its_rules(
    house: House,
) -> None:
    consent = await house.consent("also@people.test")
    await house.submit("also@people.test")
    await house.deliver()
    (bound,) = await delivered(house)
    who = keys("also@people.test")
    assert bound == {
        "subject": {"exact": who.exact.hex(), "wide": who.wide.hex()},
        "copy": "message.1",
        "message_id": "message",
        "brand": None,
        "list": house.news.id,
        "consent": consent,
        "rulebooks": RULEBOOKS.policy(house.tenant.rulebooks).digest,
        "as_of": house.store.consents.last_event,
    }
    assert (await house.store.ledger.verify()).ok


async def test_it_is_bound_to_the_consent_that_let_it_go_in_the_end(house: House) -> None:
    await house.submit("yes@people.test")
    await house.leave("yes@people.test")
    house.clock.advance(5)
    again = await house.store.consents.grant(
        house.tenant.id,
        keys("yes@people.test"),
        basis=Basis.CONFIRMED,
        own_act=True,
        at=house.clock.now(),
        list_id=house.news.id,
    )
    await house.deliver()
    assert [bound["consent"] for bound in await delivered(house)] == [again]


async def test_mail_that_did_not_leave_or_is_not_commercial_is_not_bound(house: House) -> None:
    gone = Receipt(Outcome.REFUSED, 550, "5.1.1", "No such user", "up.test[127.0.0.1]:25")
    house.upstream.receipts["yes@people.test"] = gone
    await house.submit("yes@people.test")
    await house.submit("left@people.test", sender="orders@shop.test", name="receipt")
    await house.deliver()
    assert await house.state("receipt.1") == "sent"
    assert await delivered(house) == []


async def test_delivery_under_a_consent_keeps_it_alive(house: House) -> None:
    house.clock.advance(729 * 86_400)
    await house.submit("yes@people.test")
    await house.deliver()
    house.clock.advance(700 * 86_400)
    await house.submit("yes@people.test", name="second")
    await house.deliver()
    house.clock.advance(731 * 86_400)
    await house.submit("yes@people.test", name="third")
    await house.deliver()
    states = [await house.state(f"{name}.1") for name in ("message", "second", "third")]
    assert states == ["sent", "sent", "held"]
    record = await house.store.mail.record("third.1")
    assert record is not None
    assert record.reason is Reason.EXPIRED


OURS = (
    b"From: Shop <news@shop.test>\r\nTo: yes@people.test\r\nSubject: Please confirm\r\n"
    b"Auto-Submitted: auto-generated\r\n\r\nhttps://relay.test/c/secret\r\n"
)


async def test_what_became_of_our_own_mail_is_told_once_it_is_on_record(house: House) -> None:
    to = address("yes@people.test")
    assert await house.generated.post("ours", house.tenant, to, OURS)
    later = Receipt(Outcome.DEFERRED, 451, "4.3.0", "later", "up.test[127.0.0.1]:25")
    house.upstream.receipts["yes@people.test"] = later
    await house.deliver()
    house.upstream.receipts.clear()
    await house.deliver()
    assert [(message, receipt.code) for message, receipt in house.ours] == [
        ("ours", 451),
        ("ours", 250),
    ]
    await house.submit("yes@people.test")
    await house.deliver()
    assert len(house.ours) == 2


async def test_trouble_with_that_evidence_does_not_touch_the_delivery(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def locked(message_id: str, receipt: Receipt) -> None:
        raise StoreTrouble("the store is locked")

    monkeypatch.setattr(house.delivery, "_on_ours", locked)
    await house.generated.post("ours", house.tenant, address("yes@people.test"), OURS)
    await house.deliver()
    assert await house.state("ours.1") == "sent"
    assert "not in evidence" in caplog.text


async def test_our_own_mail_is_dropped_and_never_held(house: House) -> None:
    """Its body may hold a token that nobody who reviews held mail may see."""
    to = address("yes@people.test")
    await house.generated.post("ours", house.tenant, to, OURS)
    stored = await house.store.mail.message("ours")
    assert stored is not None
    assert (stored.ours, stored.kind) == (True, Kind.AUTO)
    await house.store.consents.suppress_bounce(
        house.tenant.id, keys("yes@people.test"), at=house.clock.now(), evidence={}
    )
    await house.deliver()
    assert house.upstream.sent == []
    assert await house.state("ours.1") == "dropped"
    events = [event async for event in house.store.ledger.export(house.tenant.id)]
    assert events[-1]["type"] == "copy.dropped"
    assert house.holds == []
    with pytest.raises(KeyError):
        await house.store.mail.body("ours")


async def test_somebody_elses_automatic_mail_is_not_ours(house: House) -> None:
    await house.submit(
        "yes@people.test",
        sender="orders@shop.test",
        mail_from=None,
        fields="Auto-Submitted: auto-replied\r\n",
    )
    stored = await house.store.mail.message("message")
    assert stored is not None
    assert not stored.ours
    await house.deliver()
    assert house.ours == []


async def test_mail_of_a_suspended_tenant_stays_and_goes_later(house: House) -> None:
    await house.submit("yes@people.test")
    await house.store.registry.change_tenant(replace(house.tenant, state=TenantState.SUSPENDED))
    await house.deliver()
    assert await house.state("message.1") == "waiting"
    await house.store.registry.change_tenant(house.tenant)
    await house.deliver()
    assert await house.state("message.1") == "sent"


async def test_deferred_mail_waits_and_is_judged_again(house: House) -> None:
    later = Receipt(Outcome.DEFERRED, 451, "4.3.0", "later", "up.test[127.0.0.1]:25")
    house.upstream.receipts["yes@people.test"] = later
    await house.submit("yes@people.test")
    await house.deliver()
    assert await house.state("message.1") == "waiting"
    assert house.waiting[0].next_at == house.clock.now() + 60
    house.upstream.receipts.clear()
    await house.leave("yes@people.test")
    await house.deliver()
    assert await house.state("message.1") == "dropped"


async def test_refused_mail_comes_back_as_a_report_and_never_to_the_null_sender(
    house: House,
) -> None:
    gone = Receipt(Outcome.REFUSED, 550, "5.1.1", "No such user", "up.test[127.0.0.1]:25")
    house.upstream.receipts["gone@people.test"] = gone
    await house.submit("gone@people.test", sender="orders@shop.test")
    await house.submit("gone@people.test", sender="orders@shop.test", mail_from=None, name="second")
    await house.deliver()
    await house.deliver()
    assert [await house.state(f"{name}.1") for name in ("message", "second")] == ["bounced"] * 2
    ((envelope, report),) = house.upstream.sent
    assert envelope.mail_from == ""
    assert envelope.recipients == ("bounces@shop.test",)
    assert b"Status: 5.1.1" in report


async def test_mail_past_its_lifetime_expires_with_a_report(house: House) -> None:
    down = Receipt(Outcome.DEFERRED, 0, "4.4.1", "no route", "none")
    house.upstream.receipts["yes@people.test"] = down
    await house.submit("yes@people.test")
    house.clock.advance(3_601)
    await house.deliver()
    await house.deliver()
    assert await house.state("message.1") == "expired"
    assert house.upstream.sent[0][0].recipients == ("bounces@shop.test",)


async def test_without_its_key_mail_waits(house: House, tmp_path: Path) -> None:
    (tmp_path / "dkim" / "shop.test" / "s1.pem").unlink()
    await house.submit("yes@people.test")
    await house.deliver()
    assert house.upstream.sent == []
    assert await house.state("message.1") == "waiting"


async def test_mail_of_one_transaction_leaves_in_one_and_stops_alone(house: House) -> None:
    """Twelve receipts share a transaction; a hard bounce of one in the meantime stops that one."""
    people = [f"person{number}@people.test" for number in range(12)]
    await house.submit(*people, sender="orders@shop.test")
    assert len(house.waiting) == 12
    await house.store.consents.suppress_bounce(
        house.tenant.id, keys(people[3]), at=house.clock.now(), evidence={}
    )
    batch = Batch(tuple(house.waiting))
    again = await house.delivery.attempt(batch)
    assert len(again) == 11
    await house.delivery.attempt(Batch(tuple(again)))
    ((envelope, _),) = house.upstream.sent
    assert len(envelope.recipients) == 11
    assert people[3] not in envelope.recipients
    states = {await house.state(f"message.{seq}") for seq in range(1, 13) if seq != 4}
    assert states == {CopyState.SENT.value}
    assert await house.state("message.4") == "held"


async def test_mail_that_can_never_be_signed_expires_with_a_report(
    house: House, tmp_path: Path
) -> None:
    (tmp_path / "dkim" / "shop.test" / "s1.pem").unlink()
    await house.submit("yes@people.test")
    house.clock.advance(3_601)
    await house.deliver()
    assert await house.state("message.1") == "expired"
    assert [item.message_id for item in house.waiting] == ["generated0"]


async def test_an_opt_out_while_the_copy_is_signed_still_stops_it(house: House) -> None:
    await house.submit("yes@people.test")
    sign = house.signer.sign

    async def leaving(domain: str, selector: str, header: bytes, body_hash: bytes) -> bytes:
        await house.leave("yes@people.test")
        return await sign(domain, selector, header, body_hash)

    house.signer.sign = leaving  # type: ignore[method-assign]
    await house.deliver()
    assert house.upstream.sent == []
    assert await house.state("message.1") == "dropped"


async def test_what_left_is_on_record_also_when_the_report_of_a_failure_cannot_be_stored(
    house: House,
) -> None:
    """Otherwise the retry would send it a second time."""
    gone = Receipt(Outcome.REFUSED, 550, "5.1.1", "No such user", "up.test[127.0.0.1]:25")
    house.upstream.receipts["gone@people.test"] = gone
    await house.submit("gone@people.test", "here@people.test", sender="orders@shop.test")

    async def full(*_: object) -> None:
        raise DiskFull("no room left")

    accept, house.store.mail.accept = house.store.mail.accept, full  # type: ignore[method-assign, assignment]
    batch = Batch(tuple(house.waiting))
    with pytest.raises(DiskFull):
        await house.delivery.attempt(batch)
    assert [await house.state(f"message.{seq}") for seq in (1, 2)] == ["waiting", "sent"]
    house.store.mail.accept = accept  # type: ignore[method-assign]
    await house.delivery.attempt(batch)
    assert await house.state("message.1") == "bounced"
    assert [envelope.recipients[-1] for envelope, _ in house.upstream.sent] == ["here@people.test"]


async def test_each_stage_is_timed(house: House) -> None:
    await house.submit("yes@people.test")
    await house.deliver()
    assert house.seen.stages == ["judge", "commit", "send"]
