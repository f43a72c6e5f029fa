from __future__ import annotations

from typing import Any

import pytest

from relay.decide.address import parse_address
from relay.decide.sender import (
    find_tenant,
    from_is_owned,
    internal_recipient,
    mail_from_refusal,
)
from relay.model import Credential, Kind, Reason, Tenant
from tests.unit.decide.samples import DIRECTORY, GATEWAY, OTHER, OWN, TENANT, message

OPERATOR_DOMAINS = ("ops.test",)


def authors(*texts: str) -> dict[str, Any]:
    return {"from_addresses": tuple(parse_address(text) for text in texts)}


def test_a_tenant_credential_names_its_tenant_whatever_the_message_says() -> None:
    assert find_tenant(OWN, message(**authors("x@other.test")), DIRECTORY) is TENANT


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("x@acme.test",), TENANT),
        (("x@Sub.Acme.TEST.",), TENANT),
        (("x@other.test",), OTHER),
        (("x@acme.test", "y@sub.acme.test"), TENANT),
        (("x@acme.test", "y@other.test"), None),
        (("x@nobody.test",), None),
        (("x@notacme.test",), None),
        (("x@[192.0.2.1]",), None),
    ],
)
def test_a_gateway_finds_the_tenant_by_the_from_domain(
    texts: tuple[str, ...], expected: Tenant | None
) -> None:
    assert find_tenant(GATEWAY, message(**authors(*texts)), DIRECTORY) is expected


def test_a_gateway_finds_nobody_when_from_is_illegible() -> None:
    assert find_tenant(GATEWAY, message(from_valid=False), DIRECTORY) is None


@pytest.mark.parametrize(
    ("credential", "mail_from", "allowed"),
    [
        (OWN, None, True),
        (OWN, "b@acme.test", True),
        (OWN, "b@sub.acme.test", True),
        (OWN, "b@other.test", False),
        (OWN, "b@ops.test", False),
        (OWN, "b@nobody.test", False),
        (GATEWAY, None, True),
        (GATEWAY, "b@acme.test", True),
        (GATEWAY, "b@other.test", True),
        (GATEWAY, "www@web01.ops.test", True),
        (GATEWAY, "b@nobody.test", False),
    ],
)
def test_mail_from(credential: Credential, mail_from: str | None, allowed: bool) -> None:
    address = parse_address(mail_from) if mail_from else None
    refusal = mail_from_refusal(credential, address, DIRECTORY, OPERATOR_DOMAINS)
    assert (refusal is None) is allowed
    if refusal is not None:
        assert refusal.reason is Reason.FOREIGN_SENDER


@pytest.mark.parametrize(
    ("froms", "sender", "mail_from", "owned"),
    [
        (("a@acme.test",), None, "b@acme.test", True),
        (("a@acme.test",), None, None, True),
        (("a@sub.acme.test",), "d@acme.test", None, True),
        (("a@acme.test", "b@acme.test"), None, None, True),
        (("a@acme.test", "b@other.test"), None, None, False),
        (("a@other.test",), None, "b@acme.test", False),
        (("a@acme.test",), "d@other.test", None, False),
        (("a@acme.test",), None, "b@other.test", False),
        (("a@acme.test",), None, "b@web01.ops.test", True),
        (("a@acme.test",), None, "b@host.test", True),
    ],
)
def test_from_is_owned(
    froms: tuple[str, ...], sender: str | None, mail_from: str | None, owned: bool
) -> None:
    read = message(**authors(*froms), sender=parse_address(sender) if sender else None)
    envelope = parse_address(mail_from) if mail_from else None
    assert from_is_owned(TENANT, read, envelope, DIRECTORY) is owned


def test_an_illegible_from_is_nobodys() -> None:
    assert not from_is_owned(TENANT, message(from_valid=False), None, DIRECTORY)


@pytest.mark.parametrize(
    ("kind", "mail_from", "owned"),
    [
        (Kind.DISCUSSION, "talk-bounces@acme.test", True),
        (Kind.DISCUSSION, "talk-bounces@other.test", False),
        (Kind.DISCUSSION, None, False),
        (Kind.COMMERCIAL, "talk-bounces@acme.test", False),
        (None, "talk-bounces@acme.test", False),
    ],
)
def test_only_a_discussion_post_may_come_from_a_member(
    kind: Kind | None, mail_from: str | None, owned: bool
) -> None:
    envelope = parse_address(mail_from) if mail_from else None
    read = message(**authors("member@elsewhere.test"))
    assert from_is_owned(TENANT, read, envelope, DIRECTORY, kind) is owned


@pytest.mark.parametrize(
    ("recipient", "internal"),
    [
        ("x@acme.test", True),
        ("x@sub.acme.test", True),
        ("Boss@acme-contact.test", True),
        ("boss+tag@acme-contact.test", False),
        ("x@acme-contact.test", False),
        ("root@web01.ops.test", True),
        ("noc@noc.test", True),
        ("x@other.test", False),
        ("x@example.test", False),
    ],
)
def test_internal_recipient(recipient: str, internal: bool) -> None:
    found = internal_recipient(
        parse_address(recipient), TENANT, DIRECTORY, OPERATOR_DOMAINS, "noc@noc.test"
    )
    assert found is internal


def test_a_contact_that_is_no_mailbox_matches_nobody() -> None:
    recipient = parse_address("x@example.test")
    assert not internal_recipient(recipient, TENANT, DIRECTORY, (), "call us")
