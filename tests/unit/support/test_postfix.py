"""The private Postfix takes mail on its port and passes it on."""

import pytest

from tests.support.postfix import Postfix, postfix_missing
from tests.support.smtp_client import send_mail
from tests.support.smtp_sink import SmtpSink


@pytest.mark.skipif(postfix_missing() is not None, reason=str(postfix_missing()))
async def test_a_private_postfix_relays_to_the_sink() -> None:
    async with SmtpSink() as sink:
        with Postfix(sink.port) as postfix:
            reply = await send_mail(
                postfix.port, "a@a.test", ["b@b.test"], b"From: a@a.test\r\n\r\nx\r\n"
            )
            assert reply.code == 250
            (mail,) = await sink.until(1)
            directory = postfix.directory
    assert mail.body == b"x\r\n"
    assert "by postfix.test (Postfix)" in (mail.get("Received") or "")
    assert not directory.exists()
