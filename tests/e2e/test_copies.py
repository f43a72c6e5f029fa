"""What leaves the relay: fields, signature, octets."""

import re

import pytest

from tests.support.dkim_dns import dkimpy_verifies, mailauth_missing, mailauth_verify
from tests.support.house import mail
from tests.support.relay_process import Relay
from tests.support.smtp_client import Reply, send_mail
from tests.support.smtp_sink import Received, SmtpSink

SIGNED = {
    *("from", "to", "cc", "subject", "date", "message-id", "reply-to"),
    *("mime-version", "content-type", "content-transfer-encoding"),
    *("list-unsubscribe", "list-unsubscribe-post", "list-id", "feedback-id"),
}


async def send(
    relay: Relay, recipients: list[str], content: bytes, login: str = "shop-news"
) -> Reply:
    reply = await send_mail(
        relay.smtp_port, "news@shop.test", recipients, content, login=relay.secrets[login]
    )
    assert reply.code == 250, str(reply)
    return reply


def signed_fields(message: Received) -> list[str]:
    signature = re.sub(r"\s", "", message.get("DKIM-Signature") or "")
    found = re.search(r";h=([^;]+)", signature)
    assert found is not None
    return found[1].lower().split(":")


async def test_a_commercial_copy_is_labelled_and_signed(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    content = mail(
        "labelled",
        sender="news@shop.test",
        headers=[
            "Message-ID: <labelled@shop.test>",
            "List-Unsubscribe: <https://elsewhere.test/u>",
            "Feedback-ID: theirs",
            "X-Consent-List: news",
            "X-Consent-Note: internal",
            "Bcc: hidden@ok.test",
            "Return-Path: <x@shop.test>",
        ],
    )
    await send(shared_relay, ["yes30@ok.test"], content)
    copy = shared_sink.wait_to("yes30@ok.test")

    (unsubscribe,) = copy.fields("List-Unsubscribe")
    assert re.fullmatch(rf"<{re.escape(shared_relay.public_url)}/u/[A-Za-z0-9._-]+>", unsubscribe)
    assert copy.fields("List-Unsubscribe-Post") == ["List-Unsubscribe=One-Click"]
    assert len(copy.fields("List-Id")) == 1
    assert copy.fields("Feedback-ID") == ["news:shop:commercial:consentrelay"]
    assert "by relay.test" in copy.fields("Received")[0]
    for gone in ("Bcc", "Return-Path", "X-Consent-List", "X-Consent-Note"):
        assert copy.fields(gone) == []
    assert copy.fields("Message-ID") == ["<labelled@shop.test>"]
    assert copy.body == b"One line.\r\n"
    assert copy.bare_newlines == 0

    assert "d=shop.test" in re.sub(r"\s", "", copy.get("DKIM-Signature") or "")
    fields = signed_fields(copy)
    assert set(fields) >= SIGNED
    for field in ("from", "to", "cc", "subject", "date", "message-id", "reply-to"):
        assert fields.count(field) == len(copy.fields(field)) + 1, f"{field} is not oversigned"
    assert dkimpy_verifies(copy.content, shared_relay.dkim_records("shop"))


async def test_each_recipient_has_a_copy_and_a_token_of_its_own(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    recipients = [f"yes{number}@ok.test" for number in (31, 32, 33)]
    await send(shared_relay, recipients, mail("three copies", sender="news@shop.test"))
    copies = [shared_sink.wait_to(one) for one in recipients]
    assert [copy.recipients for copy in copies] == [(one,) for one in recipients]
    assert len({copy.get("List-Unsubscribe") for copy in copies}) == 3
    records = shared_relay.dkim_records("shop")
    assert all(dkimpy_verifies(copy.content, records) for copy in copies)


async def test_personal_mail_leaves_as_one_copy_signed_and_without_list_fields(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    content = mail("personal", sender="office@shop.test")
    await send(shared_relay, ["p1@ok.test", "p2@ok.test"], content, login="shop")
    copy = shared_sink.wait_to("p1@ok.test")
    assert set(copy.recipients) == {"p1@ok.test", "p2@ok.test"}
    assert copy.fields("List-Unsubscribe") == []
    assert dkimpy_verifies(copy.content, shared_relay.dkim_records("shop"))


async def test_added_fields_break_the_signature(shared_relay: Relay, shared_sink: SmtpSink) -> None:
    await send(shared_relay, ["yes34@ok.test"], mail("kept", sender="news@shop.test"))
    copy = shared_sink.wait_to("yes34@ok.test").content
    records = shared_relay.dkim_records("shop")
    assert dkimpy_verifies(copy, records)
    for added in (
        b"From: other@club.test",
        b"Subject: other",
        b"Reply-To: other@club.test",
        b"List-Unsubscribe: <https://elsewhere.test/>",
        b"Content-Type: text/html",
    ):
        assert not dkimpy_verifies(added + b"\r\n" + copy, records), added


@pytest.mark.skipif(mailauth_missing() is not None, reason=str(mailauth_missing()))
async def test_a_second_implementation_verifies_whatever_web_software_sends(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    contents = {
        "yes40@ok.test": mail("plain", sender="news@shop.test"),
        "yes41@ok.test": mail("lf only", sender="news@shop.test", body="a\n\nb\n").replace(
            b"\r\n", b"\n"
        ),
        "yes42@ok.test": mail("long", sender="news@shop.test", body="x" * 5000 + "\r\n"),
        "yes43@ok.test": mail("dots", sender="news@shop.test", body=".\r\n..\r\n.x\r\n"),
        "yes44@ok.test": mail("tail", sender="news@shop.test", body="x \t\r\n\r\n\r\n"),
        "yes45@ok.test": mail("empty", sender="news@shop.test", body=""),
        "yes46@ok.test": mail("übung – ✓", sender="news@shop.test", body="grüße\r\n"),
    }
    records = shared_relay.dkim_records("shop")
    for recipient, content in contents.items():
        await send(shared_relay, [recipient], content)
        copy = shared_sink.wait_to(recipient)
        assert copy.bare_newlines == 0
        assert max(map(len, copy.content.split(b"\r\n"))) <= 998
        assert dkimpy_verifies(copy.content, records), copy.get("Subject")
        results = mailauth_verify(copy.content, records)
        assert [(one["domain"], one["result"]) for one in results] == [("shop.test", "pass")], (
            copy.get("Subject"),
            results,
        )


async def test_missing_date_and_message_id_are_added(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    content = b"From: news@shop.test\r\nTo: x@ok.test\r\n\r\nhi\r\n"
    await send(shared_relay, ["yes35@ok.test"], content)
    copy = shared_sink.wait_to("yes35@ok.test")
    assert len(copy.fields("Date")) == 1
    assert re.fullmatch(r"<[^<>@\s]+@[^<>@\s]+>", copy.fields("Message-ID")[0])


async def test_a_second_message_hidden_behind_a_lenient_end_stays_one(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    for number, end in enumerate((b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n")):
        recipient = f"yes{50 + number}@ok.test"
        hidden = b"MAIL FROM:<a@club.test>\r\nRCPT TO:<victim@ok.test>\r\nDATA\r\nSubject: x\r\n"
        content = mail(f"smuggle {number}", sender="news@shop.test") + end + hidden + b"\r\n"
        reply = await send_mail(
            shared_relay.smtp_port,
            "news@shop.test",
            [recipient],
            content,
            login=shared_relay.secrets["shop-news"],
        )
        assert reply.code == 250, str(reply)
        copy = shared_sink.wait_to(recipient)
        assert copy.bare_newlines == 0
        assert copy.lenient_ends == []
    assert shared_sink.to("victim@ok.test") == []
