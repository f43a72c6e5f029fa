"""``consent expiring``."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.operate import local
from tests.support.clock import FakeClock
from tests.unit.cli.conftest import Command

DAY = 86_400


@pytest.fixture
def aged(shop: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """With consents that were imported almost two years ago and never used, and a fresh one."""
    file = tmp_path / "a.csv"
    for name, days in (("older", 720), ("old", 715), ("fresh", 5)):
        then = FakeClock(time.time() - days * DAY)
        day = datetime.fromtimestamp(then.now(), UTC).date()
        row = f"{name}@example.org,approved,{day}"
        file.write_text(f"address,basis,collected_at\n{row}\n", "utf-8")
        with monkeypatch.context() as patched:
            patched.setattr(local, "SystemClock", lambda then=then: then)
            assert shop("consent", "import", "shop", "news", file, "--source", "form").status == 0
    return shop


def test_what_runs_out_is_listed_by_tenant_and_list(aged: Command) -> None:
    (group,) = aged("consent", "expiring", "--json").json
    assert {name: group[name] for name in ("tenant", "brand", "list", "count")} == {
        "tenant": "shop",
        "brand": None,
        "list": "news",
        "count": 2,
    }
    assert [one["address"] for one in group["consents"]] == [
        "older@example.org",
        "old@example.org",
    ]
    assert set(group["consents"][0]) == {
        *("address", "basis", "since", "expires", "why", "unused_days"),
    }
    shown = aged("consent", "expiring", "--tenant", "shop").out
    assert "shop/news: 2 run out within 30 days" in shown
    assert "old@example.org  approved  unused for 715 days" in shown


def test_nothing_to_list(aged: Command) -> None:
    done = aged("consent", "expiring", "--days", "2", "--json")
    assert (done.status, done.json) == (0, [])
    assert "no consent runs out within 2 days" in aged("consent", "expiring", "--days", "2").err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("--days", "0"), 2), (("--days", "9999"), 2), (("--tenant", "nobody"), 1)],
)
def test_wrong_usage(aged: Command, arguments: tuple[str, ...], status: int) -> None:
    assert aged("consent", "expiring", *arguments).status == status


def test_the_help_warns_against_asking_everybody_again(shop: Command) -> None:
    assert "Never ask everybody again in a bulk mailing" in " ".join(
        shop("consent", "expiring", "--help").out.split()
    )
