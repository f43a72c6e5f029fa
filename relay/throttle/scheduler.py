"""Which copies go next: no tenant starves, urgent mail first, throttled keys hold up nobody else.

All in memory; the store has the truth and fills it at start. Every operation costs O(log n) per
copy, also with many tenants, many domains and everything throttled: what may not go yet is parked
until a time and not looked at before.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import Protocol, TypeAlias

from relay.model import Kind
from relay.ports import Batch, Waiting
from relay.throttle.gcra import Grant
from relay.throttle.lanes import DomainQueue, Item, Lane, TenantLanes

CopyId: TypeAlias = "tuple[str, int]"

LARGEST_BATCH = 1_000
"""Recipients in one upstream transaction (RFC 5321 4.5.3.1.8 asks servers for 100 at least;
Postfix, and our own front door, take 1,000)."""
LONGEST_PARK = 60.0
"""Seconds after which a throttled key is asked again in any case: its rate may have been raised."""


class Throttle(Protocol):
    """What the scheduler asks of the throttle (``relay.throttle.gcra.GcraThrottle``)."""

    def take(self, tenant_id: int, domain: str, wanted: int, now: float) -> Grant:
        """As many recipients as may go now, and else when to ask again."""


class Scheduler:
    """Every copy that waits, and the order in which they leave.

    A copy that has been handed out (leased) is not handed out again before ``done``; what is
    offered about it meanwhile takes effect then. All times are epoch seconds and come in as
    arguments.
    """

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._items: dict[CopyId, Item] = {}
        self._leased: dict[CopyId, Waiting | None] = {}
        """Handed out; the value is what was offered meanwhile."""
        self._later: list[
            tuple[float, int, Item | TenantLanes | tuple[Lane, DomainQueue, int]]
        ] = []
        """What becomes due, and parked tenants and domains, by time."""
        self._tenants: dict[int, TenantLanes] = {}
        self._ring: deque[TenantLanes] = deque()
        """Tenants with something due that are not parked, in turn."""
        self._due: dict[tuple[str, Kind], dict[CopyId, Item]] = {}
        """Due copies that may share a transaction, by message and kind."""
        self._order = count()

    def __len__(self) -> int:
        """How many copies wait, leased ones not counted."""
        return len(self._items)

    def offer(self, items: Iterable[Waiting]) -> None:
        """Take in copies that wait, new or again. One that is known already is replaced."""
        for waiting in items:
            key = (waiting.message_id, waiting.seq)
            if key in self._leased:
                self._leased[key] = waiting
                continue
            self._remove(key)
            self._put(Item(waiting, (waiting.next_at, next(self._order))))
        self._compact()

    def next(self, now: float) -> Batch | float:
        """A batch that may go now, leased to the caller; or the seconds until something may be
        due (``inf`` when nothing waits)."""
        self._ripen(now)
        while self._ring:
            tenant = self._ring.popleft()
            tenant.in_ring = False
            taken = self._take(tenant, now)
            if taken:
                self._enter_ring(tenant)
                return Batch(tuple(item.waiting for item in taken))
        return max(0.0, self._later[0][0] - now) if self._later else math.inf

    def done(self, batch: Batch) -> None:
        """End the lease of a batch; what waits again is offered afterwards."""
        again = []
        for item in batch.items:
            offered = self._leased.pop((item.message_id, item.seq), None)
            if offered is not None:
                again.append(offered)
        self.offer(again)

    def forget(self, ids: Iterable[CopyId]) -> None:
        """Copies that wait no more (deleted, held). A lease runs to its end."""
        for key in ids:
            self._remove(key)
            if key in self._leased:
                self._leased[key] = None
        self._compact()

    def retry_now(self, ids: Iterable[CopyId], now: float) -> int:
        """Make waiting copies due now, within the throttle; returns how many were waiting."""
        found = 0
        for key in ids:
            item = self._items.get(key)
            if item is None:
                continue
            found += 1
            if item.waiting.next_at > now:
                waiting = item.waiting
                self._remove(key)
                self._put(Item(waiting, (now, next(self._order))))
        self._compact()
        return found

    # --- in and out --------------------------------------------------------------------------

    def _put(self, item: Item) -> None:
        waiting = item.waiting
        self._items[waiting.message_id, waiting.seq] = item
        heapq.heappush(self._later, (*item.rank, item))

    def _remove(self, key: CopyId) -> None:
        item = self._items.pop(key, None)
        if item is None:
            return
        item.live = False
        group = self._due.get((key[0], item.waiting.kind))
        if group is not None and group.pop(key, None) is not None and not group:
            del self._due[key[0], item.waiting.kind]

    def _compact(self) -> None:
        """Bound what dead entries cost when the same copies are offered again and again."""
        if len(self._later) > 1_024 + 4 * len(self._items):
            self._later = [
                entry
                for entry in self._later
                if not (isinstance(entry[2], Item) and not entry[2].live)
            ]
            heapq.heapify(self._later)

    # --- what has become due -----------------------------------------------------------------

    def _ripen(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            thing = heapq.heappop(self._later)[2]
            if isinstance(thing, Item):
                if thing.live:
                    self._make_due(thing)
            elif isinstance(thing, TenantLanes):
                thing.parked = False
                self._enter_ring(thing)
            else:
                lane, queue, tenant_id = thing
                lane.unpark(queue)
                self._enter_ring(self._tenant(tenant_id))

    def _make_due(self, item: Item) -> None:
        waiting = item.waiting
        tenant = self._tenant(waiting.tenant_id)
        tenant.lane(waiting.kind).add(item)
        if waiting.kind is not Kind.COMMERCIAL:
            group = self._due.setdefault((waiting.message_id, waiting.kind), {})
            group[waiting.message_id, waiting.seq] = item
        self._enter_ring(tenant)

    def _tenant(self, tenant_id: int) -> TenantLanes:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            tenant = self._tenants[tenant_id] = TenantLanes(tenant_id)
        return tenant

    def _enter_ring(self, tenant: TenantLanes) -> None:
        if not tenant.in_ring and not tenant.parked:
            tenant.in_ring = True
            self._ring.append(tenant)

    # --- what may go -------------------------------------------------------------------------

    def _take(self, tenant: TenantLanes, now: float) -> list[Item]:
        for lane in (tenant.urgent, tenant.commercial):
            while (first := lane.first()) is not None:
                queue, head = first
                taken, refused = self._lease(tenant.tenant_id, self._together(head), now)
                if taken:
                    lane.relist(queue)
                    return taken
                until = now + min(refused.wait, LONGEST_PARK)
                if refused.tenant_wide:
                    tenant.parked = True
                    heapq.heappush(self._later, (until, next(self._order), tenant))
                    return []
                lane.park(queue)
                entry = (until, next(self._order), (lane, queue, tenant.tenant_id))
                heapq.heappush(self._later, entry)
        return []

    def _together(self, head: Item) -> dict[str, list[Item]]:
        """The copies that may share a transaction with ``head``, by domain, its own first.

        Commercial copies go alone: each carries its own token. Of other kinds all due copies of
        the message go together.
        """
        waiting = head.waiting
        by_domain = {waiting.domain: [head]}
        if waiting.kind is Kind.COMMERCIAL:
            return by_domain
        for item in self._due[waiting.message_id, waiting.kind].values():
            if item is not head:
                by_domain.setdefault(item.waiting.domain, []).append(item)
        return by_domain

    def _lease(
        self, tenant_id: int, by_domain: dict[str, list[Item]], now: float
    ) -> tuple[list[Item], Grant]:
        """Hand out as many as the throttle allows, or none and why the first domain was refused.

        What a domain's budget does not allow stays for that domain's own turn.
        """
        taken: list[Item] = []
        grant = Grant(0)
        for domain, items in by_domain.items():
            wanted = min(len(items), LARGEST_BATCH - len(taken))
            grant = self._throttle.take(tenant_id, domain, wanted, now)
            taken += items[: grant.recipients]
            if not taken or grant.tenant_wide or len(taken) == LARGEST_BATCH:
                break
        for item in taken:
            key = (item.waiting.message_id, item.waiting.seq)
            self._remove(key)
            self._leased[key] = None
        return taken, grant
