"""Makes copies ready to go: header fields for this recipient, then the signature over them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from relay.clock import DAY
from relay.decide.keys import subject_keys
from relay.model import Copy, Directory, Kind, StoredMessage, Tenant
from relay.pipeline.assess import parsed
from relay.ports import Envelope, MailStore, Signer
from relay.settings import Settings
from relay.transform.compose import compose
from relay.transform.token import Purpose, Token, TokenKeys, mint


class Preparation:
    """Composes and signs."""

    def __init__(
        self,
        *,
        directory: Callable[[], Directory],
        mail: MailStore,
        signer: Signer,
        token_keys: TokenKeys,
        pepper: bytes,
    ) -> None:
        self._directory = directory
        self._mail = mail
        self._signer = signer
        self._token_keys = token_keys
        self._pepper = pepper

    async def prepare(
        self,
        message: StoredMessage,
        tenant: Tenant,
        group: Sequence[Copy],
        kind: Kind,
        settings: Settings,
    ) -> tuple[Envelope, tuple[bytes, bytes]]:
        """The envelope for copies of one ``kind`` that leave together (a commercial one leaves
        alone), and their signed header and body.

        Raises LookupError when the DKIM key or the body cannot be read, StoreTrouble.
        """
        body = await self._mail.body(message.id)
        directory = self._directory()
        url = None
        if kind is Kind.COMMERCIAL:
            url = self._unsubscribe_url(message, group[0], settings.http.public_url)
        header = compose(
            message,
            tenant=tenant,
            mailing_list=directory.mailing_list(message.list_id),
            kind=kind,
            unsubscribe_url=url,
            hostname=settings.hostname,
            feedback_id=settings.feedback_id,
        )
        domain = _signing_domain(message, tenant, directory)
        if domain is not None:
            selector = directory.domains[domain].selector
            header = await self._signer.sign(domain, selector, header, message.body_hash) + header
        envelope = Envelope(
            mail_from=message.mail_from,
            recipients=tuple(copy.recipient.wire for copy in group),
            smtputf8=message.smtputf8,
            eight_bit=not (header.isascii() and body.isascii()),
            size=len(header) + len(body),
        )
        return envelope, (header, body)

    def _unsubscribe_url(self, message: StoredMessage, copy: Copy, base: str) -> str:
        """A link of its own for each copy; the nonce repeats for a retry of the same copy."""
        token = Token(
            purpose=Purpose.UNSUBSCRIBE,
            tenant_id=message.tenant_id,
            list_id=message.list_id,
            keys=subject_keys(self._pepper, copy.recipient),
            nonce=int.from_bytes(hashlib.sha256(copy.id.encode()).digest()[:4], "big"),
            issue_day=int(message.at // DAY),
        )
        return f"{base.rstrip('/')}/u/{mint(token, self._token_keys)}"


def _signing_domain(message: StoredMessage, tenant: Tenant, directory: Directory) -> str | None:
    """The tenant's own domain of the From, else (a list server's post) of the MAIL FROM."""
    for wire in (message.from_address, message.mail_from):
        address = parsed(wire)
        owner = directory.owner_of(address.domain) if address is not None else None
        if owner is not None and owner.tenant_id == tenant.id:
            return owner.domain
    return None
