"""The command line as its users have it, in this process: arguments in, status and output out."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay.cli.program import run


@dataclass(frozen=True)
class Done:
    """What one command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as the one JSON document that it must be."""
        return json.loads(self.out)


Command = Callable[..., Done]


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs a command line with the configuration in ``tmp_path/relay``."""
    monkeypatch.setenv("CONSENT_RELAY_CONFIG", str(tmp_path / "relay" / "relay.toml"))

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Done(status, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two relays, made once: ``made`` by ``init``, ``shop`` with a tenant, a list, two sources."""
    base = tmp_path_factory.mktemp("template")
    assert run(["init", str(base / "made")]) == 0
    shutil.copytree(base / "made", base / "shop")
    for line in (
        "tenant add shop --name Shop --address Street --contact owner@shop.example",
        "list add shop news --kind commercial --purpose News --promise 1/week",
        "source add form --approved",
        "source add paper --not-approved",
    ):
        assert run(["--config", str(base / "shop" / "relay.toml"), *line.split()]) == 0, line
    return base


@pytest.fixture
def made(command: Command, template: Path, tmp_path: Path) -> Command:
    """With a relay made by ``init``."""
    shutil.copytree(template / "made", tmp_path / "relay")
    return command


@pytest.fixture
def shop(command: Command, template: Path, tmp_path: Path) -> Command:
    """With a tenant, a list and two sources."""
    shutil.copytree(template / "shop", tmp_path / "relay")
    return command
