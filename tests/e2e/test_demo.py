"""``demo``: one round of right fates, then a relay that shows what leaves it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

DEMO = (sys.executable, "-m", "relay", "demo")
FIELDS = {"scenario", "recipient", "expected", "fate", "reason"}


def test_every_fate_of_one_round_is_the_right_one() -> None:
    ended = subprocess.run([*DEMO, "--once", "--json"], capture_output=True, check=False)
    rows = json.loads(ended.stdout)
    assert ended.returncode == 0, rows
    assert all(set(row) == FIELDS and row["fate"] == row["expected"] for row in rows)
    dora = [(row["fate"], row["reason"]) for row in rows if row["recipient"].startswith("dora@")]
    assert dora == [("held", "pending"), ("sent", ""), ("dropped", "withdrawn")]


@pytest.fixture
def staying(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo that has played its round, with its temporary files below ``tmp_path``."""
    demo = subprocess.Popen(
        DEMO,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"TMPDIR": str(tmp_path)},
        # as in the background of a shell without job control
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield demo
    finally:
        demo.kill()
        demo.communicate()


def _line(demo: subprocess.Popen[str], start: str) -> str:
    """Reads on to the line that begins with ``start``; returns the rest of it."""
    assert demo.stderr is not None
    for line in demo.stderr:
        if line.startswith(start):
            return line.removeprefix(start).strip()
    raise AssertionError(f"the demo ended without saying {start!r}")


def _page(url: str, **fields: str) -> str:
    data = urllib.parse.urlencode(fields).encode() or None
    with urllib.request.urlopen(url, data) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_stranger_can_sign_up_and_confirm_at_the_demo_that_stays(
    staying: subprocess.Popen[str], tmp_path: Path, ending: signal.Signals
) -> None:
    form = _line(staying, "Sign up")
    found = re.search(r'name="notice" value="(\d+)"', _page(form))
    assert found is not None
    _page(form, address="eva@people.example", agree="yes", notice=found[1])
    assert "confirm" in _line(staying, "to eva@people.example: ")
    link = _line(staying, "  http")
    assert "Yes, I want this mail" in _page("http" + link)
    assert "You are signed up" in _page("http" + link, confirm="1")

    staying.send_signal(ending)
    assert staying.wait(timeout=20) == 0
    assert list(tmp_path.iterdir()) == [], "the demo leaves nothing behind"
