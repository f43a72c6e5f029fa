"""The shipped alerts speak only of series that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from relay.observe.metrics import Metrics
from relay.settings import Settings

PROMETHEUS = Path(__file__).parents[3] / "config" / "prometheus"
PROMTOOL = shutil.which("promtool")


def _declared() -> set[str]:
    names: set[str] = set()
    for family in Metrics("0").registry.collect():
        if family.type == "counter":
            names.add(f"{family.name}_total")
        elif family.type == "histogram":
            names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
            names.add(family.name)
        else:
            names.add(family.name)
    return names


def test_every_series_in_the_alerts_is_declared() -> None:
    named = set(re.findall(r"\brelay_[a-z_]+", (PROMETHEUS / "alerts.yml").read_text()))
    assert named
    assert named <= _declared()


def test_the_scrape_example_is_the_default_address() -> None:
    assert f'"{Settings().http.metrics}"' in (PROMETHEUS / "scrape.yml").read_text()


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_accepts_the_rules() -> None:
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(PROMETHEUS / "alerts.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


SERIES = {
    "RelayWebhooksDead": {'relay_webhooks_dead{tenant="shop"}': "1x120"},
    "RelayConfirmationsCapped": {
        'relay_confirmations_total{tenant="shop",event="asked"}': "0+1x120",
        'relay_confirmations_total{tenant="shop",event="capped"}': "0+0.9x120",
    },
    "RelayConfirmationsAutomated": {
        'relay_confirmations_total{tenant="shop",event="confirmed"}': "0+1x120",
        'relay_confirmations_total{tenant="shop",event="automated"}': "0+0.5x120",
    },
    "RelaySentAfterOptOut": {"relay_sent_after_optout_total": "0x60 1x60"},
}
"""What makes an alert fire, a sample a minute."""
QUIET = {
    "RelayWebhooksDead": {'relay_webhooks_dead{tenant="shop"}': "0x120"},
    "RelayConfirmationsCapped": {
        'relay_confirmations_total{tenant="shop",event="asked"}': "0+1x120",
        'relay_confirmations_total{tenant="shop",event="capped"}': "0+0.1x120",
    },
    "RelayConfirmationsAutomated": {
        'relay_confirmations_total{tenant="shop",event="confirmed"}': "0+1x120",
        'relay_confirmations_total{tenant="shop",event="automated"}': "0+0.1x120",
    },
    "RelaySentAfterOptOut": {"relay_sent_after_optout_total": "0x120"},
}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize("fires", [True, False], ids=["fires", "quiet"])
@pytest.mark.parametrize("alert", sorted(SERIES))
def test_an_alert_fires_when_it_should(alert: str, fires: bool, tmp_path: Path) -> None:
    shown = (SERIES if fires else QUIET)[alert]
    rules = (PROMETHEUS / "alerts.yml").resolve()
    # Found by its name alone: the words beside it may change.
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": v} for name, v in shown.items()],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                        "eval_time": "100m",
                        "exp_samples": [{"value": 1, "labels": "{}"}] if fires else [],
                    }
                ],
            }
        ],
    }
    # JSON is YAML.
    (tmp_path / "test.yml").write_text(json.dumps(test), "utf-8")
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(tmp_path / "test.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
