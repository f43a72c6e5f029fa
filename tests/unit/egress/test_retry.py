from __future__ import annotations

from dataclasses import replace

import pytest

from relay.egress.retry import after
from relay.model import Address, Copy, CopyState, Outcome, Receipt
from relay.ports import CopyChange

NOW = 1_800_000_000.0
RETRY = (60, 300, 900)
COPY = Copy(
    "M1",
    3,
    Address("yes@ok.test", "yes", "ok.test", "yes@ok.test", "yes@ok.test"),
    CopyState.WAITING,
    attempts=0,
    expires_at=NOW + 432_000,
)
DEFERRED = Receipt(Outcome.DEFERRED, 451, "4.3.0", "451 4.3.0 later", "mx[192.0.2.1]:25")


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Outcome.DELIVERED, CopyState.SENT), (Outcome.REFUSED, CopyState.BOUNCED)],
)
def test_final_outcomes(outcome: Outcome, state: CopyState) -> None:
    receipt = Receipt(outcome, 250, "2.0.0", "what was said", "mx[192.0.2.1]:25")
    assert after(receipt, COPY, NOW, RETRY) == CopyChange("M1", 3, state, NOW, 1, "what was said")


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 60), (1, 300), (2, 900), (3, 900), (9, 900)])
@pytest.mark.parametrize("our_trouble", [False, True])
def test_deferred_follows_the_schedule(attempts: int, seconds: int, our_trouble: bool) -> None:
    receipt = replace(DEFERRED, our_trouble=our_trouble)
    change = after(receipt, replace(COPY, attempts=attempts), NOW, RETRY)
    assert change == CopyChange(
        "M1", 3, CopyState.WAITING, NOW + seconds, attempts + 1, "451 4.3.0 later"
    )


def test_the_last_attempt_is_at_the_end_of_the_lifetime() -> None:
    change = after(DEFERRED, replace(COPY, expires_at=NOW + 10), NOW, RETRY)
    assert (change.state, change.next_at) == (CopyState.WAITING, NOW + 10)


@pytest.mark.parametrize("past", [0, 1, 10_000])
def test_deferred_then_or_later_is_expired(past: float) -> None:
    change = after(DEFERRED, replace(COPY, expires_at=NOW - past), NOW, RETRY)
    assert change.state is CopyState.EXPIRED


def test_a_success_past_the_lifetime_is_a_success() -> None:
    receipt = replace(DEFERRED, outcome=Outcome.DELIVERED)
    assert after(receipt, replace(COPY, expires_at=NOW - 1), NOW, RETRY).state is CopyState.SENT


def test_without_a_lifetime_it_waits_on() -> None:
    change = after(DEFERRED, replace(COPY, expires_at=0.0), NOW, RETRY)
    assert change.state is CopyState.WAITING
