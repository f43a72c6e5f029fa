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


def sender_of(
    tenant: Tenant,
    mailing_list: MailingList | None,
    directory: Directory,
    operator_contact: str,
) -> Sender:
    """The first of these that lies in a domain of the tenant: the list's From, the contact, the
    contact's local part at the first sender domain; without any domain the operator's contact.

    The name is the brand's, or else the party's (B24).
    """
    name = tenant.party.name
    if mailing_list is not None and mailing_list.brand_id is not None:
        brand = directory.brands.get(mailing_list.brand_id)
        name = brand.name if brand is not None else name
    listed = mailing_list.from_address if mailing_list is not None else None
    for wire in (listed, tenant.party.contact):
        if wire is not None and _owned(wire, tenant, directory):
            return Sender(wire, name)
    domain = next((d.domain for d in directory.domains.values() if d.tenant_id == tenant.id), None)
    local = tenant.party.contact.rpartition("@")[0]
    if domain is not None and _owned(f"{local}@{domain}", tenant, directory):
        return Sender(f"{local}@{domain}", name)
    return Sender(operator_contact, name)


def _owned(wire: str, tenant: Tenant, directory: Directory) -> bool:
    try:
        owner = directory.owner_of(parse_address(wire).domain)
    except AddressError:
        return False
    return owner is not None and owner.tenant_id == tenant.id
