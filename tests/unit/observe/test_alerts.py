"""The shipped alerts speak only of series that exist."""

from __future__ import annotations

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
