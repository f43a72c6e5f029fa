"""The copies of one tenant that are due, in the order in which they should go."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from relay.model import Kind
from relay.ports import Waiting


@dataclass(slots=True, eq=False)
class Item:
    """One waiting copy. ``live`` turns False when it has gone, changed or been forgotten; what
    the heaps still hold of it is then skipped, which keeps every removal cheap."""

    waiting: Waiting
    rank: tuple[float, int]
    """When it became due, and the order in which we heard of it: unique."""
    live: bool = True

    def __lt__(self, other: Item) -> bool:
        return self.rank < other.rank


@dataclass(slots=True, eq=False)
class DomainQueue:
    """The due copies of one lane for one destination domain, oldest first."""

    domain: str
    items: list[Item] = field(default_factory=list)
    listed: tuple[float, int] | None = None
    """Rank under which the lane's order names this queue; None while it is not in the order."""
    parked: bool = False

    def head(self) -> Item | None:
        """The oldest copy that still waits; dead entries before it are dropped."""
        while self.items and not self.items[0].live:
            heapq.heappop(self.items)
        return self.items[0] if self.items else None


class Lane:
    """Due copies of one urgency: a queue per destination domain, and the order of the queues."""

    def __init__(self) -> None:
        self._queues: dict[str, DomainQueue] = {}
        self._order: list[tuple[tuple[float, int], DomainQueue]] = []

    def add(self, item: Item) -> None:
        """Take in a copy that is due."""
        domain = item.waiting.domain
        queue = self._queues.get(domain)
        if queue is None:
            queue = self._queues[domain] = DomainQueue(domain)
        heapq.heappush(queue.items, item)
        self.relist(queue)

    def first(self) -> tuple[DomainQueue, Item] | None:
        """The queue whose head is the oldest of all that are not parked, and that head."""
        while self._order:
            rank, queue = self._order[0]
            head = queue.head()
            if queue.listed == rank and head is not None and head.rank == rank:
                return queue, head
            heapq.heappop(self._order)
            if queue.listed == rank:
                queue.listed = None
                self.relist(queue)
        return None

    def park(self, queue: DomainQueue) -> None:
        """Take a queue out of the order until ``unpark``."""
        queue.parked, queue.listed = True, None

    def unpark(self, queue: DomainQueue) -> None:
        """Let a domain's copies be taken again."""
        queue.parked = False
        self.relist(queue)

    def relist(self, queue: DomainQueue) -> None:
        """Name the queue in the order under its present head; drop it when it is empty."""
        if queue.parked:
            return
        head = queue.head()
        if head is None:
            queue.listed = None
            self._queues.pop(queue.domain, None)
        elif queue.listed != head.rank:
            queue.listed = head.rank
            heapq.heappush(self._order, (head.rank, queue))


@dataclass(slots=True, eq=False)
class TenantLanes:
    """One tenant's due copies: what a person waits for, and what can wait."""

    tenant_id: int
    urgent: Lane = field(default_factory=Lane)
    commercial: Lane = field(default_factory=Lane)
    in_ring: bool = False
    parked: bool = False

    def lane(self, kind: Kind) -> Lane:
        """The lane that mail of ``kind`` goes in."""
        return self.commercial if kind is Kind.COMMERCIAL else self.urgent
