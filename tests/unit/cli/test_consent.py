"""``consent`` and ``optout``: files in, records out."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command

HEADER = "address,basis,collected_at,ip\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8", newline="")
    return path


def test_import_and_show(shop: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", HEADER + "ann@example.org,approved,2026-01-02,192.0.2.1\n")
    done = shop("consent", "import", "shop", "news", file, "--source", "form", "--json")
    assert done.json == {"imported": 1, "opted_out": 0, "bad": 0, "errors": []}
    record = shop("consent", "show", "ann@example.org", "--json").json
    (entry,) = record["timeline"]
    assert entry["data"]["evidence"]["ip"] == "192.0.2.1"
    shown = shop("consent", "show", "Ann@Example.org", "--tenant", "shop")
    assert "granted (approved)" in shown.out
    assert "ip: 192.0.2.1" in shown.out


def test_all_or_nothing(shop: Command, tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.csv",
        HEADER + "ann@example.org,approved,2026-01-02,\nbob,approved,2026-01-02,\n"
        "cem@example.org,confirmed,2026-01-02,\ndan@example.org,approved,2026-01-02\n",
    )
    done = shop("consent", "import", "shop", "news", file, "--source", "form", "--json")
    assert done.status == 1
    assert done.json["imported"] == 0
    assert [error["line"] for error in done.json["errors"]] == [3, 4, 5]
    assert f"{file}:3: not a mail address" in done.err
    assert f"{file}:5: has 3 fields where the header has 4" in done.err
    assert shop("consent", "show", "ann@example.org").status == 1
    kept = shop("consent", "import", "shop", "news", file, "--source", "form", "--skip-bad")
    assert kept.status == 0
    assert "1 row recorded" in kept.out
    assert shop("consent", "show", "ann@example.org").status == 0


def test_only_the_first_bad_rows_are_named(shop: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", HEADER + "bad,approved,2026-01-02,\n" * 1_200)
    done = shop("consent", "import", "shop", "news", file, "--source", "form", "--json")
    assert done.json["bad"] == 1_200
    assert [error["line"] for error in done.json["errors"]] == list(range(2, 22))
    assert "and 1180 more bad rows" in done.err


def test_people_who_left_are_counted_without_effect(shop: Command, tmp_path: Path) -> None:
    left = write(tmp_path / "left.csv", "address\nann@example.org\n")
    assert shop("optout", "import", "shop", left, "--json").json["imported"] == 1
    file = write(
        tmp_path / "a.csv",
        HEADER + "ann@example.org,approved,2026-01-02,\nbob@example.org,approved,2026-01-02,\n",
    )
    done = shop("consent", "import", "shop", "news", file, "--source", "form", "--json")
    assert (done.status, done.json["imported"], done.json["opted_out"]) == (0, 2, 1)
    assert "news: withdrawn" in shop("consent", "show", "ann@example.org").out


def test_opt_outs_without_a_date_are_pointed_out(shop: Command, tmp_path: Path) -> None:
    undated = write(tmp_path / "a.csv", "address\nann@example.org\nbob@example.org\n")
    done = shop("optout", "import", "shop", undated)
    assert done.out == "2 rows recorded\n"
    assert "a.csv: 2 rows without a date (column collected_at)" in done.err
    dated = write(tmp_path / "b.csv", "address,at\nann@example.org,2026-01-02\n")
    done = shop("optout", "import", "shop", dated)
    assert done.out == "1 row recorded\n1 of them of people who had left before\n"
    assert "without a date" not in done.err


def test_approved_needs_an_approved_source(shop: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", HEADER + "ann@example.org,approved,2026-01-02,\n")
    done = shop("consent", "import", "shop", "news", file, "--source", "paper")
    assert done.status == 1
    assert "needs an approved source" in done.err


def test_withdraw(shop: Command, tmp_path: Path) -> None:
    done = shop("consent", "withdraw", "ann@example.org", "--tenant", "shop", "--json")
    assert (done.status, done.json["list"]) == (0, None)
    assert "withdrawn" in shop("consent", "show", "ann+x@example.org").out
    assert shop("consent", "withdraw", "a@b.example", "--tenant", "x").status == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("address,basis\na,b\n", ":1: there is no column collected_at"),
        ("address,address,basis,collected_at\n", ":1: the column 'address' is there twice"),
        ("address;basis\n", "there is no column collected_at"),
    ],
)
def test_files_that_are_not_ours(shop: Command, tmp_path: Path, text: str, words: str) -> None:
    file = write(tmp_path / "a.csv", text)
    done = shop("consent", "import", "shop", "news", file, "--source", "form")
    assert done.status == 2
    assert words in done.err


def test_no_file_no_source_no_list(shop: Command, tmp_path: Path) -> None:
    none = tmp_path / "none.csv"
    assert shop("consent", "import", "shop", "news", none, "--source", "form").status == 2
    file = write(tmp_path / "a.csv", HEADER)
    assert shop("consent", "import", "shop", "news", file, "--source", "x").status == 1
    assert shop("consent", "import", "shop", "x", file, "--source", "form").status == 1
