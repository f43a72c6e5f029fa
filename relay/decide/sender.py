"""Who sends: which tenant a message belongs to, and whether its senders are that tenant's own.

A client may only speak for domains registered to its tenant, in the envelope and in the header:
a relay that lets one customer write as another is a spoofing service with a good signature.
"""

from __future__ import annotations

from relay.decide.address import AddressError, parse_address, within
from relay.model import (
    Address,
    Credential,
    Directory,
    Kind,
    Message,
    Reason,
    Refusal,
    Tenant,
)

_FOREIGN = Refusal(
    Reason.FOREIGN_SENDER, "the envelope sender's domain is not registered for this account"
)


def find_tenant(credential: Credential, message: Message, directory: Directory) -> Tenant | None:
    """The tenant whose message this is.

    A credential of a tenant names it. On a gateway it is the owner of the header From's domain;
    several From mailboxes must have one owner. None: nobody's, held for the operator as
    ``foreign-sender``, never passed.
    """
    if credential.tenant_id is not None:
        return directory.tenants.get(credential.tenant_id)
    if not message.from_valid:
        return None
    owners = {_owner(address, directory) for address in message.from_addresses}
    owner = owners.pop() if len(owners) == 1 else None
    return directory.tenants.get(owner) if owner is not None else None


def mail_from_refusal(
    credential: Credential,
    mail_from: Address | None,
    directory: Directory,
    operator_domains: tuple[str, ...],
) -> Refusal | None:
    """Why this envelope sender may not begin a transaction, or None when it may.

    The null reverse-path always may. A tenant's credential: the tenant's domains and their
    subdomains. A gateway: also the operator's domains, and those of every tenant, since the
    tenant is known only when the header is.
    """
    if mail_from is None:
        return None
    owner = _owner(mail_from, directory)
    if credential.tenant_id is not None and owner == credential.tenant_id:
        return None
    if credential.gateway and (owner is not None or within(mail_from.domain, operator_domains)):
        return None
    return _FOREIGN


def from_is_owned(
    tenant: Tenant,
    message: Message,
    mail_from: Address | None,
    directory: Directory,
    kind: Kind | None = None,
) -> bool:
    """Whether every sender that the message names is the tenant's.

    Header From (all mailboxes) and Sender must be in the tenant's domains; the envelope sender
    must not be another tenant's (an operator's own is accepted: ``mail_from_refusal`` let it in).
    ``kind`` is what ``classify`` found: posts to a discussion list come from its members, so there
    From may be foreign while the envelope sender must be the tenant's.
    """
    if kind is Kind.DISCUSSION:
        own_envelope = mail_from is not None and _owner(mail_from, directory) == tenant.id
        return message.from_valid and own_envelope
    if not message.from_valid:
        return False
    named = message.from_addresses
    if message.sender is not None:
        named = (*named, message.sender)
    if any(_owner(address, directory) != tenant.id for address in named):
        return False
    if mail_from is None:
        return True
    owner = _owner(mail_from, directory)
    if owner is None or owner == tenant.id:
        return True
    other = directory.tenants.get(owner)
    return other is not None and other.is_operator


def internal_recipient(
    recipient: Address,
    tenant: Tenant,
    directory: Directory,
    operator_domains: tuple[str, ...],
    operator_contact: str,
) -> bool:
    """Whether this mail stays in the house: the tenant's own domains, its contact address, the
    operator's domains and contact (contact forms, cron mail, order copies)."""
    return (
        _owner(recipient, directory) == tenant.id
        or within(recipient.domain, operator_domains)
        or _same_mailbox(recipient, tenant.party.contact)
        or _same_mailbox(recipient, operator_contact)
    )


def _owner(address: Address, directory: Directory) -> int | None:
    domain = directory.owner_of(address.domain)
    return domain.tenant_id if domain is not None else None


def _same_mailbox(recipient: Address, contact: str) -> bool:
    try:
        return parse_address(contact).exact == recipient.exact
    except AddressError:
        # A contact that is no mailbox matches nobody.
        return False
