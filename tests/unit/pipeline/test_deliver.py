"""Delivery: judged again, composed, signed, sent, recorded."""

from __future__ import annotations

import email
from dataclasses import replace
from pathlib import Path

import dkim
import pytest

from relay.model import CopyState, Outcome, Reason, Receipt, TenantState
from relay.ports import Batch, DiskFull
from relay.transform.sign import dns_record
from tests.unit.pipeline.conftest import KEY, House, keys


def verifies(content: bytes) -> bool:
    """Whether stock dkimpy accepts the first signature."""
    record = dns_record(KEY).encode()
    return bool(dkim.verify(content, dnsfunc=lambda name, timeout=5: record))


async def test_a_commercial_copy_leaves_with_unsubscribe_and_signature(house: House) -> None:
    await house.submit("yes@people.test", body="Body, exactly.\r\n")
    await house.deliver()
    ((envelope, content),) = house.upstream.sent
    sent = email.message_from_bytes(content)
    assert envelope.mail_from == "bounces@shop.test"
    assert envelope.recipients == ("yes@people.test",)
    assert sent["List-Unsubscribe"].startswith("<http://127.0.0.1:8080/u/v1.k1.")
    assert sent["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert sent["List-Id"] == "<news.shop.relay.test>"
    assert sent["Feedback-ID"].startswith("news:shop:commercial:")
    assert content.endswith(b"\r\n\r\nBody, exactly.\r\n")
    assert verifies(content)
    assert await house.state("message.1") == "sent"


async def test_every_commercial_copy_has_a_token_of_its_own(house: House) -> None:
    await house.consent("also@people.test")
    await house.submit("yes@people.test", "also@people.test")
    await house.deliver()
    links = {
        email.message_from_bytes(content)["List-Unsubscribe"] for _, content in house.upstream.sent
    }
    assert len(house.upstream.sent) == len(links) == 2


async def test_transactional_mail_leaves_signed_and_without_list_fields(house: House) -> None:
    await house.submit("left@people.test", sender="orders@shop.test")
    await house.deliver()
    ((_, content),) = house.upstream.sent
    assert email.message_from_bytes(content)["List-Unsubscribe"] is None
    assert verifies(content)


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


async def test_an_opt_out_during_the_transaction_is_noticed(house: House) -> None:
    """The copy was handed over before the opt-out: no alarm; the same after it: alarm."""
    await house.submit("yes@people.test")
    send = house.upstream.send

    async def leaving(envelope, content):  # type: ignore[no-untyped-def]
        receipts = await send(envelope, content)
        await house.leave("yes@people.test")
        return receipts

    house.upstream.send = leaving  # type: ignore[method-assign]
    await house.deliver()
    assert len(house.upstream.sent) == 1
    assert house.seen.after_optout == []


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
