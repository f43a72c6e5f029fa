"""The ledger by command: whole or not, and proofs that another program checks."""

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command


@pytest.fixture
def used(shop: Command, tmp_path: Path) -> Command:
    """A relay with a consent and an opt-out."""
    file = tmp_path / "a.csv"
    file.write_text("address,basis,collected_at\nann@example.org,approved,2026-01-02\n")
    assert shop("consent", "import", "shop", "news", file, "--source", "form").status == 0
    assert shop("consent", "withdraw", "ann@example.org", "--tenant", "shop").status == 0
    return shop


def test_a_proof_is_checked_by_the_script_that_the_relay_prints(
    used: Command, tmp_path: Path
) -> None:
    script = tmp_path / "verify_bundle.py"
    script.write_text(used("ledger", "verifier").out)
    key = used("ledger", "key", "--json").json["fingerprint"]
    assert key in used("ledger", "key").out
    for name, line in (
        ("whole", ("ledger", "export", "shop")),
        ("ann", ("consent", "export", "Ann@example.org")),
        ("ann-shop", ("consent", "export", "ann@example.org", "--tenant", "shop")),
    ):
        bundle = tmp_path / f"{name}.json"
        assert used(*line, "--output", bundle).status == 0
        assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
        done = subprocess.run(
            [sys.executable, "-I", str(script), str(bundle), "--key", key],
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "were imported, 1 rows" in done.stdout or name == "whole"


def test_what_is_printed_is_what_is_written(used: Command, tmp_path: Path) -> None:
    file = tmp_path / "bundle.json"
    assert used("consent", "export", "ann@example.org", "--output", file).status == 0
    written, printed = file.read_text(), used("consent", "export", "ann@example.org").out
    assert written.split('"made"')[0] == printed.split('"made"')[0]
    assert printed.endswith('"}\n')


def test_no_file_is_overwritten_or_left_half(used: Command, tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_text("mine")
    done = used("ledger", "export", "shop", "--output", file)
    assert (done.status, file.read_text()) == (2, "mine")
    assert "not overwritten" in done.err
    other = tmp_path / "other"
    assert used("ledger", "export", "nobody", "--output", other).status == 1
    assert not other.exists()
    assert used("ledger", "export", "shop", "--output", tmp_path / "no" / "where").status == 1


def test_who_is_not_on_record_is_said(used: Command) -> None:
    done = used("consent", "export", "nobody@example.org")
    assert (done.status, done.json["tenants"]) == (1, [])
    assert "nothing is on record" in done.err
    assert used("consent", "export", "no address").status == 2


def test_verify_names_what_does_not_hold(used: Command, tmp_path: Path) -> None:
    assert "2 events, 0 of them erased: the chain holds" in used("ledger", "verify").out
    raw = sqlite3.connect(tmp_path / "relay" / "data" / "store.db", isolation_level=None)
    raw.execute("DELETE FROM suppressions")
    raw.close()
    done = used("ledger", "verify")
    assert done.status == 1
    assert "broken at event 2 of shop: the opt-out or block in force is not" in done.out
    assert used("ledger", "verify", "--json").json["broken"]["seq"] == 2


def test_verify_takes_one_more_file_of_heads(used: Command, tmp_path: Path) -> None:
    heads = tmp_path / "relay" / "data" / "ledger-heads.jsonl"
    copy = tmp_path / "copy"
    copy.write_bytes(heads.read_bytes())
    assert used("ledger", "verify", "--heads", copy).status == 0
    copy.write_bytes(copy.read_bytes().replace(b'"n":1', b'"n":3'))
    done = used("ledger", "verify", "--heads", copy)
    assert (done.status, done.out) == (
        1,
        "broken: copy: line 1 is not signed by this relay as it stands\n",
    )
    assert used("ledger", "verify", "--heads", tmp_path / "none").status == 2


def test_a_restored_relay_says_so(used: Command, tmp_path: Path) -> None:
    assert used("backup", tmp_path / "b.tar").status == 0
    assert used("consent", "withdraw", "bob@example.org", "--tenant", "shop").status == 0
    assert used("restore", tmp_path / "b.tar").status == 0
    done = used("ledger", "verify")
    assert done.status == 0, done.out
    assert "shop: restored at" in done.out
    assert "which ended with event 2; events up to 3 were signed before, and are lost" in done.out
    assert used("consent", "show", "bob@example.org").status == 0
