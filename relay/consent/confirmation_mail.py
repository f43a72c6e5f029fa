"""The confirmation mail: written for one request and queued, once (clauses A3, B6)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from relay.consent.letters import Letters
from relay.consent.list_notices import ListNotices
from relay.consent.sender_of import Sender
from relay.model import Address, MailingList, Tenant
from relay.ports import StoreTrouble
from relay.settings import Settings
from relay.store.people.signup_caps import DAY
from relay.store.people.signup_rows import SignUp
from relay.store.store import Store
from relay.transform.token import Purpose, Token, TokenKeys, mint


class Post(Protocol):
    """Queues mail of our own (``relay.pipeline.generated.Generated.post``)."""

    async def __call__(
        self, unique: str, tenant: Tenant, recipient: Address, content: bytes
    ) -> bool:
        """True when it is taken, False when a rule stops it. Raises StoreTrouble."""


class ConfirmationMail:
    """Sends the mail that is reserved for a request; the token is in it and nowhere else."""

    def __init__(
        self,
        store: Store,
        post: Post,
        letters: Letters,
        token_keys: TokenKeys,
        notices: ListNotices,
    ) -> None:
        self._store = store
        self._post = post
        self._letters = letters
        self._token_keys = token_keys
        self._notices = notices

    async def send(
        self,
        signup: SignUp,
        *,
        tenant: Tenant,
        mailing_list: MailingList,
        sender: Sender,
        to: Address,
        language: str,
        settings: Settings,
    ) -> None:
        """Write and queue it, and settle the reservation. Raises StoreTrouble."""
        version = await self._notices.version(signup.notice_id)
        assert signup.message_id is not None
        assert version is not None
        content = self._letters.confirmation(
            unique=signup.message_id,
            tenant=tenant,
            sender=sender.address,
            from_name=sender.name,
            to=to,
            url=self._url(signup, settings.http.public_url),
            # What the operator has registered, not what the tenant's software says: whoever may
            # choose the words of this mail has a mailing without consent. The page has them all.
            notice=replace(self._notices.page(version), purpose=mailing_list.purpose),
            language=language,
        )
        try:
            taken = await self._post(signup.message_id, tenant, to, content)
        except StoreTrouble:
            # Not settled either, if it must be: the store does that itself after a while.
            with suppress(StoreTrouble):
                await self._store.signups.settle(signup.id, taken=False)
            raise
        with suppress(StoreTrouble):
            await self._store.signups.settle(signup.id, taken=taken)

    def _url(self, signup: SignUp, base: str) -> str:
        token = Token(
            Purpose.CONFIRM,
            signup.tenant_id,
            signup.list_id,
            signup.keys,
            signup.nonce,
            int(signup.at // DAY),
        )
        return f"{base.rstrip('/')}/c/{mint(token, self._token_keys)}"
