"""A person's own view: what one tenant has on record, behind a fresh link mailed to the address.

The token in a mail shows a masked address and stop buttons, no more, because mail gets forwarded
and archived. The rest opens for an hour with a link that only the mailbox receives.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from relay.clock import DAY
from relay.consent.confirmation_mail import Post
from relay.consent.letters import Letters
from relay.consent.own_receipt import receipt
from relay.consent.own_words import (
    AskedFor,
    PersonsRecord,
    all_stopped,
    consent_of,
    given,
    history,
    notice_of,
)
from relay.consent.sender_of import sender_of
from relay.consent.withdrawing import Withdrawing
from relay.decide.address import parse_address
from relay.decide.standing import brand_itself
from relay.model import Act, MailingList, ScopeLevel, SubjectKeys, Tenant
from relay.ports import Clock, Json
from relay.settings import Settings
from relay.store.people.notice_versions import NoticeVersion
from relay.store.people.own_events import MOST, OwnRecord
from relay.store.store import Store
from relay.transform.token import Purpose, Token, TokenError, TokenKeys, mint, read
from relay.web.language import LANGUAGES, negotiate
from relay.web.leaky_buckets import LeakyBuckets
from relay.web.own_view import OwnView

GOOD_FOR: Final = 3_600
"""Seconds for which a link opens the record."""
KIND: Final = "view"
"""Of these letters in ``person_mails``."""
PER_TENANT: Final = 3
"""Letters to one person on behalf of one tenant in a day."""
PER_PERSON: Final = 10
"""Letters to one person on behalf of all tenants in a day."""
PER_NETWORK: Final = 10
"""Requests from one client network in a minute."""
HISTORY: Final = 200
"""Lines of history that the page shows: the youngest."""

_RANDOM_BITS: Final = 32


class OwnRecordsOfPersons:
    """Implements the pages' ``OwnRecords``."""

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
        withdrawing: Withdrawing,
    ) -> None:
        """``new_id`` makes message ids."""
        self._store: Final = store
        self._post: Final = post
        self._letters: Final = letters
        self._token_keys: Final = token_keys
        self.settings = settings
        self._clock: Final = clock
        self._new_id: Final = new_id
        self._withdrawing: Final = withdrawing
        self._networks: Final = LeakyBuckets(PER_NETWORK, clock)

    async def request_link(self, token: str, *, language: str, ip: str) -> bool:
        """Mail a fresh one-hour link to the address that an *unsubscribe* token stands for, within
        the caps. False: not a token of ours. True says nothing of whether mail was sent.
        Raises StoreTrouble."""
        said = self._read(token, Purpose.UNSUBSCRIBE)
        if said is None:
            return False
        keys, tenant, directory = said.keys, self._tenant(said), self._store.directory
        if tenant is None:
            return False
        if self._networks.count(ip) > 0:
            return True
        address = await self._store.consents.address_of(keys, tenant.id)
        if address is None or not await self._store.person_mails.claim(
            keys.wide,
            KIND,
            tenant.id,
            at=self._clock.now(),
            seconds=DAY,
            per_tenant=PER_TENANT,
            per_person=PER_PERSON,
        ):
            return True
        recipient = parse_address(address)
        sender = sender_of(
            tenant,
            directory.mailing_list(said.list_id),
            directory,
            self.settings.operator.contact,
        )
        unique = self._new_id()
        letter = self._letters.own_record(
            unique=unique,
            tenant=tenant,
            sender=sender.address,
            from_name=sender.name,
            to=recipient,
            url=self._link(tenant, keys),
            language=language if language in LANGUAGES else negotiate(language),
        )
        await self._post(unique, tenant, recipient, letter)
        return True

    async def view(self, token: str) -> OwnView | None:
        """What is on record; None: not a view token of ours, older than an hour, or erased since.
        Raises StoreTrouble."""
        opened = await self._open(token)
        return await self._view(*opened) if opened is not None else None

    async def stop(
        self, token: str, *, scope: str, scope_id: int, ip: str, user_agent: str
    ) -> OwnView | None:
        """Withdraw at that scope; durable and in force on return. None as ``view``, or for a scope
        that is not of this tenant. Raises StoreTrouble."""
        opened = await self._open(token)
        if opened is None:
            return None
        tenant, keys, _ = opened
        place = self._place(tenant, scope, scope_id)
        if place is None:
            return None
        mailing_list, level = place
        await self._withdrawing.withdraw(
            tenant,
            keys,
            mailing_list=mailing_list,
            scope=level,
            channel="page",
            evidence={"ip": ip, "user_agent": user_agent, "page": "own record"},
        )
        return await self._view(*opened)

    async def receipt(self, token: str) -> Json | None:
        """The record as a receipt for machines; fields are named as in ISO/IEC TS 27560 and the
        Kantara consent receipt where these have one. None as ``view``. Raises StoreTrouble."""
        opened = await self._open(token)
        if opened is None:
            return None
        return receipt(await self._record(*opened), self.settings.operator, self._store.directory)

    # --- inside -----------------------------------------------------------------------------

    def _read(self, token: str, purpose: Purpose) -> Token | None:
        try:
            return read(token, self._token_keys, purpose)
        except TokenError:
            return None

    def _tenant(self, said: Token) -> Tenant | None:
        return self._store.directory.tenants.get(said.tenant_id)

    def _link(self, tenant: Tenant, keys: SubjectKeys) -> str:
        now = int(self._clock.now())
        token = Token(
            purpose=Purpose.VIEW,
            tenant_id=tenant.id,
            list_id=None,
            keys=keys,
            nonce=now << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS),
            issue_day=now // DAY,
        )
        base = self.settings.http.public_url.rstrip("/")
        return f"{base}/p/{mint(token, self._token_keys)}"

    async def _open(self, token: str) -> tuple[Tenant, SubjectKeys, str] | None:
        """Whose record the token opens now, and the address in clear."""
        said = self._read(token, Purpose.VIEW)
        tenant = self._tenant(said) if said is not None else None
        if said is None or tenant is None:
            return None
        # Never before its time either: a clock set back must not make a link good for longer.
        if not 0 <= self._clock.now() - (said.nonce >> _RANDOM_BITS) < GOOD_FOR:
            return None
        address = await self._store.consents.address_of(said.keys, tenant.id)
        return (tenant, said.keys, address) if address is not None else None

    async def _acts(self, tenant: Tenant, keys: SubjectKeys) -> tuple[Act, ...]:
        """Of every spelling of the person; what blocks is the same for all of them."""
        spelled = await self._store.own_events.spellings(keys.wide)
        found = await self._store.consents.acts(
            tenant.id, [SubjectKeys(exact, keys.wide) for exact in spelled]
        )
        return tuple(dict.fromkeys(act for acts in found for act in acts))

    async def _record(self, tenant: Tenant, keys: SubjectKeys, address: str) -> PersonsRecord:
        now, directory = self._clock.now(), self._store.directory
        acts = await self._acts(tenant, keys)
        records = await self._store.own_events.of(keys.wide, tenant.id)
        by_event = {record.event_id: record for record in records}
        asked = []
        for one in given(acts, tenant, directory, now):
            record = by_event.get(one.act.event_id)
            asked.append(AskedFor(one, record, await self._notice(tenant, record)))
        return PersonsRecord(
            at=now,
            tenant=tenant,
            address=address,
            asked=tuple(asked),
            records=records,
            complete=len(records) < MOST,
            all_stopped=all_stopped(acts, tenant, now),
        )

    async def _view(self, tenant: Tenant, keys: SubjectKeys, address: str) -> OwnView:
        record, directory = await self._record(tenant, keys, address), self._store.directory
        lines = [event for _, event in history(record.records, tenant, directory)]
        return OwnView(
            sender=tenant.party.name,
            contact=tenant.party.contact,
            address=address,
            consents=tuple(consent_of(one, tenant, directory) for one in record.asked),
            history=tuple(lines[-HISTORY:]),
            more=len(lines) > HISTORY or not record.complete,
            all_stopped=record.all_stopped,
        )

    async def _notice(self, tenant: Tenant, record: OwnRecord | None) -> NoticeVersion | None:
        number = notice_of(record)
        if number is None:
            return None
        version = await self._store.notice_versions.version(number)
        return version if version is not None and version.tenant_id == tenant.id else None

    def _place(
        self, tenant: Tenant, scope: str, scope_id: int
    ) -> tuple[MailingList | None, ScopeLevel] | None:
        """A list at which to name the scope; None when it is not of this tenant."""
        directory = self._store.directory
        if scope == ScopeLevel.TENANT:
            return (None, ScopeLevel.TENANT) if scope_id == 0 else None
        if scope == ScopeLevel.LIST:
            mailing_list = directory.lists.get(scope_id)
            own = mailing_list is not None and mailing_list.tenant_id == tenant.id
            return (mailing_list, ScopeLevel.LIST) if own else None
        brand = directory.brands.get(scope_id)
        if scope != ScopeLevel.BRAND or brand is None or brand.tenant_id != tenant.id:
            return None
        return brand_itself(tenant.id, brand.id), ScopeLevel.BRAND
