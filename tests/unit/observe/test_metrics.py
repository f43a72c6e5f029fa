from __future__ import annotations

from dataclasses import replace

from prometheus_client import generate_latest

from relay.model import Action, Kind, Reason
from relay.observe.metrics import Metrics, Sources

SERIES = {
    "relay_recipients": {"tenant", "kind", "action", "reason"},
    "relay_messages": {"listener", "result"},
    "relay_upstream_replies": {"upstream", "class"},
    "relay_message_duration_seconds": set(),
    "relay_delivery_duration_seconds": set(),
    "relay_stage_duration_seconds": {"stage"},
    "relay_spool_messages": set(),
    "relay_spool_oldest_age_seconds": set(),
    "relay_quarantine_messages": {"tenant"},
    "relay_optouts": {"tenant", "channel"},
    "relay_optout_to_block_seconds": set(),
    "relay_sent_after_optout": set(),
    "relay_confirmations": {"tenant", "event"},
    "relay_complaints": {"tenant", "source"},
    "relay_bounces": {"tenant", "class"},
    "relay_throttle_rate": {"tenant"},
    "relay_dnsbl_listed": {"zone"},
    "relay_auth_failures": {"listener"},
    "relay_webhooks": {"tenant", "kind", "result"},
    "relay_webhooks_waiting": {"tenant"},
    "relay_webhooks_dead": {"tenant"},
    "relay_smtp_sessions": set(),
    "relay_event_loop_lag_seconds": set(),
    "relay_build_info": {"version"},
}
"""The contract: names (counters without ``_total``) and labels."""


def _sources(quarantine: dict[str, int]) -> Sources:
    return Sources(
        spool_messages=lambda: 3,
        spool_oldest_age=lambda: 61.5,
        quarantine=lambda: quarantine,
        smtp_sessions=lambda: 7,
        throttle_rate=lambda: {"shop": 2.5},
    )


def test_exactly_the_series_of_the_contract_each_with_help() -> None:
    families = list(Metrics("1.2.3").registry.collect())
    assert {family.name for family in families} == set(SERIES)
    assert all(family.documentation for family in families)


def test_every_event_shows_with_its_labels() -> None:
    metrics = Metrics("1.2.3")
    metrics.derive(_sources({"shop": 2}))
    metrics.refresh()
    metrics.recipient("shop", Kind.COMMERCIAL, Action.QUARANTINE, Reason.NO_CONSENT)
    metrics.recipient("shop", Kind.PERSONAL, Action.DELIVER, None)
    metrics.message("smtp", "accepted", 0.02)
    metrics.auth_failed("smtp")
    metrics.upstream_reply("mx.test:25", 250)
    metrics.upstream_reply("mx.test:25", 0)
    metrics.delivered(1.5)
    metrics.stage("judge", 0.001)
    metrics.optout("shop", "one-click")
    metrics.optout_in_force(0.004)
    metrics.bounce("shop", "hard")
    metrics.loop_lag(0.25)
    text = generate_latest(metrics.registry).decode()
    for line in (
        'relay_recipients_total{action="quarantine",kind="commercial",reason="no-consent",'
        'tenant="shop"} 1.0',
        'relay_recipients_total{action="deliver",kind="personal",reason="",tenant="shop"} 1.0',
        'relay_messages_total{listener="smtp",result="accepted"} 1.0',
        'relay_auth_failures_total{listener="smtp"} 1.0',
        'relay_upstream_replies_total{class="2xx",upstream="mx.test:25"} 1.0',
        'relay_upstream_replies_total{class="none",upstream="mx.test:25"} 1.0',
        "relay_message_duration_seconds_count 1.0",
        "relay_delivery_duration_seconds_sum 1.5",
        'relay_stage_duration_seconds_count{stage="judge"} 1.0',
        "relay_spool_messages 3.0",
        "relay_spool_oldest_age_seconds 61.5",
        'relay_quarantine_messages{tenant="shop"} 2.0',
        'relay_optouts_total{channel="one-click",tenant="shop"} 1.0',
        "relay_optout_to_block_seconds_count 1.0",
        "relay_sent_after_optout_total 0.0",
        'relay_bounces_total{class="hard",tenant="shop"} 1.0',
        'relay_throttle_rate{tenant="shop"} 2.5',
        "relay_smtp_sessions 7.0",
        "relay_event_loop_lag_seconds 0.25",
        'relay_build_info{version="1.2.3"} 1.0',
    ):
        assert line in text.splitlines()
    metrics.sent_after_optout()
    assert "relay_sent_after_optout_total 1.0" in generate_latest(metrics.registry).decode()
    assert "_created" not in text


def test_labels_are_those_of_the_contract_and_no_other() -> None:
    for name, collector in Metrics("0").registry._names_to_collectors.items():
        if name in SERIES:
            assert set(collector._labelnames) == SERIES[name] or name == "relay_build_info"


def test_a_tenant_that_holds_nothing_any_more_is_gone_from_the_gauge() -> None:
    metrics = Metrics("0")
    held = {"shop": 2}
    metrics.derive(_sources(held))
    metrics.refresh()
    del held["shop"]
    held["club"] = 1
    metrics.refresh()
    text = generate_latest(metrics.registry).decode()
    assert 'relay_quarantine_messages{tenant="club"} 1.0' in text
    assert 'relay_quarantine_messages{tenant="shop"}' not in text


def test_without_sources_there_is_nothing_to_refresh() -> None:
    metrics = Metrics("0")
    metrics.refresh()
    assert "relay_spool_messages 0.0" in generate_latest(metrics.registry).decode()


def test_what_senders_software_is_told_shows() -> None:
    metrics = Metrics("1.2.3")
    metrics.derive(
        replace(
            _sources({}), webhooks_waiting=lambda: {"shop": 4}, webhooks_dead=lambda: {"shop": 1}
        )
    )
    metrics.refresh()
    metrics.webhook("shop", "one-click", "failed")
    metrics.webhook("shop", "webhook", "delivered")
    metrics.optout("shop", "import", 12)
    text = generate_latest(metrics.registry).decode()
    for line in (
        'relay_webhooks_waiting{tenant="shop"} 4.0',
        'relay_webhooks_dead{tenant="shop"} 1.0',
        'relay_webhooks_total{kind="one-click",result="failed",tenant="shop"} 1.0',
        'relay_webhooks_total{kind="webhook",result="delivered",tenant="shop"} 1.0',
        'relay_optouts_total{channel="import",tenant="shop"} 12.0',
    ):
        assert line in text.splitlines()
