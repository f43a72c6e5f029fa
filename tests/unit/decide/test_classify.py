from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.decide.address import parse_address
from relay.decide.classify import classify
from relay.model import Classification, Credential, Directory, Kind, MailingList, Reason, Refusal
from tests.unit.decide.samples import (
    BOUND,
    DIRECTORY,
    NEWS,
    OWN,
    SHOP,
    TALK,
    TENANT,
    message,
)

BULK = {"precedence": "bulk", "list_id": "something.acme.test"}


def run(
    credential: Credential = OWN,
    mail_from: str | None = "b@acme.test",
    recipients: int = 1,
    directory: Directory = DIRECTORY,
    **fields: Any,
) -> Classification | Refusal:
    return classify(
        message(**fields),
        credential=credential,
        tenant=TENANT,
        directory=directory,
        mail_from=parse_address(mail_from) if mail_from else None,
        recipients=recipients,
        bulk_recipients=20,
    )


def found(*args: Any, **fields: Any) -> Classification:
    result = run(*args, **fields)
    assert isinstance(result, Classification)
    return result


def from_(text: str) -> dict[str, Any]:
    return {"from_addresses": (parse_address(text),)}


def with_list(changed: MailingList) -> Directory:
    return replace(DIRECTORY, lists={**DIRECTORY.lists, changed.id: changed})


# --- Selecting the list ---------------------------------------------------------------------


def test_a_bound_credential_is_binding() -> None:
    result = found(BOUND, list_id="talk.acme.test", **from_("shop@acme.test"))
    assert result.mailing_list == NEWS
    assert (result.kind, result.declared) == (Kind.COMMERCIAL, True)
    assert found(BOUND, consent_list="News").mailing_list == NEWS


def test_header_list_id_and_from_address_select_in_that_order() -> None:
    shop = from_("shop@acme.test")
    assert found(**shop, list_id="talk.acme.test", consent_list="news").mailing_list == NEWS
    assert found(**shop, list_id="talk.acme.test").mailing_list == TALK
    assert found(**shop).mailing_list == SHOP
    assert found(**from_("Shop@Acme.test")).mailing_list == SHOP
    assert found(**from_("shop+x@acme.test")).mailing_list is None
    assert found().mailing_list is None


def test_several_authors_select_no_list() -> None:
    both = (parse_address("shop@acme.test"), parse_address("jan@acme.test"))
    assert found(from_addresses=both).mailing_list is None


@pytest.mark.parametrize(
    ("credential", "fields"),
    [
        (OWN, {"consent_list": "nope"}),
        (OWN, {"consent_list": "old"}),
        (OWN, {"consent_list": "theirs"}),
        (BOUND, {"consent_list": "shop"}),
        (replace(BOUND, list_id=14), {}),
        (replace(BOUND, list_id=21), {}),
        (replace(BOUND, list_id=99), {}),
    ],
)
def test_unknown_list(credential: Credential, fields: dict[str, Any]) -> None:
    result = run(credential, **fields)
    assert isinstance(result, Refusal)
    assert result.reason is Reason.UNKNOWN_LIST


def test_another_tenants_list_id_selects_nothing() -> None:
    assert found(list_id="theirs.other.test").kind is Kind.PERSONAL


# --- What needs consent ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"list_unsubscribe": "<https://x.test/u>"},
        {"list_unsubscribe_post": True},
        {"feedback_id": True},
        {"campaign_fields": ("x-campaignid",)},
        {"recipients": 21},
        BULK,
        {**BULK, "auto_submitted": "auto-generated", "recipients": 2},
        {"list_unsubscribe": "<https://x.test/u>", "auto_submitted": "auto-generated"},
        {"list_unsubscribe": "<x>", "mail_from": None, "auto_submitted": "auto-replied"},
    ],
)
def test_signals_make_unlabelled_mail_commercial(fields: dict[str, Any]) -> None:
    result = found(**fields)
    assert (result.kind, result.declared) == (Kind.COMMERCIAL, False)
    assert result.evidence


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"recipients": 20},
        {"precedence": "bulk"},
        {"precedence": "list", "list_id": "x.acme.test"},
        {"list_id": "x.acme.test"},
        {**BULK, "auto_submitted": "auto-generated"},
        {"mail_from": None},
        {"mail_from": None, "auto_submitted": "auto-replied", "recipients": 2},
        {"auto_submitted": "auto-generated"},
        {"consent_kind": "transactional"},
        {"consent_kind": "nonsense"},
    ],
)
def test_mail_without_signals_is_personal(fields: dict[str, Any]) -> None:
    result = found(**fields)
    assert (result.kind, result.declared) == (Kind.PERSONAL, False)


@pytest.mark.parametrize(
    "fields", [{"content_type": "multipart/report"}, {"auto_submitted": "auto-replied"}]
)
def test_bounces_and_automatic_replies(fields: dict[str, Any]) -> None:
    assert found(mail_from=None, **fields).kind is Kind.AUTO


def test_header_makes_stricter() -> None:
    for fields in ({}, {"consent_list": "shop"}, {"mail_from": None, "auto_submitted": "x"}):
        result = found(consent_kind="commercial", **fields)
        assert (result.kind, result.declared) == (Kind.COMMERCIAL, True)
    assert found(consent_kind="commercial", consent_list="shop").mailing_list == SHOP


def test_header_never_makes_laxer() -> None:
    result = found(consent_kind="transactional", consent_list="news")
    assert (result.kind, result.declared) == (Kind.COMMERCIAL, True)
    result = found(consent_kind="transactional", feedback_id=True)
    assert result.kind is Kind.COMMERCIAL


def test_null_sender_does_not_take_a_campaign_off_its_list() -> None:
    result = found(BOUND, mail_from=None, auto_submitted="auto-generated")
    assert result.kind is Kind.COMMERCIAL


# --- Transactional lists --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "unmarked", "unmarked_when_headers_ok"),
    [
        ({}, False, False),
        ({"list_unsubscribe": "<x>"}, True, False),
        ({"feedback_id": True}, True, False),
        (BULK, True, False),
        ({**BULK, "auto_submitted": "auto-generated"}, False, False),
        ({"recipients": 20}, False, False),
        ({"recipients": 21}, True, True),
    ],
)
def test_unmarked_bulk(
    fields: dict[str, Any], unmarked: bool, unmarked_when_headers_ok: bool
) -> None:
    strict = found(consent_list="shop", **fields)
    assert (strict.kind, strict.unmarked_bulk) == (Kind.TRANSACTIONAL, unmarked)
    lenient = found(
        consent_list="shop", directory=with_list(replace(SHOP, list_headers_ok=True)), **fields
    )
    assert (lenient.kind, lenient.unmarked_bulk) == (Kind.TRANSACTIONAL, unmarked_when_headers_ok)


# --- Discussion lists -----------------------------------------------------------------------


def test_a_list_servers_post_keeps_its_headers_and_needs_no_consent() -> None:
    result = found(
        list_id="talk.acme.test",
        precedence="bulk",
        list_unsubscribe="<x>",
        recipients=500,
        **from_("member@elsewhere.test"),
    )
    assert (result.kind, result.declared) == (Kind.DISCUSSION, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"consent_list": "talk"},
        {"consent_list": "talk", "list_id": "other.acme.test"},
        {"list_id": "talk.acme.test", "mail_from": "x@other.test"},
        {"list_id": "talk.acme.test", "mail_from": None},
    ],
)
def test_the_name_of_a_discussion_list_is_no_way_around_consent(fields: dict[str, Any]) -> None:
    result = found(recipients=21, **fields)
    assert (result.kind, result.mailing_list) == (Kind.COMMERCIAL, None)


@pytest.mark.parametrize(
    ("archived", "fields"),
    [(TALK, {"list_id": "talk.acme.test"}), (SHOP, from_("shop@acme.test"))],
)
def test_mail_of_an_archived_list_is_refused_and_never_personal(
    archived: MailingList, fields: dict[str, Any]
) -> None:
    refused = run(directory=with_list(replace(archived, archived=True)), **fields)
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.UNKNOWN_LIST
