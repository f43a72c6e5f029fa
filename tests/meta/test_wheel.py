"""The wheel: what is in it, and that it works away from the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", directory],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=100,
    )
    (built,) = directory.glob("*.whl")
    return built


def test_it_holds_everything_that_the_relay_reads_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"relay/__main__.py", "relay/config/relay.toml"} <= names
    for rulebook in (ROOT / "policies").glob("*.toml"):
        assert f"relay/policies/{rulebook.name}" in names
    for kind in ("*.html", "*.po", "*.mo", "*.css", "*.sql", "*.mako", "py.typed"):
        for path in (ROOT / "relay").rglob(kind):
            assert str(path.relative_to(ROOT)) in names
    for path in (ROOT / "relay").rglob("*.py"):
        assert str(path.relative_to(ROOT)) in names
    outside = [name for name in names if not name.startswith(("relay/", "consent_relay-"))]
    assert outside == []
    assert not [name for name in names if "__pycache__" in name]


def test_it_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(unpacked)
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    where = run("-c", "import relay; print(relay.__file__)").strip()
    assert Path(where).is_relative_to(unpacked)
    books = {book["name"] for book in json.loads(run("-m", "relay", "policy", "list", "--json"))}
    assert {"base", "strict-opt-in"} <= books
    run("-m", "relay", "init", str(tmp_path / "new"), "--hostname", "relay.test")
    run("-m", "relay", "--config", str(tmp_path / "new" / "relay.toml"), "check")
