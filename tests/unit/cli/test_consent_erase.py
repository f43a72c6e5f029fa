"""``consent erase``: what a person sees of it."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command

WHO = "ann@example.org"


@pytest.fixture
def known(shop: Command, tmp_path: Path) -> Command:
    file = tmp_path / "a.csv"
    file.write_text(f"address,basis,collected_at\n{WHO},approved,2026-01-02\n")
    assert shop("consent", "import", "shop", "news", file, "--source", "form").status == 0
    return shop


def test_erase_says_what_it_did(known: Command) -> None:
    done = known("consent", "erase", WHO)
    assert done.status == 0
    assert done.out.startswith(f"{WHO} is erased\n")
    assert "opt-outs recorded first: 1" in done.out
    assert "consents removed: 1" in done.out
    assert "Backups made before" in done.err
    again = known("consent", "erase", WHO)
    assert (again.status, again.out) == (0, "nothing was left to erase\n")
    assert known("ledger", "verify").status == 0


def test_erase_as_json(known: Command) -> None:
    done = known("consent", "erase", WHO, "--tenant", "shop", "--json").json
    assert (done["address"], done["tenant"], done["opted_out"]) == (WHO, "shop", 1)
    assert (done["overwritten"], done["found_in"]) == (False, []), "by housekeeping, soon"
    assert done["removed"]["consents"] == 1
    assert "addresses" not in done["removed"], "that would tell who else has the address"


def test_the_wrong_words_are_refused(known: Command) -> None:
    assert known("consent", "erase", "no-address").status == 2
    assert known("consent", "erase", WHO, "--tenant", "nobody").status == 1
    assert "granted" in known("consent", "show", WHO).out


def test_on_a_terminal_it_asks_first(known: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []

    def no(question: str, **_: object) -> None:
        import typer

        asked.append(question)
        raise typer.Abort

    monkeypatch.setattr("typer.confirm", no)
    assert known("consent", "erase", WHO).status == 1
    assert WHO in asked[0]
    assert "granted" in known("consent", "show", WHO).out
    assert known("consent", "erase", WHO, "--yes").status == 0
    assert len(asked) == 1
