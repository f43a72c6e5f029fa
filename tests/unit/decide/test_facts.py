from __future__ import annotations

import pytest

from relay.decide.facts import CAMPAIGN_FIELDS, read_message
from relay.model import Message


def read(*lines: str) -> Message:
    block = "".join(f"{line}\r\n" for line in (*lines, ""))
    return read_message(block.encode(), "relay.host.test")


def wires(message: Message) -> list[str]:
    return [address.wire for address in message.from_addresses]


def test_empty_block() -> None:
    message = read()
    assert message == Message(
        from_addresses=(),
        from_valid=False,
        sender=None,
        subject="",
        list_id=None,
        list_unsubscribe=None,
        list_unsubscribe_post=False,
        addressees=(),
        feedback_id=False,
        campaign_fields=(),
        precedence=None,
        auto_submitted=None,
        content_type="text/plain",
        received_count=0,
        own_received_count=0,
        consent_list=None,
        consent_kind=None,
    )


def test_usual_fields_in_any_case_and_folded() -> None:
    message = read(
        "FROM: =?utf-8?q?J=C3=B6rg?=",
        " <jorg@Acme.test>",
        "sender: Desk <desk@acme.test>",
        "Reply-To: a@acme.test, b@acme.test",
        "subject: =?utf-8?q?Hoi?=",
        "\tdaar",
        "Message-ID: <1@acme.test>",
        "List-ID: Our news <News.Acme.test>",
        "List-Unsubscribe: <https://acme.test/u>,",
        " <mailto:u@acme.test>",
        "To: A <a@people.test>",
        "Cc: B <b@people.test>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Feedback-ID: a:b:c:d",
        "X-CampaignID: 7",
        "Precedence: Bulk",
        "Auto-Submitted: Auto-Generated; x=y",
        "Content-Type: Multipart/Mixed; boundary=x",
        "X-Consent-List: news",
        "X-Consent-Kind: Commercial",
    )
    assert message.from_valid
    assert wires(message) == ["jorg@Acme.test"]
    assert message.sender is not None
    assert message.sender.exact == "desk@acme.test"
    assert message.subject == "Hoi daar"
    assert message.list_id == "news.acme.test"
    assert message.list_unsubscribe == "<https://acme.test/u>, <mailto:u@acme.test>"
    assert message.list_unsubscribe_post
    assert [address.wire for address in message.addressees] == ["a@people.test", "b@people.test"]
    assert message.feedback_id
    assert message.campaign_fields == ("x-campaignid",)
    assert message.precedence == "bulk"
    assert message.auto_submitted == "auto-generated"
    assert message.content_type == "multipart/mixed"
    assert (message.consent_list, message.consent_kind) == ("news", "commercial")


@pytest.mark.parametrize(
    "lines",
    [
        ("From: a@acme.test", "From: b@acme.test"),
        ("From: a@acme.test", "From : b@acme.test"),
        ("From: a@acme.test", "fRoM\t: b@acme.test"),
        ("From:",),
        ("From: undisclosed:;",),
        ("From: Jan",),
        ("From: a@acme.test, broken",),
        ("From: =?utf-8?q?victim=40bank.test?=",),
        ("From: a@acme.test", "Sender: nobody"),
        ("From: a@acme.test", "Sender: a@acme.test, b@acme.test"),
        ("From: a@acme.test", "Sender: a@acme.test", "Sender: b@other.test"),
        ("From: " + "(" * 2_000,),
        ("From: " + '"a" ' * 20_000,),
    ],
)
def test_illegible_senders_are_invalid(lines: tuple[str, ...]) -> None:
    assert not read(*lines).from_valid


def test_octets_that_are_no_utf8_make_from_invalid() -> None:
    assert not read_message(b"From: j\xf6rg@acme.test\r\n\r\n", "h").from_valid
    assert read_message(b"From: J\xf6rg <j@acme.test>\r\n\r\n", "h").from_valid


def test_the_body_is_not_read() -> None:
    message = read("From: a@acme.test", "", "From: b@other.test", "List-Unsubscribe: <x>")
    assert wires(message) == ["a@acme.test"]
    assert message.list_unsubscribe is None


def test_a_fold_belongs_to_its_own_field() -> None:
    message = read("X-Other: 1", " From: b@other.test", "From: a@acme.test")
    assert wires(message) == ["a@acme.test"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("no", None),
        ("No; x", None),
        ("no (really)", None),
        ("", None),
        ("auto-replied", "auto-replied"),
        ("auto-generated (cron)", "auto-generated"),
    ],
)
def test_auto_submitted(value: str, expected: str | None) -> None:
    assert read(f"Auto-Submitted: {value}").auto_submitted == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("<A.b>", "a.b"), ("Name <a.b>", "a.b"), ("a.b", "a.b"), ("<>", None), ("", None)],
)
def test_list_id(value: str, expected: str | None) -> None:
    assert read(f"List-Id: {value}").list_id == expected


def test_strictest_of_repeated_consent_kinds_counts() -> None:
    message = read("X-Consent-Kind: transactional", "X-Consent-Kind: COMMERCIAL")
    assert message.consent_kind == "commercial"
    assert read("X-Consent-Kind:").consent_kind is None


def test_received_lines_are_counted_ours_apart() -> None:
    message = read(
        "Received: from a by relay.host.test with ESMTP id 1; date",
        "Received: from a (b) by Relay.Host.Test.",
        " with ESMTP id 1; date",
        "Received: from relay.host.test by other.test; date",
        "Received: from a by notrelay.host.test; date",
        "Received: by relay.host.test; date",
    )
    assert (message.received_count, message.own_received_count) == (5, 3)


def test_headers_that_receipts_carry_too_are_no_campaign_signal() -> None:
    message = read(
        "X-SG-EID: 1", "X-Mailgun-Tag: reset", "X-MC-Tags: reset", "X-Mailjet-Campaign: reset"
    )
    assert message.campaign_fields == ()
    assert all(name == name.lower() for name in CAMPAIGN_FIELDS)
