"""Our letters go out under an address that we may sign for, in the sender's name (B24)."""

from __future__ import annotations

import pytest

from relay.consent.sender_of import Sender, own_sender, sender_of
from relay.model import Brand, Directory, Kind, MailingList, Party, SenderDomain, Tenant

BRAND = Brand(1, 1, "fast", "Fast Wheels")


def tenant(contact: str) -> Tenant:
    return Tenant(1, "shop", Party("Shop Ltd", "Main Street 1", contact))


def mailing_list(from_address: str | None, brand_id: int | None = None) -> MailingList:
    return MailingList(
        *(1, 1, "news", Kind.COMMERCIAL, "News", "1/week"),
        from_address=from_address,
        brand_id=brand_id,
    )


@pytest.mark.parametrize(
    ("listed", "contact", "domains", "address"),
    [
        ("news@shop.test", "owner@shop.test", {"shop.test": 1}, "news@shop.test"),
        ("news@mail.shop.test", "o@x.test", {"shop.test": 1}, "news@mail.shop.test"),
        ("news@lost.test", "owner@shop.test", {"shop.test": 1}, "owner@shop.test"),
        (None, "owner@shop.test", {"shop.test": 1}, "owner@shop.test"),
        (None, "owner@mail.test", {"other.test": 2, "shop.test": 1}, "owner@shop.test"),
        (None, "owner@mail.test", {"b.test": 1, "a.test": 1}, "owner@b.test"),
        (None, "owner@other.test", {"other.test": 2}, "post@host.test"),
        (None, "owner@mail.test", {}, "post@host.test"),
    ],
)
def test_the_first_address_that_is_the_tenants(
    listed: str | None, contact: str, domains: dict[str, int], address: str
) -> None:
    directory = Directory(
        domains={name: SenderDomain(owner, name, "s1") for name, owner in domains.items()}
    )
    found = sender_of(tenant(contact), mailing_list(listed), directory, "post@host.test")
    assert found == Sender(address, "Shop Ltd")
    own = own_sender(tenant(contact), mailing_list(listed), directory)
    assert own == (None if address == "post@host.test" else found)


def test_without_a_list() -> None:
    directory = Directory(domains={"shop.test": SenderDomain(1, "shop.test", "s1")})
    found = sender_of(tenant("owner@shop.test"), None, directory, "post@host.test")
    assert found == Sender("owner@shop.test", "Shop Ltd")


def test_the_name_is_the_brands() -> None:
    directory = Directory(brands={1: BRAND})
    found = sender_of(tenant("owner@shop.test"), mailing_list(None, 1), directory, "p@host.test")
    assert found.name == "Fast Wheels"
    gone = sender_of(tenant("owner@shop.test"), mailing_list(None, 9), directory, "p@host.test")
    assert gone.name == "Shop Ltd"
