"""Opt-outs by the link in a mail: what its bearer may see, and the withdrawal itself.

Mail gets forwarded and archived, so a token shows a masked address and what would stop, no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from relay.consent.withdrawing import (
    Closing,
    Withdrawing,
    closing_at,
    what_closes,
    wider_than,
)
from relay.decide.address import mask
from relay.model import Act, Directory, MailingList, ScopeLevel, Tenant
from relay.ports import Clock
from relay.store.store import Store
from relay.transform.token import Purpose, Token, TokenError, TokenKeys, read
from relay.web.optouts import OptOutPage


class UnsubscribeLinks:
    """Implements the public pages' ``OptOuts``."""

    def __init__(
        self, store: Store, keys: TokenKeys, clock: Clock, withdrawing: Withdrawing
    ) -> None:
        self._store: Final = store
        self._keys: Final = keys
        self._clock: Final = clock
        self._withdrawing: Final = withdrawing

    async def describe(self, token: str) -> OptOutPage | None:
        """What the token is for, or None when we never made it. Raises StoreTrouble."""
        found = self._read(token)
        return await self._page(*found) if found is not None else None

    async def withdraw(
        self,
        token: str,
        *,
        channel: str,
        ip: str,
        user_agent: str,
        scope: ScopeLevel | None = None,
    ) -> OptOutPage | None:
        """Close the widest consent that covered the mail, or ``scope`` when that is wider; durable
        and in force on return (clauses B18, B21, B22), which says what has stopped now.

        Returns None when we never made the token. Raises StoreTrouble.
        """
        found = self._read(token)
        if found is None:
            return None
        said, tenant, mailing_list = found
        await self._withdrawing.withdraw(
            tenant,
            said.keys,
            mailing_list=mailing_list,
            scope=scope,
            channel=channel,
            evidence={"ip": ip, "user_agent": user_agent, "mail_of_day": said.issue_day},
        )
        return await self._page(said, tenant, mailing_list)

    def _read(self, token: str) -> tuple[Token, Tenant, MailingList | None] | None:
        try:
            said = read(token, self._keys, Purpose.UNSUBSCRIBE)
        except TokenError:
            return None
        directory: Directory = self._store.directory
        tenant = directory.tenants.get(said.tenant_id)
        if tenant is None:
            return None
        return said, tenant, directory.mailing_list(said.list_id)

    async def _page(
        self, said: Token, tenant: Tenant, mailing_list: MailingList | None
    ) -> OptOutPage:
        now = self._clock.now()
        (acts,) = await self._store.consents.acts(tenant.id, [said.keys])
        closing = what_closes(acts, tenant, mailing_list, None, now)
        closing = _widest_closed(closing, acts, tenant, mailing_list, now)
        brand_id = mailing_list.brand_id if mailing_list is not None else None
        brand = self._store.directory.brand(brand_id)
        address = await self._store.consents.address_of(said.keys, tenant.id)
        return OptOutPage(
            sender=tenant.party.name,
            purpose=mailing_list.purpose if mailing_list is not None else "",
            promise=mailing_list.promise if mailing_list is not None else "",
            address=mask(address) if address is not None else "",
            scope=closing.scope,
            brand=brand.name if brand is not None else "",
            contact=tenant.party.contact,
            already_out=closing.block is not None,
            wider=wider_than(closing.scope, mailing_list),
        )


def _widest_closed(
    closing: Closing,
    acts: Sequence[Act],
    tenant: Tenant,
    mailing_list: MailingList | None,
    now: float,
) -> Closing:
    """When what the link closes is closed already: the widest that is, so that the page offers
    nothing that has stopped before."""
    while closing.block is not None:
        above = wider_than(closing.scope, mailing_list)
        if above is None:
            break
        wider = closing_at(acts, tenant, mailing_list, above, now)
        if wider.block is None:
            break
        closing = wider
    return closing
