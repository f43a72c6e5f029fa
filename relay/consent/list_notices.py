"""The notices of a list: the one that we make, and those that a tenant brings for its own forms."""

from __future__ import annotations

from contextlib import suppress

from relay.consent.sender_of import sender_name
from relay.decide.notice import Notice, NoticeRefused, check
from relay.model import MailingList, ScopeLevel, Tenant
from relay.ports import Clock
from relay.store.people.notice_versions import NoticeVersion
from relay.store.store import Store
from relay.web.asking import NoticePage
from relay.web.language import LANGUAGES
from relay.web.question import standard_question


class ListNotices:
    """Makes notices and keeps every version; what nobody may be shown is never stored."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def standard(
        self, tenant: Tenant, mailing_list: MailingList, language: str
    ) -> NoticeVersion:
        """The notice made from tenant, brand and list as they are now, stored.

        Raises NoticeRefused (the list names its third parties vaguely) and StoreTrouble.
        """
        made = self._notice(tenant, mailing_list, language, question=None, purpose=None)
        return await self._keep(tenant, mailing_list, made)

    async def add(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        *,
        language: str,
        question: str,
        purpose: str | None,
    ) -> NoticeVersion:
        """Store what a tenant's own form says, in the tenant's words.

        Raises NoticeRefused and StoreTrouble.
        """
        if language not in LANGUAGES:
            known = ", ".join(LANGUAGES)
            raise NoticeRefused(f"the language must be one of {known}, not {language!r}")
        for what, text in (("question", question), ("purpose", purpose or "")):
            if not text.strip().isprintable():
                raise NoticeRefused(f"the {what} must be one line of text that can be shown")
        made = self._notice(tenant, mailing_list, language, question, purpose)
        return await self._keep(tenant, mailing_list, made)

    async def all(self, tenant: Tenant, mailing_list: MailingList) -> tuple[NoticeVersion, ...]:
        """Every version of a list, oldest first, with today's standard ones. Raises
        StoreTrouble."""
        for language in LANGUAGES:
            # A list that may not be asked for still has the versions of better days.
            with suppress(NoticeRefused):
                await self.standard(tenant, mailing_list, language)
        return tuple(await self._store.notice_versions.of_list(mailing_list.id))

    def refusal(self, tenant: Tenant, mailing_list: MailingList) -> str | None:
        """Why nobody may be shown the standard notice of a list; None when they may."""
        for language in LANGUAGES:
            try:
                check(self._notice(tenant, mailing_list, language, question=None, purpose=None))
            except NoticeRefused as error:
                return str(error)
        return None

    async def version(self, number: int) -> NoticeVersion | None:
        """The version of that id. Raises StoreTrouble."""
        return await self._store.notice_versions.version(number)

    def page(self, version: NoticeVersion) -> NoticePage:
        """A version as a person is shown it."""
        said = version.content
        mailing_list = self._store.directory.lists.get(version.list_id)
        return NoticePage(
            number=version.id,
            language=said.language,
            list_slug=mailing_list.slug if mailing_list is not None else "",
            sender=said.sender,
            party=said.party,
            postal_address=said.postal_address,
            registration=said.registration,
            contact=said.contact,
            purpose=said.purpose,
            promise=said.promise,
            third_parties=said.third_parties,
            question=said.question,
            scope=ScopeLevel(said.scope),
        )

    async def _keep(
        self, tenant: Tenant, mailing_list: MailingList, notice: Notice
    ) -> NoticeVersion:
        check(notice)
        return await self._store.notice_versions.ensure(
            tenant.id, mailing_list.id, notice, at=self._clock.now()
        )

    def _notice(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        language: str,
        question: str | None,
        purpose: str | None,
    ) -> Notice:
        sender = sender_name(tenant, mailing_list, self._store.directory)
        purpose = mailing_list.purpose if purpose is None else purpose.strip()
        if question is None:
            question = standard_question(
                purpose=purpose,
                promise=mailing_list.promise,
                sender=sender,
                language=language,
            )
        return Notice(
            language=language,
            purpose=purpose,
            promise=mailing_list.promise,
            sender=sender,
            party=tenant.party.name,
            postal_address=tenant.party.postal_address,
            registration=tenant.party.registration or "",
            contact=tenant.party.contact,
            third_parties=mailing_list.third_parties,
            question=question.strip(),
            scope=mailing_list.consent_scope.value,
        )
