"""Whatever is asked and whenever: the throttle never lets more through than it says, and the
scheduler neither loses a copy nor hands one out twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.model import Kind
from relay.ports import Batch, Waiting
from relay.throttle.gcra import GcraThrottle
from relay.throttle.scheduler import Scheduler
from relay.throttle.spec import Spec

NOW = 1_800_000_000.0
specs = st.builds(Spec, st.integers(1, 50), st.sampled_from([1, 60, 3_600]), st.integers(1, 20))
ROUNDING = 1e-5


def within_rate(taken: list[tuple[float, int]], spec: Spec) -> bool:
    """Whether every window holds at most burst + rate x window recipients."""
    for first, (start, _) in enumerate(taken):
        total = 0
        for at, recipients in taken[first:]:
            total += recipients
            if total > spec.burst + (at - start) / spec.interval + ROUNDING:
                return False
    return True


@given(
    specs,
    specs,
    st.lists(
        st.tuples(st.floats(0, 30), st.sampled_from(["a.test", "b.test"]), st.integers(1, 20)),
        max_size=60,
    ),
    st.integers(0, 60),
)
def test_no_window_holds_more_than_burst_and_rate(
    own: Spec, domain: Spec, asked: list[tuple[float, str, int]], restart_at: int
) -> None:
    def made() -> GcraThrottle:
        return GcraThrottle(lambda tenant: own, lambda tenant, name: domain)

    throttle, now = made(), NOW
    passed: list[tuple[float, str, int]] = []
    for number, (pause, name, wanted) in enumerate(asked):
        now += pause
        if number == restart_at:
            state, throttle = throttle.dump(), made()
            throttle.load(state)
        grant = throttle.take(1, name, wanted, now)
        assert grant.recipients <= wanted
        if grant.recipients:
            passed.append((now, name, grant.recipients))
        else:
            # The answer is honest: one fits after the wait, and none does before.
            assert grant.wait > 0
            later = made()
            later.load(throttle.dump())
            assert later.wait(1, name, now + grant.wait * 0.99) > 0
            grants = [later.take(1, name, 1, now + grant.wait)]
            grants.append(later.take(1, name, 1, now + grant.wait + grants[0].wait))
            assert any(again.recipients for again in grants)
    assert within_rate([(at, count) for at, _, count in passed], own)
    for name in ("a.test", "b.test"):
        assert within_rate([(at, count) for at, to, count in passed if to == name], domain)


class Scheduling(RuleBasedStateMachine):
    """A model of who waits, beside the real thing."""

    @initialize(own=specs, domain=specs)
    def begin(self, own: Spec, domain: Spec) -> None:
        self.own, self.domain, self.now = own, domain, NOW
        self.scheduler = Scheduler(GcraThrottle(lambda tenant: own, lambda tenant, name: domain))
        self.waiting: dict[tuple[str, int], Waiting] = {}
        self.leased: dict[tuple[str, int], Waiting | None] = {}
        self.batches: list[Batch] = []
        self.passed: list[tuple[float, int, str]] = []

    @rule(
        message=st.integers(0, 5),
        seqs=st.lists(st.integers(0, 6), min_size=1, max_size=6),
        delay=st.sampled_from([0.0, 0.0, 1.0, 60.0]),
    )
    def offer(self, message: int, seqs: list[int], delay: float) -> None:
        kind = Kind.COMMERCIAL if message < 2 else Kind.PERSONAL
        items = [
            Waiting(f"m{message}", seq, message % 3, f"d{seq % 3}.test", kind, self.now + delay)
            for seq in seqs
        ]
        self.scheduler.offer(items)
        for item in items:
            key = (item.message_id, item.seq)
            if key in self.leased:
                self.leased[key] = item
            else:
                self.waiting[key] = item

    @rule()
    def take(self) -> None:
        taken = self.scheduler.next(self.now)
        if isinstance(taken, float):
            assert taken > 0
            return
        assert len({(i.message_id, i.tenant_id, i.kind) for i in taken.items}) == 1
        assert taken.kind is not Kind.COMMERCIAL or len(taken.items) == 1
        for item in taken.items:
            known = self.waiting.pop((item.message_id, item.seq))
            assert known.next_at <= self.now or known is item
            self.leased[item.message_id, item.seq] = None
            self.passed.append((self.now, item.tenant_id, item.domain))
        self.batches.append(taken)

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        batch = self.batches.pop(data.draw(st.integers(0, len(self.batches) - 1)))
        self.scheduler.done(batch)
        for item in batch.items:
            again = self.leased.pop((item.message_id, item.seq))
            if again is not None:
                self.waiting[item.message_id, item.seq] = again

    @rule(message=st.integers(0, 5), seq=st.integers(0, 6))
    def forget(self, message: int, seq: int) -> None:
        key = (f"m{message}", seq)
        self.scheduler.forget([key])
        self.waiting.pop(key, None)
        if key in self.leased:
            self.leased[key] = None

    @rule(message=st.integers(0, 5), seq=st.integers(0, 6))
    def retry_now(self, message: int, seq: int) -> None:
        key = (f"m{message}", seq)
        assert self.scheduler.retry_now([key], self.now) == (key in self.waiting)
        if key in self.waiting and self.waiting[key].next_at > self.now:
            self.waiting[key] = next(
                item.waiting for k, item in self.scheduler._items.items() if k == key
            )

    @rule(seconds=st.sampled_from([0.1, 1.0, 30.0, 3_600.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "scheduler"):
            assert len(self.scheduler) == len(self.waiting)

    def teardown(self) -> None:
        """With time enough, everything that waits goes, once, within the rate."""
        if not hasattr(self, "scheduler"):
            return
        for batch in self.batches:
            self.scheduler.done(batch)
            for item in batch.items:
                again = self.leased.pop((item.message_id, item.seq))
                if again is not None:
                    self.waiting[item.message_id, item.seq] = again
        self.batches = []
        steps = 0
        while self.waiting:
            steps += 1
            assert steps < 20_000, "what waits never goes"
            taken = self.scheduler.next(self.now)
            if isinstance(taken, float):
                assert 0 < taken < float("inf")
                self.now += taken
                continue
            for item in taken.items:
                del self.waiting[item.message_id, item.seq]
                self.passed.append((self.now, item.tenant_id, item.domain))
            self.scheduler.done(taken)
        for tenant in range(3):
            mine = [(at, domain) for at, who, domain in self.passed if who == tenant]
            assert within_rate([(at, 1) for at, _ in mine], self.own)
            for name in {domain for _, domain in mine}:
                assert within_rate([(at, 1) for at, to in mine if to == name], self.domain)


TestScheduling = Scheduling.TestCase
TestScheduling.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
