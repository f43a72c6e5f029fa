"""How fast a tenant's mail may go: GCRA per tenant, and per tenant and destination domain.

The algorithm is throttled-py's (its atomic actions for memory stores). Two things of the library
are replaced, because they would break a promise of ours:

* Its memory store is an LRU cache of 1,024 keys: a key pushed out forgets what was spent. Ours
  keeps a key for exactly as long as it says anything, in wall-clock time, so that it can be saved.
* It reads ``time.monotonic`` through its own ``utils`` module; ours must run on the time that the
  caller hands in (see ``_Time``).

The library reckons here in whole microseconds, which a float holds exactly: in seconds since the
epoch, rounding would cost every burst a recipient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from throttled.rate_limiter import gcra as library
from throttled.store.memory import MemoryStoreBackend

from relay.throttle.spec import Spec

MICROSECONDS = 1_000_000
CLOCK_SLACK = 1 * MICROSECONDS
"""How far the clock may step back before budgets are moved along with it."""


class _Time:
    """Stands for ``throttled.utils`` inside throttled-py's GCRA module, and there alone.

    That module uses ``utils`` for ``now_mono_f()`` only (throttled-py 3.5; the unit tests notice
    when that changes) and offers no way to pass a clock. GCRA works on differences of time, so
    any clock will do. Calls are synchronous and single-threaded: ``now`` is set just before.
    """

    def __init__(self) -> None:
        self.now = 0

    def now_mono_f(self) -> int:
        return self.now


_time = _Time()
library.utils = _time  # type: ignore[assignment,attr-defined]


class _Budgets(MemoryStoreBackend):
    """The theoretical arrival time of each key (as GCRA calls it), in epoch microseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: dict[str, tuple[float, int]] = {}
        """key → (theoretical arrival time, interval per recipient when it was written)."""
        self.interval = 0
        """The interval in force for the key that the library asks for next."""
        self._sweep_at = 1_024

    def get(self, key: str) -> float | None:
        found = self.spent.get(key)
        if found is None:
            return None
        at, interval = found
        if interval != self.interval and at > _time.now:
            # A changed rate keeps what was spent in recipients, not in seconds: a tenant raised
            # from 10/day to 1000/hour must not sit out the old debt.
            return _time.now + (at - _time.now) / interval * self.interval
        return at

    def set(self, key: str, value: float | str, timeout: int) -> None:
        self.spent[key] = (float(value), self.interval)
        if len(self.spent) >= self._sweep_at:
            self.drop_idle()
            self._sweep_at = max(1_024, 2 * len(self.spent))

    def drop_idle(self) -> None:
        """Forget keys whose budget is whole again: an absent key means the same."""
        self.spent = {key: kept for key, kept in self.spent.items() if kept[0] > _time.now}

    def shift(self, by: int) -> None:
        self.spent = {key: (at + by, interval) for key, (at, interval) in self.spent.items()}


@dataclass(frozen=True, slots=True)
class Grant:
    """What both budgets gave to one tenant and destination domain."""

    recipients: int
    """How many may go now; they have been charged."""
    wait: float = 0.0
    """When none may go: seconds until one may."""
    tenant_wide: bool = False
    """When none may go: True if it is the tenant's own budget that is empty."""


class GcraThrottle:
    """Implements ``relay.ports.Throttle``, counted in recipients.

    ``spec_for(tenant_id)`` and ``domain_spec_for(tenant_id, domain)`` give the rates in force; they
    are asked every time, so that a changed rate counts at once. In any window of W seconds at most
    ``burst + rate x W`` recipients pass; a batch of any size goes in slices of what there is.
    """

    def __init__(
        self, spec_for: Callable[[int], Spec], domain_spec_for: Callable[[int, str], Spec]
    ) -> None:
        self._spec_for = spec_for
        self._domain_spec_for = domain_spec_for
        self._budgets = _Budgets()
        self._peek_action = library.MemoryPeekAtomicAction(self._budgets)
        self._take_action = library.MemoryLimitAtomicAction(self._budgets)
        self._latest = 0

    def __len__(self) -> int:
        """How many budgets are remembered."""
        return len(self._budgets.spent)

    def take(self, tenant_id: int, domain: str, wanted: int, now: float) -> Grant:
        """Charge up to ``wanted`` (at least 1) recipients to both budgets, as many as both allow.

        Both are looked at before either is charged: what does not go owes nothing.
        """
        self._set_time(now)
        own_key, own = _tenant_key(tenant_id), self._spec_for(tenant_id)
        allowed = self._available(own_key, own)
        if allowed < 1:
            return Grant(0, self._until_one(own_key, own), tenant_wide=True)
        key, spec = _domain_key(tenant_id, domain), self._domain_spec_for(tenant_id, domain)
        allowed = min(allowed, self._available(key, spec), wanted)
        if allowed < 1:
            return Grant(0, self._until_one(key, spec))
        self._charge(own_key, own, allowed)
        self._charge(key, spec, allowed)
        return Grant(allowed)

    def wait(self, tenant_id: int, domain: str, now: float) -> float:
        """Seconds until one recipient may go there, 0.0 when one may go now; charges nothing."""
        self._set_time(now)
        budgets = (
            (_tenant_key(tenant_id), self._spec_for(tenant_id)),
            (_domain_key(tenant_id, domain), self._domain_spec_for(tenant_id, domain)),
        )
        return max(
            0.0 if self._available(key, spec) >= 1 else self._until_one(key, spec)
            for key, spec in budgets
        )

    def dump(self) -> dict[str, Any]:
        """What has been spent, as plain JSON, for ``load`` after a restart."""
        self._budgets.drop_idle()
        return {
            "latest": self._latest,
            "spent": {k: list(v) for k, v in self._budgets.spent.items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue with what an earlier run had spent. Raises ValueError when it is no dump."""
        try:
            spent = {str(k): (float(at), int(each)) for k, (at, each) in state["spent"].items()}
            latest = int(state["latest"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not a saved throttle state: {error}") from error
        if any(each <= 0 or not math.isfinite(at) for at, each in spent.values()):
            raise ValueError("not a saved throttle state: a number is out of range")
        self._budgets.spent = spent
        self._latest = latest

    def _set_time(self, now: float) -> None:
        # A wall clock set back must not turn small debts into hours of silence: budgets move
        # with it. A clock set forward refills the bursts, once, and no more than that.
        _time.now = math.floor(now * MICROSECONDS)
        if _time.now < self._latest - CLOCK_SLACK:
            self._budgets.shift(_time.now - self._latest)
            self._latest = _time.now
        self._latest = max(self._latest, _time.now)

    def _available(self, key: str, spec: Spec) -> int:
        interval = self._budgets.interval = _interval(spec)
        return int(self._peek_action.do([key], [interval, spec.burst])[1])

    def _charge(self, key: str, spec: Spec, recipients: int) -> None:
        interval = self._budgets.interval = _interval(spec)
        self._take_action.do([key], [interval, spec.burst, recipients])

    def _until_one(self, key: str, spec: Spec) -> float:
        """Seconds until one fits; asked only when none fits now.

        The library's peek says 0 here for a budget that has just been used up, so it is asked by
        taking, which takes nothing when it does not fit. A microsecond more covers the rounding
        of the epoch in a float.
        """
        interval = self._budgets.interval = _interval(spec)
        limited, _, _, wait = self._take_action.do([key], [interval, spec.burst, 1])
        assert limited
        return (float(wait) + 1) / MICROSECONDS


def _interval(spec: Spec) -> int:
    """Microseconds that one recipient costs, rounded up: never more than the literal rate."""
    return -(-spec.period * MICROSECONDS // spec.recipients)


def _tenant_key(tenant_id: int) -> str:
    return f"{tenant_id}"


def _domain_key(tenant_id: int, domain: str) -> str:
    return f"{tenant_id}:{domain}"
