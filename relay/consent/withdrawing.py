"""The one way out, for every channel: link, page, API, shell, complaint, other software, erasure.

An opt-out is durable (ledger and opt-out journal) and in force before anybody is told that it is
(clauses B12, B22). It closes the widest consent that covered the mail, and everything below, so
that one consent never takes three opt-outs (B21).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from relay.decide.standing import (
    OPTED_OUT,
    WIDTH,
    brand_itself,
    level,
    standing,
    widest_consent,
)
from relay.model import Act, MailingList, ScopeLevel, SubjectKeys, Tenant
from relay.ports import Clock, Json
from relay.store.people.consents import SAID_AGAIN
from relay.store.store import Store


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """An opt-out that is durable and in force."""

    event_id: int
    """Of the opt-out, or of the block that stood before."""
    recorded: bool
    """False when everything asked for had stopped within the minute before (``SAID_AGAIN``), and
    nothing had to be written."""
    scope: ScopeLevel
    """How much has stopped."""
    brand_id: int | None
    list_id: int | None


@dataclass(frozen=True, slots=True)
class Closing:
    """What an opt-out closes, or would close."""

    scope: ScopeLevel
    brand_id: int | None
    list_id: int | None
    block: int | None
    """Event of the opt-out or complaint that closed it before; None while it is open."""
    since: float = 0.0
    """When that was said, epoch seconds."""


class Withdrawing:
    """Records opt-outs and complaints."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        seen: Callable[[str, str], None],
        in_force: Callable[[float], None],
    ) -> None:
        """``seen`` is told tenant slug and channel of each opt-out recorded, ``in_force`` the
        seconds from its arrival to its being in force."""
        self._store: Final = store
        self._clock: Final = clock
        self._seen: Final = seen
        self._in_force: Final = in_force
        # Two clicks at the same moment are one opt-out, also in what is counted.
        self._turns: Final[WeakValueDictionary[tuple[int, bytes], asyncio.Lock]] = (
            WeakValueDictionary()
        )

    async def withdraw(
        self,
        tenant: Tenant,
        keys: SubjectKeys,
        *,
        mailing_list: MailingList | None = None,
        scope: ScopeLevel | None = None,
        channel: str,
        at: float | None = None,
        evidence: Mapping[str, Json] | None = None,
    ) -> Withdrawn:
        """Close what is asked for and everything below; durable and in force on return.

        Without ``scope``: the widest consent that covered ``mailing_list``, or, with no consent on
        record or without a list, everything of the tenant. With ``scope``: that level of the list,
        or the wider consent in force; never less (B21). ``channel`` is one-click, page, api,
        command, hook or erasure; ``at`` is when the person said so, in seconds since
        the epoch: now unless given, never later. Raises StoreTrouble: then nothing is recorded.
        """
        arrived = self._clock.now()
        lock = self._turns.setdefault((tenant.id, keys.wide), asyncio.Lock())
        async with lock:
            (acts,) = await self._store.consents.acts(tenant.id, [keys])
            closing = what_closes(acts, tenant, mailing_list, scope, arrived)
            event_id = closing.block
            said = arrived if at is None else min(at, arrived)
            if (
                event_id is None
                or said - closing.since >= SAID_AGAIN
                or await self._store.consents.came_back(tenant.id, keys, event_id)
            ):
                event_id = await self._store.consents.withdraw(
                    tenant.id,
                    keys,
                    at=said,
                    channel=channel,
                    brand_id=closing.brand_id,
                    list_id=closing.list_id,
                    evidence=evidence,
                )
        recorded = _is_new(event_id, acts)
        if recorded:
            self._tell(tenant, channel, arrived)
        return Withdrawn(event_id, recorded, closing.scope, closing.brand_id, closing.list_id)

    async def complain(
        self,
        tenant: Tenant,
        keys: SubjectKeys,
        *,
        at: float | None = None,
        evidence: Mapping[str, Json] | None = None,
    ) -> Withdrawn:
        """Record a complaint: an opt-out from all commercial mail of the tenant, counted under
        channel ``complaint``. Raises StoreTrouble."""
        arrived = self._clock.now()
        lock = self._turns.setdefault((tenant.id, keys.wide), asyncio.Lock())
        async with lock:
            (acts,) = await self._store.consents.acts(tenant.id, [keys])
            event_id = await self._store.consents.complain(
                tenant.id,
                keys,
                at=arrived if at is None else min(at, arrived),
                evidence=evidence,
            )
        recorded = _is_new(event_id, acts)
        if recorded:
            self._tell(tenant, "complaint", arrived)
        return Withdrawn(event_id, recorded, ScopeLevel.TENANT, None, None)

    def _tell(self, tenant: Tenant, channel: str, arrived: float) -> None:
        self._seen(tenant.slug, channel)
        self._in_force(max(0.0, self._clock.now() - arrived))


def _is_new(event_id: int, acts: Sequence[Act]) -> bool:
    return all(act.event_id != event_id for act in acts)


def what_closes(
    acts: Sequence[Act],
    tenant: Tenant,
    mailing_list: MailingList | None,
    asked: ScopeLevel | None,
    now: float,
) -> Closing:
    """What an opt-out closes, from the acts on record about the person; ``asked`` as ``scope`` of
    ``Withdrawing.withdraw``, ``now`` in seconds since the epoch."""
    widest = widest_consent(acts, tenant_id=tenant.id, mailing_list=mailing_list, now=now)
    covered = level(widest) if widest is not None else None
    if asked is None:
        scope = covered or ScopeLevel.TENANT
    else:
        scope = max((asked, covered or asked), key=WIDTH.__getitem__)
    if mailing_list is None or (scope is ScopeLevel.BRAND and mailing_list.brand_id is None):
        scope = ScopeLevel.TENANT
    return closing_at(acts, tenant, mailing_list, scope, now)


def closing_at(
    acts: Sequence[Act],
    tenant: Tenant,
    mailing_list: MailingList | None,
    scope: ScopeLevel,
    now: float,
) -> Closing:
    """The named level above ``mailing_list``, and whether a block closes it already."""
    at = None if scope is ScopeLevel.TENANT else mailing_list
    if at is not None and scope is ScopeLevel.BRAND:
        at = brand_itself(tenant.id, at.brand_id)
    person = standing(acts, tenant_id=tenant.id, mailing_list=at, now=now)
    return Closing(
        scope,
        brand_id=at.brand_id if at is not None else None,
        list_id=at.id if at is not None and scope is ScopeLevel.LIST else None,
        block=person.event_id if person.state in OPTED_OUT else None,
        since=person.since or 0.0,
    )


def wider_than(scope: ScopeLevel, mailing_list: MailingList | None) -> ScopeLevel | None:
    """The next level above, or None at the top; a list without a brand has none between."""
    if scope is ScopeLevel.TENANT:
        return None
    has_brand = mailing_list is not None and mailing_list.brand_id is not None
    return ScopeLevel.BRAND if scope is ScopeLevel.LIST and has_brand else ScopeLevel.TENANT
