"""The second file of signed heads: complete, later if not now, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.store.ledger.head_copy import HeadCopy


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "heads"
    path.write_bytes(b"one\ntwo\n")
    return path


def test_all_lines_are_copied_and_each_once(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    for more in (b"", b"three\n", b"four\nfi", b"ve\n"):
        with source.open("ab") as file:
            file.write(more)
        HeadCopy(source, target).close()
    assert target.read_bytes() == b"one\ntwo\nthree\nfour\nfive\n" == source.read_bytes()


def test_what_cannot_be_written_now_is_written_later(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "elsewhere" / "copy"
    copy = HeadCopy(source, target)
    copy.close()
    assert "cannot be copied" in caplog.text
    target.parent.mkdir()
    HeadCopy(source, target).close()
    assert target.read_bytes() == source.read_bytes()


def test_a_copy_that_was_moved_away_begins_anew_behind_what_it_had(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy"
    target.write_bytes(b"two\n")
    with source.open("ab") as file:
        file.write(b"three\n")
    HeadCopy(source, target).close()
    assert target.read_bytes() == b"two\nthree\n"


def test_after_a_restore_it_goes_on_from_the_line_that_says_so(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy"
    target.write_bytes(b"one\ntwo\nlost\n")
    with source.open("ab") as file:
        file.write(b'{"restored":true}\nfour\n')
    HeadCopy(source, target).close()
    assert target.read_bytes() == b'one\ntwo\nlost\n{"restored":true}\nfour\n'
