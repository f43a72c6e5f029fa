"""Reads a request for consent: which list, which mailbox, whose client and whose form."""

from __future__ import annotations

import hashlib
from typing import Final

from relay.decide.address import AddressError, parse_address
from relay.model import Address, Directory, Kind, MailingList, Tenant, TenantState
from relay.web.asking import SignUpRequest
from relay.web.client_address import neighbourhood
from relay.web.language import LANGUAGES, negotiate

BY_API: Final = "api"
"""``SignUpRequest.act`` of a request that a tenant's software brought."""


def place_of(
    directory: Directory, tenant_slug: str, list_slug: str
) -> tuple[Tenant, MailingList] | None:
    """A list that consent is asked for, of a tenant that may send; None when there is none."""
    tenant = directory.tenant(tenant_slug)
    if tenant is None or tenant.state is not TenantState.ACTIVE:
        return None
    mailing_list = directory.list_of(tenant.id, list_slug)
    if mailing_list is None or mailing_list.archived:
        return None
    return (tenant, mailing_list) if mailing_list.kind is Kind.COMMERCIAL else None


def mailbox_of(text: str) -> Address | None:
    """A mailbox that the world can write to: not of a bare host name, not at an IP address."""
    try:
        address = parse_address(text)
    except AddressError:
        return None
    return address if "." in address.domain and not address.domain.startswith("[") else None


def language_near(language: str) -> str:
    """The one of our languages that is ``language``, or the nearest (RFC 9110 section 12.5.4)."""
    return language if language in LANGUAGES else negotiate(language)


def network_of(tenant: Tenant, request: SignUpRequest) -> str:
    """What counts as one client. An address that a tenant's software names is that tenant's word,
    and must not use up what the same client may do at another tenant."""
    network = neighbourhood(request.ip)
    return f"{tenant.id}/{network}" if request.act == BY_API else network


def form_of(url: str) -> str:
    """Names a form for its cap: without the query, which may hold anything about a person."""
    return hashlib.sha256(url.partition("?")[0].partition("#")[0].encode()).hexdigest()[:32]
