from __future__ import annotations

import json
from typing import Any

import pytest
import throttled.utils

from relay.throttle.gcra import GcraThrottle, Grant
from relay.throttle.spec import Spec, parse
from tests.support.clock import FakeClock

WIDE = parse("1000000/second,burst=1000000")


def throttle(own: str | Spec = WIDE, domain: str | Spec = WIDE) -> GcraThrottle:
    first = parse(own) if isinstance(own, str) else own
    second = parse(domain) if isinstance(domain, str) else domain
    return GcraThrottle(lambda tenant: first, lambda tenant, name: second)


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=1e-5)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_burst_then_the_literal_rate(clock: FakeClock) -> None:
    limit = throttle("1000/hour,burst=50")
    assert [limit.take(1, "ok.test", 1, clock.now()) for _ in range(50)] == [Grant(1)] * 50
    assert limit.take(1, "ok.test", 1, clock.now()) == Grant(0, about(3.6), tenant_wide=True)
    clock.advance(3.5)
    assert limit.wait(1, "ok.test", clock.now()) == about(0.1)
    clock.advance(limit.wait(1, "ok.test", clock.now()))
    assert limit.wait(1, "ok.test", clock.now()) == 0.0
    assert limit.take(1, "ok.test", 9, clock.now()) == Grant(1)
    assert limit.wait(1, "ok.test", clock.now()) == about(3.6)


def test_recipients_count_not_messages(clock: FakeClock) -> None:
    limit = throttle("10/second,burst=10")
    assert limit.take(1, "ok.test", 7, clock.now()) == Grant(7)
    # A batch that does not fit gets what there is, so that it is never overtaken for ever.
    assert limit.take(1, "ok.test", 4, clock.now()) == Grant(3)
    assert limit.take(1, "ok.test", 4, clock.now()) == Grant(0, about(0.1), tenant_wide=True)


def test_a_batch_larger_than_the_burst_goes_in_slices(clock: FakeClock) -> None:
    limit = throttle("10/second,burst=10")
    slices = []
    for _ in range(4):
        slices.append(limit.take(1, "ok.test", 25, clock.now()).recipients)
        clock.advance(0.5)
    assert slices == [10, 5, 5, 5]


def test_domains_and_tenants_have_budgets_of_their_own(clock: FakeClock) -> None:
    limit = throttle("3/hour,burst=3", "1/hour,burst=1")
    assert limit.take(1, "a.test", 1, clock.now()) == Grant(1)
    assert limit.take(1, "a.test", 1, clock.now()) == Grant(0, about(3_600), tenant_wide=False)
    assert limit.take(1, "b.test", 1, clock.now()) == Grant(1)
    assert limit.take(1, "c.test", 1, clock.now()) == Grant(1)
    assert limit.take(1, "d.test", 1, clock.now()) == Grant(0, about(1_200), tenant_wide=True)
    assert limit.wait(1, "a.test", clock.now()) == about(3_600)
    assert limit.take(2, "a.test", 1, clock.now()) == Grant(1)


def test_what_does_not_go_owes_nothing(clock: FakeClock) -> None:
    limit = throttle("2/hour,burst=2", "1/hour,burst=1")
    assert limit.take(1, "a.test", 1, clock.now()) == Grant(1)
    for _ in range(5):
        assert limit.take(1, "a.test", 1, clock.now()).recipients == 0
        assert limit.wait(1, "a.test", clock.now()) > 0
    # The refusals of a.test took nothing from the tenant.
    assert limit.take(1, "b.test", 1, clock.now()) == Grant(1)


def test_a_changed_rate_counts_at_once_and_keeps_debts_in_recipients(clock: FakeClock) -> None:
    specs = {1: parse("10/day,burst=10")}
    limit = GcraThrottle(specs.__getitem__, lambda tenant, name: WIDE)
    assert limit.take(1, "a.test", 10, clock.now()) == Grant(10)
    assert limit.wait(1, "a.test", clock.now()) == about(8_640)
    specs[1] = parse("3600/hour,burst=10")
    assert limit.wait(1, "a.test", clock.now()) == about(1)
    specs[1] = parse("1/day,burst=10")
    assert limit.wait(1, "a.test", clock.now()) == about(86_400)


def test_a_clock_set_back_does_not_silence_anybody(clock: FakeClock) -> None:
    limit = throttle("1000/hour,burst=50")
    limit.take(1, "a.test", 50, clock.now())
    clock.set_wall(clock.now() - 86_400)
    assert limit.wait(1, "a.test", clock.now()) == about(3.6)
    clock.set_wall(clock.now() + 2 * 86_400)
    assert limit.take(1, "a.test", 99, clock.now()) == Grant(50)


def test_a_restart_keeps_what_was_spent(clock: FakeClock) -> None:
    before = throttle("1000/hour,burst=50", "100/hour,burst=10")
    before.take(1, "a.test", 10, clock.now())
    state = json.loads(json.dumps(before.dump()))
    after = throttle("1000/hour,burst=50", "100/hour,burst=10")
    after.load(state)
    assert after.wait(1, "a.test", clock.now()) == before.wait(1, "a.test", clock.now()) > 0
    for name in ("b.test", "c.test", "d.test", "e.test", "f.test"):
        again = after.take(1, name, 10, clock.now())
        assert again == before.take(1, name, 10, clock.now())
    assert again.tenant_wide


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"spent": []},
        {"latest": 0},
        {"latest": 0, "spent": {"1": [1]}},
        {"latest": 0, "spent": {"1": [1, 0]}},
        {"latest": "x", "spent": {}},
        {"latest": 0, "spent": {"1": None}},
    ],
)
def test_a_broken_state_is_refused_whole(state: dict[str, object], clock: FakeClock) -> None:
    limit = throttle("10/hour,burst=10")
    limit.take(1, "a.test", 10, clock.now())
    with pytest.raises(ValueError, match="not a saved throttle state"):
        limit.load(state)
    assert limit.take(1, "a.test", 1, clock.now()).recipients == 0


def test_memory_holds_only_who_owes_something(clock: FakeClock) -> None:
    limit = throttle(WIDE, "3600/hour,burst=5")
    for number in range(20_000):
        limit.take(1, f"d{number}.test", 1, clock.now())
        clock.advance(0.01)
    assert len(limit) < 3_000
    # Nobody was pushed out who still owed: the last domain's budget is known.
    assert limit.take(1, "d19999.test", 9, clock.now()) == Grant(4)


def test_only_the_handed_in_time_counts(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> float:
        raise AssertionError("throttled-py asked its own clock")

    monkeypatch.setattr(throttled.utils, "now_mono_f", forbidden)
    limit = throttle("1/hour,burst=1")
    assert limit.take(1, "a.test", 1, clock.now()) == Grant(1)
    assert limit.wait(1, "a.test", clock.now()) == about(3_600)
