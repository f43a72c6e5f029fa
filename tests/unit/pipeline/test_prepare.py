"""What leaves: header fields for this recipient, and a signature that holds."""

from __future__ import annotations

import email

import dkim

from relay.transform.sign import dns_record
from tests.unit.pipeline.conftest import KEY, House


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
