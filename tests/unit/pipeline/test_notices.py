"""Telling a tenant of held mail: seldom, and once."""

from __future__ import annotations

from relay.model import Reason
from tests.unit.pipeline.conftest import House

DAY = 86_400


async def sent(house: House) -> list[bytes]:
    await house.deliver()
    return [content for envelope, content in house.upstream.sent if not envelope.mail_from]


async def test_the_first_hold_of_a_day_is_told_at_once_and_only_the_first(house: House) -> None:
    for _ in range(3):
        await house.notices.first_hold(house.tenant, "message.1", "Hi\u202e", Reason.NO_CONSENT)
    (notice,) = await sent(house)
    assert b"To: owner@contact.test" in notice
    assert b"Auto-Submitted: auto-generated" in notice
    assert b"message.1" in notice
    assert b"/why/no-consent" in notice


async def test_yesterdays_holds_make_one_digest(house: House) -> None:
    await house.submit("a@people.test", "b@people.test")
    await house.notices.digests()
    assert await sent(house) == []
    house.clock.advance(DAY)
    await house.notices.digests()
    await house.notices.digests()
    (digest,) = await sent(house)
    assert b"2  no-consent" in digest
    assert b"message.1" in digest
    assert b"message.2" in digest


async def test_what_expires_is_told(house: House) -> None:
    await house.submit("a@people.test")
    house.clock.advance(31 * DAY)
    gone = await house.store.mail.expire_held(house.clock.now())
    await house.notices.expired(gone)
    (notice,) = await sent(house)
    assert b"Subject: 1 held messages were deleted" in notice


async def test_a_notice_is_never_answered_by_a_notice(house: House) -> None:
    """Mail of ours has the null sender, so its failure ends there."""
    from relay.model import Outcome, Receipt

    gone = Receipt(Outcome.REFUSED, 550, "5.1.1", "no", "up.test[127.0.0.1]:25")
    house.upstream.receipts["owner@contact.test"] = gone
    await house.notices.first_hold(house.tenant, "message.1", "Hi", Reason.NO_CONSENT)
    await house.deliver()
    await house.deliver()
    assert house.upstream.sent == []
    assert house.waiting == []
