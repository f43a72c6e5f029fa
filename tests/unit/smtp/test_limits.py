"""Connection, memory and password limits, on a clock that stands still."""

from __future__ import annotations

import pytest

from relay.smtp.limits import (
    LONGEST_WAIT,
    REMEMBERED,
    ConnectionLimits,
    MemoryBudget,
    WrongPasswords,
    client_key,
)
from tests.support.clock import FakeClock


def limits(clock: FakeClock, **changed: int) -> ConnectionLimits:
    return ConnectionLimits(
        **{"total": 10, "per_address": 3, "per_minute": 100} | changed, clock=clock
    )


@pytest.mark.parametrize(
    ("ip", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_what_counts_as_one_client(ip: str, key: str) -> None:
    assert client_key(ip) == key


def test_per_address_and_in_all() -> None:
    door = limits(FakeClock(), total=4)
    assert [door.enter("192.0.2.1") for _ in range(4)] == [True, True, True, False]
    assert door.enter("192.0.2.2")
    assert not door.enter("192.0.2.3")
    door.leave("192.0.2.1")
    assert door.enter("192.0.2.3")
    assert door.count == 4


def test_per_minute() -> None:
    clock = FakeClock()
    door = limits(clock, per_minute=2)
    for expected in (True, True, False):
        assert door.enter("192.0.2.1") is expected
        if expected:
            door.leave("192.0.2.1")
    assert door.enter("192.0.2.2")
    clock.advance(60)
    assert door.enter("192.0.2.1")


def test_stress_from_four_fifths() -> None:
    door = limits(FakeClock(), per_address=10)
    for _ in range(7):
        door.enter("192.0.2.1")
    assert not door.stressed
    door.enter("192.0.2.1")
    assert door.stressed


def test_records_of_clients_are_bounded() -> None:
    door = limits(FakeClock(), per_minute=1)
    for number in range(REMEMBERED + 1):
        assert door.enter(f"client{number}")
        door.leave(f"client{number}")
    assert door.enter("client0"), "the first was forgotten"
    assert not door.enter(f"client{REMEMBERED}")


def test_memory_budget() -> None:
    budget = MemoryBudget(100)
    first, second = budget.hold(60), budget.hold(40)
    assert first is not None
    assert second is not None
    assert budget.hold(1) is None
    assert not second.grow(41)
    assert second.grow(40)
    first.release()
    first.release()
    assert budget.used == 40
    assert second.grow(100)
    second.release()
    assert budget.used == 0


def test_a_message_above_the_budget_passes_alone() -> None:
    budget = MemoryBudget(100)
    alone = budget.hold(500)
    assert alone is not None
    assert budget.hold(1) is None
    assert alone.grow(600)


def test_wrong_passwords_wait_longer_and_longer() -> None:
    clock = FakeClock()
    guard = WrongPasswords(per_minute=2, per_hour=100, clock=clock)
    waits = [guard.wrong("192.0.2.1", f"user{number}") for number in range(10)]
    assert waits == [0, 0, 1, 2, 4, 8, 16, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]
    assert guard.wrong("192.0.2.2", "other") == 0
    clock.advance(60)
    assert guard.wrong("192.0.2.1", "other") == 0


def test_an_account_is_guarded_from_everywhere() -> None:
    clock = FakeClock()
    guard = WrongPasswords(per_minute=100, per_hour=3, clock=clock)
    waits = [guard.wrong(f"192.0.2.{number}", "shop") for number in range(5)]
    assert waits == [0, 0, 0, 1, 2]
    clock.advance(3600)
    assert guard.wrong("192.0.2.9", "shop") == 0
