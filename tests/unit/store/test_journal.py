"""Append-only files that outlive half a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay.store.sqlite.journal import Journal, read


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    journal.append([{"n": 1}, {"n": "ü\n"}])
    journal.close()
    journal = Journal(path)
    journal.append([{"n": 3}])
    journal.close()
    assert list(read(path)) == [{"n": 1}, {"n": "ü\n"}, {"n": 3}]
    assert list(read(tmp_path / "none")) == []


def test_half_a_line_costs_nothing_but_itself(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"n":1}\n{"n":')
    journal = Journal(path)
    journal.append([{"n": 2}])
    journal.close()
    assert list(read(path)) == [{"n": 1}, {"n": 2}]


def test_after_a_failed_write_the_next_starts_on_a_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "j")
    write = os.write

    def torn(file: int, data: bytes) -> int:
        write(file, data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", torn)
    with pytest.raises(OSError, match="No space"):
        journal.append([{"n": 1}])
    monkeypatch.undo()
    journal.append([{"n": 2}])
    journal.close()
    assert list(read(tmp_path / "j")) == [{"n": 2}]
