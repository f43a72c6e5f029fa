"""In whose name our letters to people go out: an address that we may sign for, and a name."""

from __future__ import annotations

from dataclasses import dataclass

from relay.decide.address import AddressError, parse_address
from relay.model import Directory, MailingList, Tenant


@dataclass(frozen=True, slots=True)
class Sender:
    """The From of a letter."""

    address: str
    """As on the wire."""
    name: str


def own_sender(
    tenant: Tenant, mailing_list: MailingList | None, directory: Directory
) -> Sender | None:
    """The first of these that lies in a domain of the tenant, and so can be signed for: the list's
    From, the contact, the contact's local part at the first sender domain; None without a domain.
    """
    name = sender_name(tenant, mailing_list, directory)
    listed = mailing_list.from_address if mailing_list is not None else None
    contact = tenant.party.contact
    for wire in (listed, contact):
        if wire is not None and _owned(wire, tenant, directory):
            return Sender(wire, name)
    domain = next((d.domain for d in directory.domains.values() if d.tenant_id == tenant.id), None)
    wire = f"{contact.rpartition('@')[0]}@{domain}"
    return Sender(wire, name) if domain is not None and _owned(wire, tenant, directory) else None


def sender_of(
    tenant: Tenant,
    mailing_list: MailingList | None,
    directory: Directory,
    operator_contact: str,
) -> Sender:
    """As ``own_sender``; for a tenant without a domain the operator's contact, in its name."""
    own = own_sender(tenant, mailing_list, directory)
    return own or Sender(operator_contact, sender_name(tenant, mailing_list, directory))


def sender_name(tenant: Tenant, mailing_list: MailingList | None, directory: Directory) -> str:
    """Under which name people know the sender: the brand's, or else the party's (B24)."""
    brand_id = mailing_list.brand_id if mailing_list is not None else None
    brand = directory.brand(brand_id)
    return brand.name if brand is not None else tenant.party.name


def _owned(wire: str, tenant: Tenant, directory: Directory) -> bool:
    try:
        owner = directory.owner_of(parse_address(wire).domain)
    except AddressError:
        return False
    return owner is not None and owner.tenant_id == tenant.id
