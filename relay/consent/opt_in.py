"""Double opt-in: a person asks, we write once to the address, and only its owner's button counts.

Clauses A3, A4, B5-B10. The token in the mail is the only proof that the mailbox's owner agreed,
so it is in the mail and nowhere else: not in an event, a log line, an error or an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from relay.consent.confirmation_mail import ConfirmationMail, Post
from relay.consent.letters import Letters
from relay.consent.list_notices import ListNotices
from relay.consent.opt_in_events import (
    LONGEST_AGENT,
    granted,
    one_line,
    pending,
    sent_at,
)
from relay.consent.sender_of import own_sender
from relay.consent.sign_up_requests import (
    form_of,
    language_near,
    mailbox_of,
    network_of,
    place_of,
)
from relay.decide.address import mask
from relay.decide.automation import Confirming, automation, marks
from relay.decide.notice import NoticeRefused
from relay.model import Automation, MailingList, Outcome, Receipt, Tenant
from relay.ports import Clock, Json, NewEvent
from relay.settings import Settings
from relay.store.people.notice_versions import NoticeVersion
from relay.store.people.signup_caps import DAY, Caps
from relay.store.people.signup_rows import CONFIRMED, SignUp
from relay.store.people.signups import Request
from relay.store.store import Store
from relay.transform.token import Purpose, Token, TokenError, TokenKeys, read
from relay.web.asking import Asked, NoticePage, SignUpRequest
from relay.web.client_address import neighbourhood
from relay.web.confirming import ConfirmPage

KEPT: Final = 30 * DAY
"""Seconds for which a finished request stays."""
ANSWER_SECONDS: Final = 0.1
"""No answer to a request leaves sooner: how long one takes would tell whether a mail was made, and
so whether the person is known."""


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
        pause: Callable[[float], Awaitable[object]],
    ) -> None:
        """``new_id`` makes message ids; ``seen`` is told tenant slug and event: asked, capped,
        mailed, confirmed, automated or lapsed; ``pause`` waits for some seconds."""
        self._store = store
        self._token_keys = token_keys
        self.settings = settings
        self._clock = clock
        self._new_id = new_id
        self._seen = seen
        self._pause = pause
        self._notices = ListNotices(store, clock)
        self._mail = ConfirmationMail(store, post, letters, token_keys, self._notices)

    # --- asking -----------------------------------------------------------------------------

    async def notice(self, tenant: str, mailing_list: str, language: str) -> NoticePage | None:
        """The current notice of a list, in the language nearest to ``language``; stored as a
        version before it is shown. None when there is no such form. Raises StoreTrouble."""
        place = place_of(self._store.directory, tenant, mailing_list)
        if place is None:
            return None
        try:
            version = await self._notices.standard(*place, language_near(language))
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

        Neither the answer nor its time depends on whether the address is known, suppressed or
        capped. Raises StoreTrouble: the person can simply ask again.
        """
        began = self._clock.monotonic()
        outcome = await self._ask(request)
        if outcome is Asked.TAKEN:
            await self._pause(max(0.0, began + ANSWER_SECONDS - self._clock.monotonic()))
        return outcome

    async def _ask(self, request: SignUpRequest) -> Asked:
        directory = self._store.directory
        place = place_of(directory, request.tenant, request.mailing_list)
        if place is None:
            return Asked.UNKNOWN_LIST
        tenant, mailing_list = place
        sender = own_sender(tenant, mailing_list, directory)
        if sender is None:
            return Asked.NO_SENDER
        address = mailbox_of(request.address)
        if address is None:
            return Asked.BAD_ADDRESS
        language = language_near(request.language)
        version = await self._shown(tenant, mailing_list, request.notice, language)
        if version is None:
            return Asked.UNKNOWN_NOTICE
        now, keys = self._clock.now(), self._store.keys(address)
        recorded = await self._store.signups.ask(
            Request(
                tenant_id=tenant.id,
                list_id=mailing_list.id,
                keys=keys,
                address=address.wire,
                language=language,
                notice_id=version.id,
                at=now,
                network=network_of(tenant, request),
                form=form_of(request.form_url),
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
            await self._mail.send(
                recorded.signup,
                tenant=tenant,
                mailing_list=mailing_list,
                sender=sender,
                to=address,
                language=language,
                settings=self.settings,
            )
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

    def _read(self, text: str) -> Token | None:
        try:
            return read(text, self._token_keys, Purpose.CONFIRM)
        except TokenError:
            return None

    async def _page(self, signup: SignUp | None) -> ConfirmPage | None:
        if signup is None:
            return None
        version = await self._notices.version(signup.notice_id)
        if version is None:
            return None
        address = await self._store.consents.address_of(signup.keys, signup.tenant_id)
        return ConfirmPage(
            notice=self._notices.page(version),
            address=mask(address) if address is not None else "",
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
