from __future__ import annotations

import pytest

from relay.web import invalid_tokens
from relay.web.invalid_tokens import InvalidTokens
from tests.support.clock import FakeClock


def test_limit_wait_and_recovery() -> None:
    clock = FakeClock()
    tokens = InvalidTokens(30, clock)
    assert [tokens.count("192.0.2.1") for _ in range(30)] == [0.0] * 30
    wait = tokens.count("192.0.2.1")
    assert wait == pytest.approx(2.0)
    clock.advance(wait)
    assert tokens.count("192.0.2.1") == pytest.approx(0.0)
    assert tokens.count("192.0.2.1") > 0


def test_clients_are_counted_apart_and_an_ipv6_net_together() -> None:
    tokens = InvalidTokens(1, FakeClock())
    assert tokens.count("192.0.2.1") == 0
    assert tokens.count("192.0.2.2") == 0
    assert tokens.count("2001:db8::1") == 0
    assert tokens.count("2001:db8::ffff") > 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invalid_tokens, "_MOST", 3)
    tokens = InvalidTokens(1, FakeClock())
    for last in range(4):
        tokens.count(f"192.0.2.{last}")
    assert tokens.count("192.0.2.0") == 0, "the longest quiet one is forgotten"
    assert tokens.count("192.0.2.3") > 0
