from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage, Message

import pytest

from relay.egress.dsn import failure_notice, wants_notice
from relay.model import Address, Copy, CopyState, Kind, StoredMessage

NOW = 1_800_000_000.0
MESSAGE = StoredMessage(
    id="M1",
    at=NOW - 3_600,
    tenant_id=1,
    list_id=None,
    kind=Kind.COMMERCIAL,
    declared=True,
    mail_from="bounces@t1.test",
    header=b"From: News <news@t1.test>\r\nSubject: Hello\r\nMessage-ID: <a@t1.test>\r\n\r\n",
    body_hash=b"",
    body_size=10,
    subject="Hello",
    from_address="news@t1.test",
)
NO_USER = ("5.1.1", "550 5.1.1 No such user")
BY_RULE = ("5.7.1", "No consent on record reason=no-consent https://relay.example/why/no-consent")


def copy(address: str, seq: int = 0) -> Copy:
    local, _, domain = address.rpartition("@")
    return Copy("M1", seq, Address(address, local, domain, address, address), CopyState.BOUNCED)


def notice(message: StoredMessage, *failures: tuple[Copy, str, str]) -> bytes:
    return failure_notice(
        message,
        failures,
        hostname="relay.example",
        now=NOW,
        unique="1800000000.1",
        operator_contact="postmaster@relay.example",
    )


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert not any(part.defects for part in message.walk())
    return message


def parts(raw: bytes) -> tuple[EmailMessage, list[Message], bytes]:
    """The human text, the groups of the status part, and the header block of the original."""
    text, status, header = parsed(raw).iter_parts()
    assert isinstance(text, EmailMessage)
    assert status.get_content_type() == "message/delivery-status"
    assert header.get_content_type() == "text/rfc822-headers"
    original = header.get_payload(decode=True)
    assert isinstance(original, bytes)
    return text, list(status.iter_parts()), original


def test_the_head() -> None:
    raw = notice(MESSAGE, (copy("gone@ok.test"), *NO_USER))
    message = parsed(raw)
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@relay.example>"
    assert message["To"] == "bounces@t1.test"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<1800000000.1@relay.example>"
    assert message["Date"].datetime.timestamp() == NOW
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_the_machine_part() -> None:
    _, groups, original = parts(
        notice(MESSAGE, (copy("gone@ok.test"), *NO_USER), (copy("no@ok.test", 1), *BY_RULE))
    )
    assert [group.items() for group in groups] == [
        [
            ("Reporting-MTA", "dns; relay.example"),
            ("Arrival-Date", "Fri, 15 Jan 2027 07:00:00 -0000"),
        ],
        [
            ("Final-Recipient", "rfc822; gone@ok.test"),
            ("Action", "failed"),
            ("Status", "5.1.1"),
            ("Diagnostic-Code", "smtp; 550 5.1.1 No such user"),
            ("Last-Attempt-Date", "Fri, 15 Jan 2027 08:00:00 -0000"),
        ],
        [
            ("Final-Recipient", "rfc822; no@ok.test"),
            ("Action", "failed"),
            ("Status", "5.7.1"),
            ("Diagnostic-Code", f"x-consent-relay; {BY_RULE[1]}"),
            ("Last-Attempt-Date", "Fri, 15 Jan 2027 08:00:00 -0000"),
        ],
    ]
    assert original == MESSAGE.header[:-2]


def test_the_human_part_says_what_why_and_what_to_do() -> None:
    text, _, _ = parts(
        notice(MESSAGE, (copy("gone@ok.test"), *NO_USER), (copy("no@ok.test", 1), *BY_RULE))
    )
    content = text.get_content()
    for words in (
        "Subject: Hello",
        "did not reach these recipients",
        "<gone@ok.test>",
        "The address does not exist",
        "550 5.1.1 No such user",
        "<no@ok.test>",
        "refused by a rule",
        "https://relay.example/why/no-consent",
        "postmaster@relay.example",
    ):
        assert words in content


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("5.2.2", "mailbox is full"),
        ("5.2.1", "does not take mail"),
        ("5.3.4", "too large"),
        ("5.4.7", "time for trying was over"),
        ("4.4.1", "time for trying was over"),
        ("5.6.7", "character set"),
        ("5.5.0", "will not help"),
    ],
)
def test_advice_fits_the_status(status: str, words: str) -> None:
    text, _, _ = parts(notice(MESSAGE, (copy("a@ok.test"), status, "what was said")))
    assert words in text.get_content().replace("\n", " ")


def test_nothing_from_outside_makes_a_line_of_its_own() -> None:
    raw = notice(
        replace(MESSAGE, subject="x\r\nBcc: evil@x.test"),
        (copy("a@ok.test"), "5.1.1", "550 x\r\n\r\nFinal-Recipient: rfc822; evil@x.test"),
    )
    _, groups, _ = parts(raw)
    assert len(groups) == 2
    assert b"\r\nBcc" not in raw
    assert b"\r\nFinal-Recipient: rfc822; evil" not in raw


def test_what_is_not_ascii_needs_no_8bitmime() -> None:
    header = "Subject: Grüße\r\nX: é\r\n\r\n".encode()
    raw = notice(
        replace(MESSAGE, subject="Grüße", header=header),
        (copy("jürgen@ok.test"), "5.1.1", "550 unbekannt: jürgen"),
    )
    assert raw.isascii()
    text, groups, original = parts(raw)
    assert "Subject: Grüße" in text.get_content()
    assert groups[1]["Final-Recipient"] == "utf-8; j\\x{FC}rgen@ok.test"
    assert groups[1]["Diagnostic-Code"] == "smtp; 550 unbekannt: j?rgen"
    assert original == header[:-2]


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({}, True),
        ({"mail_from": ""}, False),
        ({"kind": Kind.AUTO}, False),
        ({"header": b"Subject: x\r\nAUTO-submitted: auto-generated\r\n\r\n"}, False),
        ({"header": b"Auto-Submitted:\r\n auto-replied (vacation)\r\n\r\n"}, False),
        ({"header": b"Auto-Submitted: no\r\n\r\n"}, True),
        ({"header": b"Subject: Auto-Submitted: auto-replied\r\n\r\n"}, True),
    ],
)
def test_who_is_told(changed: dict[str, object], wanted: bool) -> None:
    assert wants_notice(replace(MESSAGE, **changed)) is wanted  # type: ignore[arg-type]
