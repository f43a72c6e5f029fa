"""What is printed is one line a row, whatever a mail puts into it."""

import pytest

from relay.cli.output import PROGRESS_STEP, progress_bar, show_record, show_rows

ROW = {"id": "A1.1", "subject": "a\tb\nc\x1b[31m", "list": None, "ok": True, "tags": ["x", "y"]}


def test_rows_off_a_terminal_are_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([ROW], ("id", "subject", "list", "ok", "tags"), False)
    head, line = capsys.readouterr().out.splitlines()
    assert head == "id\tsubject\tlist\tok\ttags"
    assert line == "A1.1\ta�b�c�[31m\t-\tyes\tx, y"


def test_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([], ("id",), True)
    assert capsys.readouterr().out == "[]\n"


def test_record(capsys: pytest.CaptureFixture[str]) -> None:
    show_record({"id": 1, "long_name": {"a": None}}, False)
    assert capsys.readouterr().out == "id         1\nlong_name  a=-\n"


def test_progress_off_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("rows") as progress:
        for done in range(0, 3 * PROGRESS_STEP, PROGRESS_STEP // 4):
            progress(done, 3 * PROGRESS_STEP)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["rows: 100000 of 300000", "rows: 200000 of 300000"]
