"""Exit statuses, one sentence on stderr, and nothing else there."""

import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "missing command"),
        ("bogus", "no such command 'bogus'"),
        ("tenant", "missing command"),
        ("tenant ad", "no such command 'ad'"),
        ("tenant add", "missing argument 'SLUG'"),
        ("tenant add shop", "missing option '--name'"),
        ("tenant list --jsn", "no such option: --jsn"),
        ("list add shop x --kind odd --purpose p --promise 1/day", "'odd' is not one of"),
        ("tenant set shop --personal-per-day x", "'--personal-per-day'"),
        ("quarantine release A1.1 --kind personal", "--kind wants --reason"),
        ("credential add", "give TENANT NAME, or --gateway NAME"),
        ("credential add shop web --gateway gw", "a gateway has neither"),
        ("source add form", "missing option '--approved'"),
        ("quarantine list --reason because", "'--reason'"),
        ("explain nowhere.eml --tenant shop --to a@b.example", "nowhere.eml cannot be read"),
        ("restore nowhere.tar", "there is no file nowhere.tar"),
    ],
)
def test_wrong_usage_is_one_sentence_and_status_2(shop: Command, line: str, words: str) -> None:
    done = shop(*line.split())
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("consent-relay: ")
    assert words in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        "tenant show nobody",
        "list list nobody",
        "list show shop nothing",
        "credential revoke nobody",
        "quarantine show A1.1",
        "quarantine release A1.1",
        "spool retry A1.1",
        "policy show nothing",
        "consent show nobody@example.org",
        "tenant add shop --name S --address A --contact o@shop.example",
    ],
)
def test_the_answer_no_is_status_1(shop: Command, line: str) -> None:
    done = shop(*line.split())
    assert done.status == 1
    assert done.err.count("\n") == 1


def test_configuration_errors_are_status_2(made: Command, tmp_path: Path) -> None:
    file = tmp_path / "relay" / "relay.toml"
    file.write_text("[smtp]\nmax_recipiens = 1\n")
    for line in ("check", "tenant list", "serve"):
        done = made(*line.split())
        assert done.status == 2
        assert done.err == (
            f"consent-relay: {file}:2: smtp.max_recipiens is not a setting; "
            f"did you mean smtp.max_recipients?\n"
        )


def test_config_option_comes_before_the_environment(made: Command, tmp_path: Path) -> None:
    assert made("--config", tmp_path / "none.toml", "check").status == 2
    assert made("check").status == 0


def test_a_missing_key_file_is_told(made: Command, tmp_path: Path) -> None:
    pepper = tmp_path / "relay" / "data" / "keys" / "pepper"
    pepper.unlink()
    for line in ("check", "tenant list"):
        done = made(*line.split())
        assert done.status == 2
        assert str(pepper) in done.err


def test_version_and_help(command: Command) -> None:
    assert command("--version").out.startswith("consent-relay ")
    assert command("--help").status == 0
    assert "tenant" in command("--help").out


@pytest.mark.parametrize(
    "line",
    [
        "tenant list",
        "brand list shop",
        "list list shop",
        "domain list shop",
        "credential list",
        "source list",
        "quarantine list",
        "spool list",
        "policy list",
    ],
)
def test_lists_print_a_whole_array(shop: Command, line: str) -> None:
    done = shop(*line.split(), "--json")
    assert done.status == 0
    assert isinstance(done.json, list)
    assert shop(*line.split()).status == 0


@pytest.mark.parametrize(
    "line",
    [
        "check",
        "tenant show shop",
        "list show shop news",
        "ledger verify",
        "policy check",
        "ledger export shop",
        "ledger key",
    ],
)
def test_json_is_one_document(shop: Command, line: str) -> None:
    assert isinstance(shop(*line.split(), "--json").json, dict)
    assert shop(*line.split()).out != ""


def test_check_says_what_passes_as_personal(made: Command) -> None:
    notes = " ".join(made("check", "--json").json["notes"])
    assert "limits.personal_recipients_per_day" in notes


def test_python_m_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    from relay.cli import main

    monkeypatch.setattr(sys, "argv", ["consent-relay", "bogus"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2


def test_a_command_for_the_daemon_loads_no_store() -> None:
    """The store takes a second to import; whoever asks the daemon need not wait for it."""
    import subprocess

    code = (
        "import sys, relay.cli.program;"
        "sys.exit(any(m.partition('.')[0] in ('sqlalchemy', 'alembic') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
