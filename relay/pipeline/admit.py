"""Who may begin a transaction: credentials, client networks, tenant state, MAIL FROM, disk."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from relay.decide.sender import mail_from_refusal
from relay.model import (
    Address,
    Client,
    Credential,
    Directory,
    Reason,
    Refusal,
    Tenant,
    TenantState,
)
from relay.ports import DiskFull
from relay.settings import Settings

_NO_SECRET = hashlib.sha256(b"no such account").digest()


class Admission:
    """Answers the session's questions before there is a message."""

    def __init__(
        self,
        *,
        directory: Callable[[], Directory],
        free_bytes: Callable[[], int],
        settings: Settings,
    ) -> None:
        self._directory = directory
        self._free_bytes = free_bytes
        self.settings = settings
        self._networks: _Networks = _Networks(Directory())

    async def authenticate(
        self, username: str, secret: str, client: Client
    ) -> Credential | Refusal | None:
        """The credential that ``secret`` proves, or None.

        Secrets are 32 random octets made by us, so one SHA-256 is enough and guessing is hopeless;
        an unknown account costs the same comparison.
        """
        credential = self._directory().credentials.get(username)
        known = credential.secret_hash if credential is not None else None
        given = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        matches = hmac.compare_digest(given, known or _NO_SECRET)
        return credential if matches and known is not None else None

    def admit(self, client: Client) -> Credential | None:
        """The credential that the client's network alone gives; the narrowest network wins."""
        directory = self._directory()
        if self._networks.directory is not directory:
            self._networks = _Networks(directory)
        return self._networks.narrowest(client.ip)

    def check_sender(self, client: Client, mail_from: Address | None, size: int) -> Refusal | None:
        """Whether a transaction may begin: room on disk, tenant state, MAIL FROM's domain.

        Raises DiskFull.
        """
        if self._free_bytes() < self.settings.store.min_free_bytes + size:
            raise DiskFull("the disk that holds the store is nearly full")
        credential = client.credential
        if credential is None:
            return None
        directory = self._directory()
        if directory.credentials.get(credential.username) is None:
            return Refusal(Reason.SUSPENDED, "this credential was revoked during the session")
        if credential.tenant_id is not None:
            refusal = suspended(directory.tenants[credential.tenant_id])
            if refusal is not None:
                return refusal
        return mail_from_refusal(credential, mail_from, directory, self.settings.operator.domains)


def suspended(tenant: Tenant) -> Refusal | None:
    """The refusal that a suspended tenant gets: temporary, so that its queue survives."""
    if tenant.state is not TenantState.SUSPENDED:
        return None
    return Refusal(Reason.SUSPENDED, f"sending is suspended for {tenant.slug}; ask the operator")


class _Networks:
    """The client networks of one directory, parsed once."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        pairs: list[tuple[IPv4Network | IPv6Network, Credential]] = [
            (ip_network(network), credential)
            for credential in directory.credentials.values()
            for network in credential.networks
        ]
        self._narrow_first = sorted(pairs, key=lambda pair: -pair[0].prefixlen)

    def narrowest(self, ip: str) -> Credential | None:
        if not self._narrow_first:
            return None
        try:
            address = ip_address(ip)
        except ValueError:
            return None
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return next((c for network, c in self._narrow_first if address in network), None)
