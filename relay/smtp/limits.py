"""What one client, and all clients together, may take: connections, memory, wrong passwords.

Nothing here does I/O or sleeps; time comes from the clock that is handed in.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque

from relay.ports import Clock

STRESS = 0.8
"""Share of all connection slots in use from which patience gets short (Postfix STRESS_README)."""
REMEMBERED = 10_000
"""Addresses or accounts with a record at one time; the least recent is forgotten first."""
LONGEST_WAIT = 30.0
"""Seconds that a wrong password waits at most."""


def client_key(ip: str) -> str:
    """What counts as one client address: an IPv4 address, or the /64 of an IPv6 address.

    A single IPv6 host commonly has a whole /64 to itself.
    """
    if ":" not in ip:
        return ip
    address = ipaddress.IPv6Address(ip.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))


class ConnectionLimits:
    """Counts connections in all, per client address, and new ones per address and minute."""

    def __init__(self, *, total: int, per_address: int, per_minute: int, clock: Clock) -> None:
        self._total = total
        self._per_address = per_address
        self._per_minute = per_minute
        self._clock = clock
        self._open: dict[str, int] = {}
        self._recent: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.count = 0
        """Connections open now."""

    @property
    def stressed(self) -> bool:
        """Whether most slots are taken."""
        return self.count >= self._total * STRESS

    def enter(self, ip: str) -> bool:
        """Count a new connection and return True, or return False when a limit is reached.

        A connection that was refused is not counted as open; ``leave`` is not due for it.
        """
        key = client_key(ip)
        now = self._clock.monotonic()
        since, seen = self._recent.get(key, (now, 0))
        if now - since >= 60:
            since, seen = now, 0
        self._recent[key] = (since, seen + 1)
        self._recent.move_to_end(key)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        already = self._open.get(key, 0)
        if self.count >= self._total or already >= self._per_address or seen >= self._per_minute:
            return False
        self.count += 1
        self._open[key] = already + 1
        return True

    def leave(self, ip: str) -> None:
        """A connection that was let in has ended."""
        key = client_key(ip)
        self.count -= 1
        left = self._open[key] - 1
        if left:
            self._open[key] = left
        else:
            del self._open[key]


class Hold:
    """One message's share of the memory budget, in octets."""

    def __init__(self, budget: MemoryBudget, octets: int) -> None:
        self._budget = budget
        self._octets = octets

    def grow(self, octets: int) -> bool:
        """Make the share at least ``octets``; False when there is no room for it."""
        more = octets - self._octets
        if more <= 0:
            return True
        others = self._budget.used - self._octets
        if others and others + octets > self._budget.limit:
            return False
        self._octets += more
        self._budget.used += more
        return True

    def release(self) -> None:
        """Give everything back; a second time does nothing."""
        self._budget.used -= self._octets
        self._octets = 0


class MemoryBudget:
    """Octets of messages in flight in all sessions together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def hold(self, octets: int) -> Hold | None:
        """A share for one message, or None when there is no room.

        A message larger than the whole budget may pass when it is alone, else it never could.
        """
        hold = Hold(self, 0)
        return hold if hold.grow(octets) else None


class WrongPasswords:
    """Remembers wrong passwords per client address and per account.

    A right password is never asked about: whoever has it enters, also from an address that
    guesses (a whole office behind one address must not be locked out by one bad device). Secrets
    are machine-made, so guessing is a nuisance rather than a danger.
    """

    def __init__(self, *, per_minute: int, per_hour: int, clock: Clock) -> None:
        self._addresses = _Window(per_minute, 60.0)
        self._accounts = _Window(per_hour, 3600.0)
        self._clock = clock

    def wrong(self, ip: str, account: str) -> float:
        """Record one; returns the seconds that its answer has to wait: 0, then 1, 2, 4 and on."""
        now = self._clock.monotonic()
        excess = max(self._addresses.add(client_key(ip), now), self._accounts.add(account, now))
        return min(2.0 ** (excess - 1), LONGEST_WAIT) if excess else 0.0


class _Window:
    """Times of events per key within the last ``seconds``."""

    def __init__(self, allowed: int, seconds: float) -> None:
        self._allowed = allowed
        self._seconds = seconds
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, key: str, now: float) -> int:
        """Record an event; returns how many are above what is allowed."""
        # More than these few above the limit cannot make the wait longer.
        times = self._times.setdefault(key, deque(maxlen=self._allowed + 6))
        self._times.move_to_end(key)
        if len(self._times) > REMEMBERED:
            self._times.popitem(last=False)
        times.append(now)
        while now - times[0] >= self._seconds:
            times.popleft()
        return max(0, len(times) - self._allowed)
