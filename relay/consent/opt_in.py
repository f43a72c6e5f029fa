"""Double opt-in: a person asks, we write once to the address, and only its owner's button counts.

Clauses A3, A4, B5-B10. The token in the mail is the only proof that the mailbox's owner agreed,
so it is in the mail and nowhere else: not in an event, a log line, an error or an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from relay.consent.letters import Letters
from relay.consent.list_notices import ListNotices
from relay.consent.opt_in_events import (
    LONGEST_AGENT,
    granted,
    one_line,
    pending,
    sent_at,
)
from relay.consent.sender_of import sender_of
from relay.decide.address import AddressError, mask, parse_address
from relay.decide.automation import Confirming, automation, marks
from relay.decide.notice import NoticeRefused as NoticeRefused
from relay.model import (
    Address,
    Automation,
    Kind,
    MailingList,
    Outcome,
    Receipt,
    Tenant,
    TenantState,
)
from relay.ports import Clock, Json, NewEvent, StoreTrouble
from relay.settings import Settings
from relay.store.people.notice_versions import NoticeVersion
from relay.store.people.signup_caps import DAY, Caps
from relay.store.people.signup_rows import CONFIRMED, SignUp
from relay.store.people.signups import Request
from relay.store.store import Store
from relay.transform.token import Purpose, Token, TokenError, TokenKeys, mint, read
from relay.web.asking import Asked, NoticePage, SignUpRequest
from relay.web.client_address import neighbourhood
from relay.web.confirming import ConfirmPage
from relay.web.language import LANGUAGES, negotiate

KEPT: Final = 30 * DAY
"""Seconds for which a finished request stays."""
BY_API: Final = "api"
"""``SignUpRequest.act`` of a request that a tenant's software brought."""


class Post(Protocol):
    """Queues mail of our own (``relay.pipeline.generated.Generated.post``)."""

    async def __call__(
        self, unique: str, tenant: Tenant, recipient: Address, content: bytes
    ) -> bool:
        """True when it is taken, False when a rule stops it. Raises StoreTrouble."""


@dataclass(frozen=True, slots=True)
class _Asked:
    tenant: Tenant
    mailing_list: MailingList
    address: Address
    version: NoticeVersion
    language: str


class OptIn:
    """Implements the pages' ``SignUps`` and ``Confirmations``."""

    def __init__(
        self,
        *,
        store: Store,
        post: Post,
        letters: Letters,
        token_keys: TokenKeys,
        settings: Settings,
        clock: Clock,
        new_id: Callable[[], str],
        seen: Callable[[str, str], None],
    ) -> None:
        """``new_id`` makes message ids; ``seen`` is told tenant slug and event: asked, capped,
        mailed, confirmed, automated or lapsed."""
        self._store = store
        self._post = post
        self._letters = letters
        self._token_keys = token_keys
        self.settings = settings
        self._clock = clock
        self._new_id = new_id
        self._seen = seen
        self._notices = ListNotices(store, clock)

    # --- asking -----------------------------------------------------------------------------

    async def notice(self, tenant: str, mailing_list: str, language: str) -> NoticePage | None:
        """The current notice of a list, in the language nearest to ``language``; stored as a
        version before it is shown. None when there is no such form. Raises StoreTrouble."""
        place = self._place(tenant, mailing_list)
        if place is None:
            return None
        try:
            version = await self._notices.standard(*place, _nearest(language))
        except NoticeRefused:
            return None
        return self._notices.page(version)

    async def notices(self, tenant: Tenant, mailing_list: MailingList) -> tuple[NoticeVersion, ...]:
        """Every version of a list's notice, oldest first, today's standard ones among them.
        Raises StoreTrouble."""
        return await self._notices.all(tenant, mailing_list)

    async def add_notice(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        *,
        language: str,
        question: str,
        purpose: str | None = None,
    ) -> NoticeVersion:
        """Store the words of a tenant's own form; the same words are the same version.

        Raises NoticeRefused, whose text says what to write instead, and StoreTrouble.
        """
        return await self._notices.add(
            tenant, mailing_list, language=language, question=question, purpose=purpose
        )

    async def ask(self, request: SignUpRequest) -> Asked:
        """Record the request and send the confirmation mail; durable on return.

        The answer never depends on whether the address is known, suppressed or capped. Raises
        StoreTrouble: the person can simply ask again.
        """
        place = self._place(request.tenant, request.mailing_list)
        if place is None:
            return Asked.UNKNOWN_LIST
        tenant, mailing_list = place
        address = _mailbox(request.address)
        if address is None:
            return Asked.BAD_ADDRESS
        language = _nearest(request.language)
        version = await self._shown(tenant, mailing_list, request.notice, language)
        if version is None:
            return Asked.UNKNOWN_NOTICE
        now, keys = self._clock.now(), self._store.keys(address)
        asked = _Asked(tenant, mailing_list, address, version, language)
        recorded = await self._store.signups.ask(
            Request(
                tenant_id=tenant.id,
                list_id=mailing_list.id,
                keys=keys,
                address=address.wire,
                language=language,
                notice_id=version.id,
                at=now,
                network=_network(tenant, request),
                form=_form(request.form_url),
                pending=pending(
                    request,
                    tenant,
                    mailing_list,
                    keys,
                    version,
                    language=language,
                    at=now,
                    expires_at=now + self._lifetime,
                ),
            ),
            self._caps(),
            self._new_id(),
        )
        if recorded is None:
            return Asked.TOO_MANY
        self._seen(tenant.slug, "asked")
        if recorded.mail and recorded.signup is not None:
            await self._send(asked, recorded.signup)
        else:
            self._seen(tenant.slug, "capped")
        return Asked.TAKEN

    # --- confirming -------------------------------------------------------------------------

    async def peek(self, token: str) -> ConfirmPage | None:
        """What the token asks, without a trace (HEAD). None: not a token of ours, or dead. Raises
        StoreTrouble."""
        said = self._read(token)
        if said is None:
            return None
        signup = await self._store.signups.peek(
            said.nonce, said.keys, now=self._clock.now(), lifetime=self._lifetime
        )
        return await self._page(signup)

    async def fetch(self, token: str, *, ip: str, user_agent: str) -> ConfirmPage | None:
        """What the token asks; notes for the evidence that the page was fetched, and changes
        nothing else. None: not a token of ours, or dead. Raises StoreTrouble."""
        said = self._read(token)
        if said is None:
            return None
        signup = await self._store.signups.fetch(
            said.nonce,
            said.keys,
            now=self._clock.now(),
            lifetime=self._lifetime,
            user_agent=one_line(user_agent, LONGEST_AGENT),
            network=neighbourhood(ip),
        )
        return await self._page(signup)

    async def confirm(self, token: str, *, ip: str, user_agent: str) -> ConfirmPage | None:
        """Record the confirmation; durable and in force on return. None: not a token of ours, or
        dead. A token that has confirmed already confirms nothing anew; a press that is certainly a
        machine's is recorded, and leaves the token to its person. Raises StoreTrouble."""
        said = self._read(token)
        if said is None:
            return None
        now = self._clock.now()
        automated: list[str] = []

        def grant(signup: SignUp, asked: Mapping[str, Json]) -> tuple[NewEvent, bool]:
            automated[:] = self._marks(signup, ip, user_agent, now)
            mailing_list = self._store.directory.lists[signup.list_id]
            event = granted(
                signup,
                asked,
                mailing_list,
                ip=ip,
                user_agent=user_agent,
                at=now,
                automated=automated,
            )
            return event, automation(automated) is not Automation.CERTAIN

        done = await self._store.signups.confirm(
            said.nonce, said.keys, now=now, lifetime=self._lifetime, grant=grant
        )
        if done is None:
            return None
        signup, new = done
        tenant = self._store.directory.tenants.get(signup.tenant_id)
        if new and tenant is not None:
            self._seen(tenant.slug, "confirmed")
            if automated:
                self._seen(tenant.slug, "automated")
        return await self._page(signup)

    # --- what becomes of the mail and of those who never answer -----------------------------

    async def mailed(self, message_id: str, receipt: Receipt) -> None:
        """What the upstream said about a message of ours; nothing happens unless it is a
        confirmation mail, taken or refused for good. Raises StoreTrouble."""
        if receipt.outcome is Outcome.DEFERRED or receipt.our_trouble:
            return
        if await self._store.signups.of_message(message_id) is None:
            return
        reply = receipt.text
        if receipt.outcome is Outcome.REFUSED:
            await self._store.signups.failed(message_id, reply)
            return
        now = self._clock.now()
        signup = await self._store.signups.mailed(message_id, reply, at=now)
        if signup is not None:
            self._count(signup.tenant_id, "mailed")

    async def lapse(self) -> int:
        """End requests past their time, and forget those long finished; returns how many ended.
        Raises StoreTrouble."""
        ended = await self._store.signups.lapse(
            now=self._clock.now(), lifetime=self._lifetime, kept=KEPT
        )
        for tenant_id in ended:
            self._count(tenant_id, "lapsed")
        return len(ended)

    # --- inside -----------------------------------------------------------------------------

    @property
    def _lifetime(self) -> float:
        return self.settings.opt_in.confirm_days * DAY

    def _caps(self) -> Caps:
        own = self.settings.opt_in
        return Caps(
            to_person_of_tenant=own.mails_per_address_and_tenant,
            open_of_person=own.open_per_address,
            to_person=own.mails_per_address,
            persons_of_network=own.addresses_per_network,
            of_form=own.mails_per_form,
            of_tenant=own.mails_per_tenant,
            lifetime=self._lifetime,
        )

    def _count(self, tenant_id: int, event: str) -> None:
        tenant = self._store.directory.tenants.get(tenant_id)
        if tenant is not None:
            self._seen(tenant.slug, event)

    def _place(self, tenant_slug: str, list_slug: str) -> tuple[Tenant, MailingList] | None:
        """A list that consent is asked for, of a tenant that may send."""
        directory = self._store.directory
        tenant = directory.tenant(tenant_slug)
        if tenant is None or tenant.state is not TenantState.ACTIVE:
            return None
        mailing_list = directory.list_of(tenant.id, list_slug)
        if mailing_list is None or mailing_list.archived:
            return None
        return (tenant, mailing_list) if mailing_list.kind is Kind.COMMERCIAL else None

    async def _shown(
        self, tenant: Tenant, mailing_list: MailingList, number: int | None, language: str
    ) -> NoticeVersion | None:
        """The version that was shown; None when it is not one of this list."""
        if number is None:
            try:
                return await self._notices.standard(tenant, mailing_list, language)
            except NoticeRefused:
                return None
        version = await self._notices.version(number)
        return version if version is not None and version.list_id == mailing_list.id else None

    async def _send(self, asked: _Asked, signup: SignUp) -> None:
        """Write and queue the mail that is reserved for a request."""
        assert signup.message_id is not None
        version = await self._notices.version(signup.notice_id) or asked.version
        sender = sender_of(
            asked.tenant,
            asked.mailing_list,
            self._store.directory,
            self.settings.operator.contact,
        )
        content = self._letters.confirmation(
            unique=signup.message_id,
            tenant=asked.tenant,
            sender=sender.address,
            from_name=sender.name,
            to=asked.address,
            url=self._url(signup),
            # What the operator has registered, not what the tenant's software says: whoever may
            # choose the words of this mail has a mailing without consent. The page has them all.
            notice=replace(self._notices.page(version), purpose=asked.mailing_list.purpose),
            language=asked.language,
        )
        try:
            taken = await self._post(signup.message_id, asked.tenant, asked.address, content)
        except StoreTrouble:
            # Not settled either, if it must be: the store does that itself after a while.
            with suppress(StoreTrouble):
                await self._store.signups.settle(signup.id, taken=False)
            raise
        with suppress(StoreTrouble):
            await self._store.signups.settle(signup.id, taken=taken)

    def _url(self, signup: SignUp) -> str:
        token = Token(
            Purpose.CONFIRM,
            signup.tenant_id,
            signup.list_id,
            signup.keys,
            signup.nonce,
            int(signup.at // DAY),
        )
        base = self.settings.http.public_url.rstrip("/")
        return f"{base}/c/{mint(token, self._token_keys)}"

    def _read(self, text: str) -> Token | None:
        try:
            return read(text, self._token_keys, Purpose.CONFIRM)
        except TokenError:
            return None

    async def _page(self, signup: SignUp | None) -> ConfirmPage | None:
        if signup is None:
            return None
        directory = self._store.directory
        mailing_list = directory.lists.get(signup.list_id)
        version = await self._notices.version(signup.notice_id)
        if mailing_list is None or version is None:
            return None
        brand = directory.brands.get(mailing_list.brand_id) if mailing_list.brand_id else None
        address = await self._store.consents.address_of(signup.keys, signup.tenant_id)
        return ConfirmPage(
            notice=self._notices.page(version),
            address=mask(address) if address is not None else "",
            scope=mailing_list.consent_scope,
            brand=brand.name if brand is not None else "",
            confirmed=signup.state == CONFIRMED,
        )

    def _marks(self, signup: SignUp, ip: str, user_agent: str, now: float) -> tuple[str, ...]:
        return marks(
            Confirming(
                at=now,
                ip=ip,
                user_agent=user_agent,
                sent_at=sent_at(signup),
                fetched_at=signup.last_fetched_at,
            ),
            seconds_after_sending=self.settings.opt_in.automated_seconds,
            scanner_networks=self.settings.opt_in.scanner_networks,
        )


def _nearest(language: str) -> str:
    return language if language in LANGUAGES else negotiate(language)


def _mailbox(text: str) -> Address | None:
    """A mailbox that the world can write to: not of a bare host name, not at an IP address."""
    try:
        address = parse_address(text)
    except AddressError:
        return None
    return address if "." in address.domain and not address.domain.startswith("[") else None


def _network(tenant: Tenant, request: SignUpRequest) -> str:
    """What counts as one client. An address that a tenant's software names is that tenant's word,
    and must not use up what the same client may do at another tenant."""
    network = neighbourhood(request.ip)
    return f"{tenant.id}/{network}" if request.act == BY_API else network


def _form(url: str) -> str:
    """Names a form for its cap: without the query, which may hold anything about a person."""
    return hashlib.sha256(url.partition("?")[0].partition("#")[0].encode()).hexdigest()[:32]
