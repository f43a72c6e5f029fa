from __future__ import annotations

from relay.egress.circuit import THRESHOLD, Circuit


def down(now: float = 0.0) -> Circuit:
    circuit = Circuit()
    for _ in range(THRESHOLD):
        circuit.failed(now)
    return circuit


def test_closed_until_the_threshold() -> None:
    circuit = Circuit()
    for _ in range(THRESHOLD - 1):
        circuit.failed(0.0)
        assert circuit.wait(0.0) == 0.0
    circuit.succeeded()
    circuit.failed(0.0)
    assert not circuit.is_open


def test_one_probe_per_interval_and_growing_intervals() -> None:
    circuit, now, waits = down(), 0.0, []
    for _ in range(9):
        wait = circuit.wait(now)
        waits.append(wait)
        now += wait
        assert circuit.wait(now) == 0.0
        circuit.admitted(now)
        circuit.failed(now)
    assert waits == [1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_late_failures_of_the_same_outage_change_nothing() -> None:
    circuit = down()
    for _ in range(50):
        circuit.failed(0.5)
    assert circuit.wait(0.5) == 0.5


def test_one_success_opens_the_way_and_starts_over() -> None:
    circuit = down()
    for now in (1.0, 2.0, 4.0):
        circuit.admitted(now)
    circuit.succeeded()
    assert circuit.wait(4.0) == 0.0
    for _ in range(THRESHOLD):
        circuit.failed(10.0)
    assert circuit.wait(10.0) == 1.0
