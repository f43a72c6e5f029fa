"""What counts as a list, a mailbox, a client and a form when somebody signs up (S14)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.consent.sign_up_requests import (
    BY_API,
    form_of,
    language_near,
    mailbox_of,
    network_of,
    place_of,
)
from relay.model import Directory, Kind, MailingList, Party, Tenant, TenantState
from relay.web.asking import SignUpRequest

SHOP = Tenant(1, "shop", Party("Shop Ltd", "Main Street 1", "owner@shop.test"))
NEWS = MailingList(7, 1, "news", Kind.COMMERCIAL, "News", "1/week")
REQUEST = SignUpRequest(
    tenant="shop",
    mailing_list="news",
    address="jane@people.test",
    notice=None,
    language="en",
    ip="192.0.2.1",
    user_agent="",
    form_url="https://shop.test/",
    act="ticked the box and pressed the button",
)


def test_a_place_is_a_commercial_list_of_a_tenant_that_may_send() -> None:
    for tenant, mailing_list, there in (
        (SHOP, NEWS, True),
        (replace(SHOP, state=TenantState.SUSPENDED), NEWS, False),
        (SHOP, replace(NEWS, archived=True), False),
        (SHOP, replace(NEWS, kind=Kind.TRANSACTIONAL), False),
        (SHOP, replace(NEWS, tenant_id=2), False),
        (replace(SHOP, slug="club"), NEWS, False),
    ):
        directory = Directory(tenants={1: tenant}, lists={7: mailing_list})
        found = place_of(directory, "shop", "news")
        assert found == ((tenant, mailing_list) if there else None)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("jane@people.test", True),
        ("jane+bikes@people.test", True),
        ("jane@people", False),
        ("jane@[192.0.2.1]", False),
        ("jane", False),
        ("", False),
    ],
)
def test_mailboxes(text: str, taken: bool) -> None:
    assert (mailbox_of(text) is not None) is taken


def test_languages() -> None:
    assert [language_near(each) for each in ("nl", "nl-BE", "fr", "")] == ["nl", "nl", "en", "en"]


@pytest.mark.parametrize(
    ("ip", "act", "network"),
    [
        ("192.0.2.1", "click", "192.0.2.1"),
        ("2001:db8::5:6", "click", "2001:db8::/64"),
        ("192.0.2.1", BY_API, "1/192.0.2.1"),
    ],
)
def test_a_clients_network(ip: str, act: str, network: str) -> None:
    assert network_of(SHOP, replace(REQUEST, ip=ip, act=act)) == network


def test_a_form_is_its_address_without_what_a_person_put_into_it() -> None:
    same = {form_of(f"https://shop.test/form{rest}") for rest in ("", "?name=jane", "#top", "?")}
    assert len(same) == 1
    assert form_of("https://shop.test/other") not in same
