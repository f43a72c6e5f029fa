"""Consents that are about to run out, for a report (clause A12).

A report only. Asking everybody again by bulk mail would be a mailing without consent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from relay.decide.expiry import DAY, Lapse, disuse_limit, lapse
from relay.decide.rulebook import Policy
from relay.decide.standing import brand_itself
from relay.model import Basis, MailingList, Tenant
from relay.ports import Clock
from relay.store.people.ageing import START, AgeingConsent, Place
from relay.store.store import Store

CHUNK: Final = 500
"""Consents that are looked at in one step."""
_NEVER: Final = (0.0, 0.0)
_CURSOR: Final = re.compile(r"([0-9a-f]{32})\.([0-9]{1,18})\.([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class ExpiringConsent:
    """One person's consent that ends soon unless mail leaves under it or the person says more."""

    address: str | None
    """None once it was erased."""
    brand: str | None
    list: str | None
    """Slugs of the scope at which consent was given; None above their level."""
    lapse: Lapse


@dataclass(frozen=True, slots=True)
class ExpiringPage:
    """Some of them, and where the next page begins."""

    items: tuple[ExpiringConsent, ...]
    next: str | None
    """Cursor; None at the end."""


class Expiring:
    """Says which consents are about to run out, by the tenant's rulebooks or their own date."""

    def __init__(
        self, store: Store, policy: Callable[[tuple[str, ...]], Policy], clock: Clock
    ) -> None:
        self._store = store
        self._policy = policy
        self._clock = clock

    async def soon(
        self, tenant: Tenant, *, days: int, after: str | None, limit: int
    ) -> ExpiringPage:
        """At most ``limit`` consents that end within ``days``, behind the cursor ``after``.

        Raises ValueError for a cursor that is none, StoreTrouble.
        """
        behind: Place | None = _place(after)
        now = self._clock.now()
        until = now + days * DAY
        policy = self._policy(tenant.rulebooks)
        limits = [disuse_limit(policy, tenant, basis) for basis in Basis]
        ends = [one for one in limits if one is not None]
        signs = (now - max(ends) * DAY, until - min(ends) * DAY) if ends else _NEVER
        items: list[ExpiringConsent] = []
        while behind is not None:
            page = await self._store.ageing.page(
                tenant.id, dated=(now, until), last_sign=signs, after=behind, limit=CHUNK
            )
            behind, found = page.next, page.consents
            acts = await self._store.consents.acts(tenant.id, [one.keys for one in found])
            for one, said in zip(found, acts, strict=True):
                covered, mailing_list = self._scope(tenant, one)
                ending = (
                    lapse(
                        said,
                        tenant=tenant,
                        mailing_list=mailing_list,
                        policy=policy,
                        now=now,
                        until=until,
                    )
                    if covered
                    else None
                )
                if ending is not None:
                    items.append(self._shown(one, ending))
                    if len(items) == limit:
                        return ExpiringPage(tuple(items), _cursor(one.place))
        return ExpiringPage(tuple(items), None)

    def _scope(self, tenant: Tenant, one: AgeingConsent) -> tuple[bool, MailingList | None]:
        """Whether mail can still go out at this scope, and the list that stands for it."""
        if one.list_id is not None:
            mailing_list = self._store.directory.lists.get(one.list_id)
            return mailing_list is not None and not mailing_list.archived, mailing_list
        if one.brand_id is not None:
            known = one.brand_id in self._store.directory.brands
            return known, brand_itself(tenant.id, one.brand_id)
        return True, None

    def _shown(self, one: AgeingConsent, ending: Lapse) -> ExpiringConsent:
        directory = self._store.directory
        brand, mailing_list = directory.brand(one.brand_id), directory.mailing_list(one.list_id)
        return ExpiringConsent(
            address=one.address,
            brand=brand.slug if brand is not None else None,
            list=mailing_list.slug if mailing_list is not None else None,
            lapse=ending,
        )


def _cursor(place: Place) -> str:
    return ".".join(map(str, place))


def _place(cursor: str | None) -> Place:
    if cursor is None:
        return START
    read = _CURSOR.fullmatch(cursor)
    if read is None:
        raise ValueError("not a cursor of this list")
    return read[1], int(read[2]), int(read[3])
