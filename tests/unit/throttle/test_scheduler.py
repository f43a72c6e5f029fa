from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from relay.model import Kind
from relay.ports import Batch, Waiting
from relay.throttle.gcra import GcraThrottle
from relay.throttle.scheduler import LARGEST_BATCH, Scheduler
from relay.throttle.spec import Spec, parse

NOW = 1_800_000_000.0
WIDE = parse("1000000/second,burst=1000000")


def scheduler(own: str | None = None, domain: str | None = None) -> Scheduler:
    first: Spec = parse(own) if own else WIDE
    second: Spec = parse(domain) if domain else WIDE
    return Scheduler(GcraThrottle(lambda tenant: first, lambda tenant, name: second))


def copy(
    name: str,
    seq: int = 0,
    tenant: int = 1,
    domain: str = "ok.test",
    kind: Kind = Kind.COMMERCIAL,
    at: float = NOW,
) -> Waiting:
    return Waiting(name, seq, tenant, domain, kind, at)


def batch(schedule: Scheduler, now: float = NOW) -> Batch:
    taken = schedule.next(now)
    assert isinstance(taken, Batch), taken
    return taken


def names(schedule: Scheduler, now: float = NOW) -> list[str]:
    """All that may go now, in order."""
    found = []
    while isinstance(taken := schedule.next(now), Batch):
        found.append(taken.message_id)
    return found


def offered(schedule: Scheduler, *items: Waiting) -> Scheduler:
    schedule.offer(items)
    return schedule


def test_nothing_waits() -> None:
    assert scheduler().next(NOW) == math.inf


def test_not_before_its_time() -> None:
    schedule = offered(scheduler(), copy("a", at=NOW + 60), copy("b", at=NOW + 90))
    assert schedule.next(NOW) == 60
    assert names(schedule, NOW + 60) == ["a"]
    assert schedule.next(NOW + 60) == 30


def test_by_time_then_in_the_order_of_arrival() -> None:
    schedule = offered(
        scheduler(), copy("c", at=NOW - 1), copy("a", at=NOW - 2), copy("d", at=NOW - 1), copy("b")
    )
    assert names(schedule) == ["a", "c", "d", "b"]


def test_tenants_take_turns() -> None:
    schedule = scheduler()
    schedule.offer(copy(f"big{n}", tenant=1, at=NOW - 100) for n in range(1_000))
    schedule.offer([copy("small1", tenant=2), copy("small2", tenant=2)])
    assert names(schedule)[:4] == ["big0", "small1", "big1", "small2"]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.COMMERCIAL])
def test_urgent_before_commercial_of_the_same_tenant(kind: Kind) -> None:
    schedule = offered(scheduler(), copy("news", at=NOW - 900), copy("reset", kind=kind))
    assert names(schedule) == ["reset", "news"]


def test_commercial_copies_go_one_by_one() -> None:
    schedule = offered(scheduler(), *(copy("news", seq) for seq in range(3)))
    assert [batch(schedule).seqs for _ in range(3)] == [(0,), (1,), (2,)]


def test_other_copies_of_a_message_go_together() -> None:
    personal = [
        copy("letter", seq, domain=f"d{seq % 2}.test", kind=Kind.PERSONAL) for seq in range(4)
    ]
    schedule = offered(scheduler(), *personal, copy("other", kind=Kind.PERSONAL))
    taken = batch(schedule)
    assert sorted(taken.seqs) == [0, 1, 2, 3]
    assert sorted(taken.domains) == ["d0.test", "d1.test"]
    assert (taken.message_id, taken.tenant_id, taken.kind) == ("letter", 1, Kind.PERSONAL)
    assert names(schedule) == ["other"]


def test_only_what_is_due_goes_together() -> None:
    schedule = offered(
        scheduler(),
        copy("letter", 0, kind=Kind.PERSONAL),
        copy("letter", 1, kind=Kind.PERSONAL, at=NOW + 60),
    )
    assert batch(schedule).seqs == (0,)
    assert schedule.next(NOW) == 60


def test_a_kind_set_by_a_person_is_a_batch_of_its_own() -> None:
    schedule = offered(
        scheduler(),
        copy("news", 0),
        copy("news", 1, kind=Kind.TRANSACTIONAL),
        copy("news", 2, kind=Kind.TRANSACTIONAL),
    )
    assert [batch(schedule).seqs for _ in range(2)] == [(1, 2), (0,)]


def test_a_batch_has_an_upper_limit() -> None:
    schedule = scheduler()
    schedule.offer(copy("m", seq, kind=Kind.DISCUSSION) for seq in range(LARGEST_BATCH + 5))
    assert [len(batch(schedule).seqs) for _ in range(2)] == [LARGEST_BATCH, 5]


# --- throttled -----------------------------------------------------------------------------------


def test_a_throttled_domain_holds_up_no_other() -> None:
    schedule = scheduler(domain="1/hour,burst=2")
    schedule.offer(copy(f"slow{n}", domain="slow.test", at=NOW - 10) for n in range(100))
    schedule.offer(copy(f"d{n}", domain=f"d{n}.test") for n in range(100))
    assert names(schedule) == ["slow0", "slow1", *(f"d{n}" for n in range(100))]
    assert schedule.next(NOW) == pytest.approx(60)  # asked again: the rate may have been raised
    assert names(schedule, NOW + 3_600) == ["slow2"]


def test_a_throttled_tenant_holds_up_no_other() -> None:
    schedule = scheduler(own="1/second,burst=1")
    schedule.offer(copy(f"a{n}", tenant=1) for n in range(10))
    schedule.offer(copy(f"b{n}", tenant=2) for n in range(10))
    assert names(schedule) == ["a0", "b0"]
    assert schedule.next(NOW) == pytest.approx(1, abs=1e-5)
    assert sorted(names(schedule, NOW + 1.001)) == ["a1", "b1"]


def test_urgent_mail_gets_the_next_place_of_a_throttled_tenant() -> None:
    schedule = scheduler(own="1/second,burst=1")
    schedule.offer(copy(f"news{n}") for n in range(10))
    assert names(schedule) == ["news0"]
    schedule.offer([copy("reset", kind=Kind.TRANSACTIONAL, domain="other.test")])
    assert names(schedule, NOW + 1.001) == ["reset"]
    assert names(schedule, NOW + 2.002) == ["news1"]


def test_urgent_mail_to_a_throttled_domain_does_not_hold_up_commercial_mail() -> None:
    schedule = scheduler(domain="1/hour,burst=1")
    schedule.offer([copy("first", domain="slow.test"), copy("news", domain="fast.test")])
    schedule.offer([copy("reset", domain="slow.test", kind=Kind.TRANSACTIONAL)])
    assert names(schedule) == ["reset", "news"]


def test_a_large_batch_goes_in_slices_at_the_literal_rate() -> None:
    schedule = scheduler(own="10/second,burst=50")
    schedule.offer(copy("m", seq, kind=Kind.DISCUSSION) for seq in range(120))
    assert len(batch(schedule).seqs) == 50
    assert schedule.next(NOW) == pytest.approx(0.1, abs=1e-5)
    assert len(batch(schedule, NOW + 5.001).seqs) == 50
    assert len(batch(schedule, NOW + 10.002).seqs) == 20


def test_recipients_in_a_throttled_domain_wait_and_the_others_of_the_batch_go() -> None:
    schedule = scheduler(domain="1/hour,burst=1")
    schedule.offer(
        copy("m", seq, domain=domain, kind=Kind.PERSONAL)
        for seq, domain in enumerate(["a.test", "a.test", "b.test", "c.test"])
    )
    assert sorted(batch(schedule).seqs) == [0, 2, 3]
    assert isinstance(schedule.next(NOW), float)
    assert batch(schedule, NOW + 3_600).seqs == (1,)


# --- leases --------------------------------------------------------------------------------------


def test_a_leased_copy_is_not_handed_out_again() -> None:
    schedule = offered(scheduler(), copy("a"))
    taken = batch(schedule)
    schedule.offer([copy("a")])
    assert schedule.next(NOW) == math.inf
    # What was said about it meanwhile counts afterwards: a person may have released it.
    schedule.done(taken)
    assert names(schedule) == ["a"]


def test_after_done_it_is_gone_unless_offered() -> None:
    schedule = offered(scheduler(), copy("a"))
    schedule.done(batch(schedule))
    assert schedule.next(NOW) == math.inf
    schedule.offer([copy("a", at=NOW + 60)])
    assert schedule.next(NOW) == 60


def test_offered_twice_is_waiting_once_and_the_last_word_counts() -> None:
    schedule = offered(scheduler(), copy("a"), copy("a", at=NOW + 60), copy("b"), copy("b"))
    assert len(schedule) == 2
    assert names(schedule) == ["b"]
    assert names(schedule, NOW + 60) == ["a"]


@pytest.mark.parametrize("kind", [Kind.COMMERCIAL, Kind.PERSONAL])
def test_forgotten_copies_do_not_go(kind: Kind) -> None:
    schedule = offered(
        scheduler(), *(copy("a", seq, kind=kind) for seq in range(3)), copy("b", at=NOW + 5)
    )
    assert schedule.next(NOW - 1) == 1
    schedule.forget([("a", 0), ("a", 2), ("b", 0), ("unknown", 9)])
    assert batch(schedule).seqs == (1,)
    assert schedule.next(NOW + 10) == math.inf
    assert len(schedule) == 0


def test_forgotten_after_it_became_due() -> None:
    schedule = offered(scheduler(own="1/day,burst=1"), copy("a"), copy("b"), copy("c"))
    assert names(schedule) == ["a"]
    schedule.forget([("b", 0)])
    assert names(schedule, NOW + 86_400) == ["c"]


def test_forgotten_while_leased_undoes_what_was_offered_meanwhile() -> None:
    schedule = offered(scheduler(), copy("a"))
    taken = batch(schedule)
    schedule.offer([copy("a")])
    schedule.forget([("a", 0)])
    schedule.done(taken)
    assert schedule.next(NOW) == math.inf


def test_retry_now() -> None:
    schedule = offered(scheduler(), copy("a", at=NOW + 900), copy("b", at=NOW + 900))
    assert schedule.retry_now([("a", 0), ("unknown", 0)], NOW) == 1
    assert names(schedule) == ["a"]
    assert schedule.next(NOW) == 900


def test_retry_now_is_within_the_throttle() -> None:
    schedule = offered(scheduler(own="1/hour,burst=1"), copy("a"), copy("b", at=NOW + 900))
    assert names(schedule) == ["a"]
    assert schedule.retry_now([("b", 0)], NOW) == 1
    assert names(schedule) == []


def test_one_hundred_thousand_copies() -> None:
    schedule = scheduler(domain="1/hour,burst=1")

    def many() -> Iterable[Waiting]:
        for n in range(100_000):
            yield copy(f"m{n % 5_000}", n, tenant=n % 7, domain=f"d{n % 991}.test", at=NOW + n % 60)

    schedule.offer(many())
    assert len(schedule) == 100_000
    seen = []
    while isinstance(taken := schedule.next(NOW + 60), Batch):
        seen += [(taken.message_id, seq, taken.tenant_id, taken.domains) for seq in taken.seqs]
        schedule.done(taken)
    # Everything became due, and of each tenant and domain one went.
    assert len(seen) == len(set(seen)) == 7 * 991
    assert len(schedule) == 100_000 - len(seen)


def test_offering_the_same_again_and_again_does_not_grow() -> None:
    schedule = scheduler()
    for n in range(20_000):
        schedule.offer([copy("a", at=NOW + 900 + n)])
    assert len(schedule._later) < 5_000
