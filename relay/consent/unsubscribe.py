"""Opt-outs by the link in a mail: what its bearer may see, and the withdrawal itself.

Mail gets forwarded and archived, so a token shows a masked address and what would stop, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.decide.address import mask
from relay.decide.standing import level, standing, widest_consent
from relay.model import Act, Directory, MailingList, ScopeLevel, StandingState, Tenant
from relay.ports import Clock
from relay.store.store import Store
from relay.transform.token import Purpose, Token, TokenError, TokenKeys, read
from relay.web.optouts import OptOutDone, OptOutPage

_OUT = (StandingState.WITHDRAWN, StandingState.COMPLAINED)


class UnsubscribeLinks:
    """Implements the public pages' ``OptOuts``."""

    def __init__(
        self, store: Store, keys: TokenKeys, clock: Clock, in_force: Callable[[float], None]
    ) -> None:
        """``in_force`` is told the seconds from each opt-out's arrival to its being in force."""
        self._store = store
        self._keys = keys
        self._clock = clock
        self._in_force = in_force

    async def describe(self, token: str) -> OptOutPage | None:
        """What the token is for, or None when we never made it. Raises StoreTrouble."""
        found = self._read(token)
        if found is None:
            return None
        said, tenant, mailing_list = found
        (acts,) = await self._store.consents.acts(tenant.id, [said.keys])
        return await self._page(said, tenant, mailing_list, acts)

    async def withdraw(
        self, token: str, *, channel: str, ip: str, user_agent: str
    ) -> OptOutDone | None:
        """Close the widest consent that covered the mail; durable and in force on return.

        With no consent on record everything of the tenant stops (clause B21: never narrower than
        what was asked). Returns None when we never made the token. Raises StoreTrouble.
        """
        found = self._read(token)
        if found is None:
            return None
        said, tenant, mailing_list = found
        now = self._clock.now()
        (acts,) = await self._store.consents.acts(tenant.id, [said.keys])
        page = await self._page(said, tenant, mailing_list, acts)
        if page.already_out:
            return OptOutDone(tenant.slug, False, page)
        widest = widest_consent(acts, tenant_id=tenant.id, mailing_list=mailing_list, now=now)
        await self._store.consents.withdraw(
            tenant.id,
            said.keys,
            at=now,
            channel=channel,
            brand_id=widest.brand_id if widest is not None else None,
            list_id=widest.list_id if widest is not None else None,
            evidence={"ip": ip, "user_agent": user_agent, "mail_of_day": said.issue_day},
        )
        self._in_force(max(0.0, self._clock.now() - now))
        return OptOutDone(tenant.slug, True, page)

    def _read(self, token: str) -> tuple[Token, Tenant, MailingList | None] | None:
        try:
            said = read(token, self._keys, Purpose.UNSUBSCRIBE)
        except TokenError:
            return None
        directory: Directory = self._store.directory
        tenant = directory.tenants.get(said.tenant_id)
        if tenant is None:
            return None
        mailing_list = directory.lists.get(said.list_id) if said.list_id is not None else None
        return said, tenant, mailing_list

    async def _page(
        self, said: Token, tenant: Tenant, mailing_list: MailingList | None, acts: Sequence[Act]
    ) -> OptOutPage:
        now = self._clock.now()
        widest = widest_consent(acts, tenant_id=tenant.id, mailing_list=mailing_list, now=now)
        scope = level(widest) if widest is not None else ScopeLevel.TENANT
        brand_id = widest.brand_id if widest is not None else None
        brand = self._store.directory.brands.get(brand_id) if brand_id is not None else None
        person = standing(acts, tenant_id=tenant.id, mailing_list=mailing_list, now=now)
        address = await self._store.consents.address_of(said.keys)
        return OptOutPage(
            sender=tenant.party.name,
            purpose=mailing_list.purpose if mailing_list is not None else "",
            promise=mailing_list.promise if mailing_list is not None else "",
            address=mask(address) if address is not None else "",
            scope=scope,
            brand=brand.name if brand is not None else "",
            contact=tenant.party.contact,
            already_out=person.state in _OUT,
        )
