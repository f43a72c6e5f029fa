"""Counts per client what may come a limited number of times in a minute: wrong tokens, requests."""

from __future__ import annotations

from collections import OrderedDict

from relay.ports import Clock
from relay.web.client_address import neighbourhood

PERIOD = 60.0
"""Seconds in which a full bucket empties."""

_MOST = 10_000
"""Clients remembered; beyond that the one longest quiet is forgotten."""


class LeakyBuckets:
    """A leaky bucket per client: it holds ``limit`` and empties in ``PERIOD``."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, client: str) -> float:
        """Note one more of this client: an address (IPv6 counts per /64), or any other name.

        Returns 0.0 while the client is within the limit, else the seconds to wait.
        """
        key = neighbourhood(client)
        now = self._clock.monotonic()
        level, at = self._clients.pop(key, (0.0, now))
        level = max(0.0, level - (now - at) * self._limit / PERIOD)
        over = level + 1 - self._limit
        self._clients[key] = (level if over > 0 else level + 1, now)
        if len(self._clients) > _MOST:
            self._clients.popitem(last=False)
        return max(0.0, over) * PERIOD / self._limit
