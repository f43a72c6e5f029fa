from dataclasses import replace

import pytest

from relay.model import Address, Client, Credential, Submission
from relay.transform.headers import HeaderBlock
from relay.transform.received import received_field

WHEN = 1_795_327_200.0
RECIPIENT = Address("b@example.org", "b", "example.org", "b@example.org", "b@example.org")
CLIENT = Client(
    ip="192.0.2.7",
    port=4321,
    helo="shop.example.com",
    listener="smtp",
    tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
    credential=Credential(1, "acme-shop", 1),
    authenticated=True,
)
SUBMISSION = Submission("4XyZ", WHEN, CLIENT, None, (RECIPIENT,), b"", b"")


def show(submission: Submission) -> str:
    return received_field(submission, "relay.example.net", WHEN).decode()


def test_the_whole_field():
    assert show(SUBMISSION) == (
        "Received: from shop.example.com (unknown [192.0.2.7])\r\n"
        "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n"
        "\t(Authenticated sender: acme-shop)\r\n"
        "\tby relay.example.net (consent-relay) with ESMTPSA id 4XyZ\r\n"
        "\tfor <b@example.org>;\r\n"
        "\tSun, 22 Nov 2026 06:00:00 +0000\r\n"
    )


def test_with_several_recipients_none_is_named():
    assert "for <" not in show(replace(SUBMISSION, recipients=(RECIPIENT, RECIPIENT)))


@pytest.mark.parametrize(
    ("client", "smtputf8", "keyword"),
    [
        ({"esmtp": False, "tls": None, "authenticated": False}, False, "SMTP"),
        ({"tls": None, "authenticated": False}, False, "ESMTP"),
        ({"tls": None}, False, "ESMTPA"),
        ({"authenticated": False}, False, "ESMTPS"),
        ({}, False, "ESMTPSA"),
        ({"tls": None, "authenticated": False}, True, "UTF8SMTP"),
        ({}, True, "UTF8SMTPSA"),
    ],
)
def test_the_protocol_keyword(client, smtputf8, keyword):
    shown = show(replace(SUBMISSION, client=replace(CLIENT, **client), smtputf8=smtputf8))
    assert f" with {keyword} id 4XyZ" in shown


def test_admission_by_network_names_no_sender():
    assert "Authenticated" not in show(
        replace(SUBMISSION, client=replace(CLIENT, authenticated=False))
    )


def test_ipv6_is_an_address_literal():
    assert "(unknown [IPv6:2001:db8::1])" in show(
        replace(SUBMISSION, client=replace(CLIENT, ip="2001:db8::1"))
    )


@pytest.mark.parametrize("octets", ["a\r\nBcc: x", "a\0b", "a) by evil (", "a\u2028b", "é\x85", ""])
def test_nothing_that_a_client_chose_can_make_a_field_or_a_comment(octets):
    client = replace(CLIENT, helo=octets, tls=f"TLS {octets}", credential=Credential(1, octets, 1))
    strange = replace(RECIPIENT, wire=octets + "@example.org")
    raw = received_field(
        replace(SUBMISSION, client=client, recipients=(strange,)), "relay.example.net", WHEN
    )
    (found,) = HeaderBlock.parse(raw).fields
    assert found.name == "received"
    assert found.raw.isascii()
    assert raw.count(b"(") == raw.count(b")") == 4
    assert b"\0" not in raw


def test_an_internationalised_recipient_shows_only_under_smtputf8():
    strange = replace(RECIPIENT, wire="é@example.org")
    submission = replace(SUBMISSION, recipients=(strange,))
    assert "for <" not in show(submission)
    assert "for <é@example.org>" in show(replace(submission, smtputf8=True))


def test_a_boundless_helo_is_cut():
    raw = received_field(
        replace(SUBMISSION, client=replace(CLIENT, helo="h" * 5000)), "relay.example.net", WHEN
    )
    assert max(len(line) for line in raw.split(b"\r\n")) < 400
