from dataclasses import replace

import pytest

from relay.model import Kind, MailingList, Party, StoredMessage, Tenant
from relay.transform.compose import compose
from relay.transform.headers import HeaderBlock

TENANT = Tenant(1, "acme", Party("Acme", "Street 1", "info@example.com"))
NEWS = MailingList(1, 1, "news", Kind.COMMERCIAL, "News", "1/week")
URL = "https://relay.example.net/u/token"
HEADER = (
    b"Received: from a by relay.example.net; date\r\n"
    b"From: a@example.com\r\n"
    b"List-Unsubscribe: <mailto:out@example.com>,\r\n <https://list.example.com/out>\r\n"
    b"list-unsubscribe-post: List-Unsubscribe=One-Click\r\n"
    b"Feedback-ID: a:b:c:mailer\r\nCFBL-Address: fbl@example.com\r\nCFBL-Feedback-ID: 1\r\n"
    b"List-Id: News <own.example.com>\r\nList-Help: <https://list.example.com/help>\r\n"
    b"Subject: hello\r\n\r\n"
)


def composed(header: bytes = HEADER, kind: Kind = Kind.COMMERCIAL, **other: object) -> bytes:
    message = StoredMessage(
        id="4XyZ",
        at=0.0,
        tenant_id=1,
        list_id=1,
        kind=kind,
        declared=True,
        mail_from="a@example.com",
        header=header,
        body_hash=b"",
        body_size=0,
        subject="hello",
        from_address="a@example.com",
    )
    arguments = {
        "tenant": TENANT,
        "mailing_list": NEWS,
        "unsubscribe_url": URL,
        "hostname": "relay.example.net",
        "feedback_id": "consentrelay",
    }
    return compose(message, kind=kind, **(arguments | other))  # type: ignore[arg-type]


def test_commercial_mail_leaves_with_our_fields_in_place_of_the_clients():
    assert composed() == (
        b"Received: from a by relay.example.net; date\r\n"
        b"From: a@example.com\r\n"
        b"List-Help: <https://list.example.com/help>\r\n"
        b"Subject: hello\r\n"
        b"List-Unsubscribe: <https://relay.example.net/u/token>\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        b"Feedback-ID: news:acme:commercial:consentrelay\r\n"
        b"List-Id: <news.acme.relay.example.net>\r\n"
        b"\r\n"
    )


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.COMMERCIAL])
def test_mail_of_any_other_kind_leaves_as_it_is_stored(kind):
    assert composed(kind=kind) == HEADER


def test_without_an_unsubscribe_url_nothing_changes():
    assert composed(unsubscribe_url=None) == HEADER


def test_the_registered_list_id_stays_as_the_client_wrote_it():
    registered = replace(NEWS, list_id="own.example.com")
    block = HeaderBlock.parse(composed(mailing_list=registered))
    assert block.get("list-id") == (b"News <own.example.com>",)


def test_a_list_id_said_twice_is_said_once():
    registered = replace(NEWS, list_id="own.example.com")
    twice = HEADER.replace(b"Subject:", b"List-Id: <own.example.com>\r\nSubject:")
    block = HeaderBlock.parse(composed(twice, mailing_list=registered))
    assert block.get("list-id") == (b"<own.example.com>",)


def test_without_a_list_the_clients_list_id_stays():
    block = HeaderBlock.parse(composed(mailing_list=None))
    assert block.get("list-id") == (b"News <own.example.com>",)
    assert block.get("feedback-id") == (b"none:acme:commercial:consentrelay",)


def signed(names: bytes, header: bytes = HEADER) -> bytes:
    return b"DKIM-Signature: v=1; d=example.com; h=" + names + b"; b=x\r\n" + header


def test_the_tenants_own_signature_goes_only_when_we_broke_it():
    assert b"DKIM-Signature" in composed(signed(b"From:Subject:List-Help"))
    assert b"DKIM-Signature" not in composed(signed(b"From:List-Unsubscribe"))
    assert b"DKIM-Signature" not in composed(signed(b"From:List-Id"))
    bare = b"From: a@example.com\r\n\r\n"
    assert b"DKIM-Signature" not in composed(signed(b"From:Feedback-ID", bare))
    assert b"DKIM-Signature" in composed(signed(b"From:List-Unsubscribe"), Kind.TRANSACTIONAL)


def test_a_url_that_cannot_stand_in_a_field_is_an_error():
    with pytest.raises(ValueError, match="URL"):
        composed(unsubscribe_url="https://a.example/\r\nBcc: x")
