"""All series in one screen, in a registry of our own. No label ever holds an address."""

# ruff: noqa: E501 - the declarations below are a table, one series a line

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from relay.model import Action, Kind, Reason

# Twins of every counter that hold its time of birth: they would double the exposition.
disable_created_metrics()  # type: ignore[no-untyped-call]

_REPLY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)
_DELIVERY = (0.01, 0.05, 0.25, 1, 5, 30, 60, 300, 1_800, 7_200, 43_200, 172_800, 432_000)
_STAGE = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5)
_BLOCK = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 300)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the derived gauges read; each is called on the event loop at every scrape, so it
    counts in memory and never waits."""

    spool_messages: Callable[[], int]
    spool_oldest_age: Callable[[], float]
    """Seconds; 0.0 when nothing waits."""
    quarantine: Callable[[], Mapping[str, int]]
    """Held copies by tenant slug."""
    smtp_sessions: Callable[[], int]
    throttle_rate: Callable[[], Mapping[str, float]]
    """Recipients per second that each tenant slug may have now."""
    webhooks_waiting: Callable[[], Mapping[str, int]] = dict
    """Notices to senders' software that wait, by tenant slug."""
    webhooks_dead: Callable[[], Mapping[str, int]] = dict
    """Notices that were given up and are kept, by tenant slug."""


class Metrics:
    """Every series of the relay, and one method for each thing that happens."""

    # fmt: off
    def __init__(self, version: str) -> None:
        self.registry = r = CollectorRegistry()
        self._recipients = Counter("relay_recipients_total", "Verdicts, one per recipient of each message.", ["tenant", "kind", "action", "reason"], registry=r)
        self._messages = Counter("relay_messages_total", "Transactions that reached the final dot, by result.", ["listener", "result"], registry=r)
        self._auth_failures = Counter("relay_auth_failures_total", "AUTH with a wrong user name or secret.", ["listener"], registry=r)
        self._upstream_replies = Counter("relay_upstream_replies_total", "Upstream's answers by first digit; none means no answer.", ["upstream", "class"], registry=r)
        self._message_duration = Histogram("relay_message_duration_seconds", "From the end of DATA to our reply.", buckets=_REPLY, registry=r)
        self._delivery_duration = Histogram("relay_delivery_duration_seconds", "From acceptance to upstream's receipt.", buckets=_DELIVERY, registry=r)
        self._stage_duration = Histogram("relay_stage_duration_seconds", "Time spent in one stage of the path.", ["stage"], buckets=_STAGE, registry=r)
        self._spool_messages = Gauge("relay_spool_messages", "Copies waiting for delivery.", registry=r)
        self._spool_oldest_age = Gauge("relay_spool_oldest_age_seconds", "Age of the oldest waiting copy.", registry=r)
        self._quarantine = Gauge("relay_quarantine_messages", "Copies held.", ["tenant"], registry=r)
        self._optouts = Counter("relay_optouts_total", "Opt-outs recorded.", ["tenant", "channel"], registry=r)
        self._optout_to_block = Histogram("relay_optout_to_block_seconds", "From an opt-out arriving to its being in force.", buckets=_BLOCK, registry=r)
        self._sent_after_optout = Counter("relay_sent_after_optout_total", "Commercial copies sent although an opt-out was in force; must stay 0.", registry=r)
        self._confirmations = Counter("relay_confirmations_total", "Requests for consent, and what became of them.", ["tenant", "event"], registry=r)
        self._complaints = Counter("relay_complaints_total", "Complaints received.", ["tenant", "source"], registry=r)
        self._bounces = Counter("relay_bounces_total", "Copies refused for good or given up.", ["tenant", "class"], registry=r)
        self._throttle_rate = Gauge("relay_throttle_rate", "Recipients per second that a tenant may have now.", ["tenant"], registry=r)
        self.dnsbl_listed = Gauge("relay_dnsbl_listed", "1 while an address of ours is on that list.", ["zone"], registry=r)
        self._webhooks = Counter("relay_webhooks_total", "Attempts to tell senders' software, by kind (webhook, one-click) and result (delivered, failed, dead).", ["tenant", "kind", "result"], registry=r)
        self._webhooks_waiting = Gauge("relay_webhooks_waiting", "Notices to senders' software that wait to be sent, or sent again.", ["tenant"], registry=r)
        self._webhooks_dead = Gauge("relay_webhooks_dead", "Notices to senders' software that were given up and are kept.", ["tenant"], registry=r)
        self._smtp_sessions = Gauge("relay_smtp_sessions", "SMTP sessions open.", registry=r)
        self._loop_lag = Gauge("relay_event_loop_lag_seconds", "Longest that the event loop kept work waiting in the last minute.", registry=r)
        Gauge("relay_build_info", "Always 1; the version is the label.", ["version"], registry=r).labels(version).set(1)
        self._sources: Sources | None = None
        self._children: dict[tuple[object, ...], Counter] = {}
    # fmt: on

    def _child(self, counter: Counter, labels: tuple[str, ...]) -> Counter:
        """The series of these labels; finding it through the library takes a lock each time."""
        key = (counter, labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = counter.labels(*labels)
        return child

    def derive(self, sources: Sources) -> None:
        """Let the gauges of the spool, quarantine, sessions and throttle read from ``sources``."""
        self._sources = sources

    def refresh(self) -> None:
        """Read the sources into their gauges; called on the event loop before each exposition."""
        if self._sources is None:
            return
        self._spool_messages.set(self._sources.spool_messages())
        self._spool_oldest_age.set(self._sources.spool_oldest_age())
        self._smtp_sessions.set(self._sources.smtp_sessions())
        _replace(self._quarantine, self._sources.quarantine())
        _replace(self._throttle_rate, self._sources.throttle_rate())
        _replace(self._webhooks_waiting, self._sources.webhooks_waiting())
        _replace(self._webhooks_dead, self._sources.webhooks_dead())

    def recipient(self, tenant: str, kind: Kind, action: Action, reason: Reason | None) -> None:
        """One recipient got a verdict; ``tenant`` is a slug."""
        self._child(self._recipients, (tenant, kind.value, action.slug, reason or "")).inc()

    def message(self, listener: str, result: str, seconds: float) -> None:
        """A transaction was answered after its final dot; ``result`` is accepted, refused or
        deferred, ``seconds`` the time since the end of DATA."""
        self._child(self._messages, (listener, result)).inc()
        self._message_duration.observe(seconds)

    def auth_failed(self, listener: str) -> None:
        """A client gave a wrong user name or secret."""
        self._child(self._auth_failures, (listener,)).inc()

    def upstream_reply(self, upstream: str, code: int) -> None:
        """Upstream answered ``code``; 0 stands for no answer."""
        answer = f"{code // 100}xx" if code else "none"
        self._child(self._upstream_replies, (upstream, answer)).inc()

    def delivered(self, seconds: float) -> None:
        """A copy was taken by upstream ``seconds`` after its acceptance."""
        self._delivery_duration.observe(seconds)

    def stage(self, name: str, seconds: float) -> None:
        """A stage of the path (judge, commit, send) took ``seconds``."""
        self._stage_duration.labels(name).observe(seconds)

    def optout(self, tenant: str, channel: str, count: int = 1) -> None:
        """Opt-outs were recorded; ``channel`` is one-click, page, api, command, hook, complaint,
        import or erasure."""
        self._optouts.labels(tenant, channel).inc(count)

    def webhook(self, tenant: str, kind: str, result: str) -> None:
        """A webhook or a one-click address (``kind``) was called; ``result`` is delivered, failed
        (it is tried again) or dead (given up)."""
        self._child(self._webhooks, (tenant, kind, result)).inc()

    def confirmation(self, tenant: str, event: str) -> None:
        """A request for consent was asked, capped (its mail withheld), mailed, confirmed,
        automated (confirmed, as if by a machine) or lapsed."""
        self._child(self._confirmations, (tenant, event)).inc()

    def complaint(self, tenant: str, source: str) -> None:
        """A complaint was recorded; ``source`` is hook."""
        self._child(self._complaints, (tenant, source)).inc()

    def optout_in_force(self, seconds: float) -> None:
        """An opt-out was in force ``seconds`` after it arrived."""
        self._optout_to_block.observe(seconds)

    def sent_after_optout(self) -> None:
        """A commercial copy went out although an opt-out was in force: an alarm."""
        self._sent_after_optout.inc()

    def bounce(self, tenant: str, cls: str) -> None:
        """A copy failed for good; ``cls`` is hard, soft or expired."""
        self._bounces.labels(tenant, cls).inc()

    def loop_lag(self, seconds: float) -> None:
        """The longest recent wait of the event loop."""
        self._loop_lag.set(seconds)


def _replace(gauge: Gauge, values: Mapping[str, float]) -> None:
    gauge.clear()
    for label, value in values.items():
        gauge.labels(label).set(value)
