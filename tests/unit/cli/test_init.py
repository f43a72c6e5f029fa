"""``init``: a relay from nothing, and never over one."""

import stat
from pathlib import Path

import pytest

from relay.settings_file import load
from tests.unit.cli.conftest import Command


def test_makes_configuration_keys_and_store(command: Command, tmp_path: Path) -> None:
    done = command(
        "init",
        tmp_path / "new" / "relay",
        *("--hostname", "mx.example.org", "--upstream", "192.0.2.1:2500"),
        *("--smtp", "[::1]:2525", "--http", "127.0.0.1:8000", "--admin", "127.0.0.1:8001"),
        *("--metrics", "127.0.0.1:8002", "--public-url", "https://u.example.org"),
        "--json",
    )
    assert done.status == 0
    settings, file = load(Path(done.json["config"]), {})
    assert file == tmp_path / "new" / "relay" / "relay.toml"
    assert settings.hostname == "mx.example.org"
    assert settings.upstream.address == "192.0.2.1:2500"
    assert [listener.address for listener in settings.smtp.listeners] == ["[::1]:2525"]
    assert settings.http.public == "127.0.0.1:8000"
    assert settings.http.admin == "127.0.0.1:8001"
    assert settings.http.metrics == "127.0.0.1:8002"
    assert settings.http.public_url == "https://u.example.org"
    data = tmp_path / "new" / "relay" / "data"
    assert settings.data_dir == data
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert (data / "store.db").exists()
    assert (data / "keys" / "pepper").exists()
    assert "# Recipients in one transaction" in file.read_text()


def test_an_empty_directory_will_do(command: Command, tmp_path: Path) -> None:
    (tmp_path / "relay").mkdir()
    assert command("init", tmp_path / "relay").status == 0
    assert command("check").status == 0


def test_never_overwrites(made: Command, tmp_path: Path) -> None:
    file = tmp_path / "relay" / "relay.toml"
    pepper = tmp_path / "relay" / "data" / "keys" / "pepper"
    before = (file.read_bytes(), pepper.read_bytes())
    assert made("init", tmp_path / "relay").status == 2
    file.unlink()
    assert made("init", tmp_path / "relay").status == 2
    assert pepper.read_bytes() == before[1]


def test_public_url_follows_the_http_listener(command: Command, tmp_path: Path) -> None:
    command("init", tmp_path / "relay", "--http", "[::1]:8099")
    settings, _ = load(tmp_path / "relay" / "relay.toml", {})
    assert settings.http.public_url == "http://[::1]:8099"


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--smtp", "2525", "smtp.listeners[0].address must be host:port"),
        ("--upstream", "mx.example.org", "upstream.address must be host:port"),
        ("--upstream", "127.0.0.1:2525", "mail would go in a circle"),
        ("--public-url", "http://u.example.org", "must be https unless it is loopback"),
        ("--hostname", "a b", "hostname must be a host name"),
    ],
)
def test_wrong_values_leave_nothing_behind(
    command: Command, tmp_path: Path, option: str, value: str, words: str
) -> None:
    done = command("init", tmp_path / "relay", option, value)
    assert done.status == 2
    assert words in done.err
    assert list((tmp_path / "relay").iterdir()) == []
    assert command("init", tmp_path / "relay").status == 0


def test_reads_no_configuration(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY__HOSTNAME", "not a host")
    assert command("init", tmp_path / "relay").status == 0
