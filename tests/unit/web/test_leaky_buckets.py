from __future__ import annotations

import pytest

from relay.web import leaky_buckets
from relay.web.leaky_buckets import LeakyBuckets
from tests.support.clock import FakeClock


def test_limit_wait_and_recovery() -> None:
    clock = FakeClock()
    buckets = LeakyBuckets(30, clock)
    assert [buckets.count("192.0.2.1") for _ in range(30)] == [0.0] * 30
    wait = buckets.count("192.0.2.1")
    assert wait == pytest.approx(2.0)
    clock.advance(wait)
    assert buckets.count("192.0.2.1") == pytest.approx(0.0)
    assert buckets.count("192.0.2.1") > 0


def test_clients_are_counted_apart_and_an_ipv6_net_together() -> None:
    buckets = LeakyBuckets(1, FakeClock())
    assert buckets.count("192.0.2.1") == 0
    assert buckets.count("192.0.2.2") == 0
    assert buckets.count("2001:db8::1") == 0
    assert buckets.count("2001:db8::ffff") > 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaky_buckets, "_MOST", 3)
    buckets = LeakyBuckets(1, FakeClock())
    for last in range(4):
        buckets.count(f"192.0.2.{last}")
    assert buckets.count("192.0.2.0") == 0, "the longest quiet one is forgotten"
    assert buckets.count("192.0.2.3") > 0
