"""What is printed is one line a row, whatever a mail puts into it."""

import pytest

from relay.cli.output import PROGRESS_STEP, counted, progress_bar, say, show_record, show_rows

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
    show_record({"id": 1, "long_name": {"a": None}, "why": "", "tags": []}, False)
    assert capsys.readouterr().out == "id         1\nlong_name  a=-\nwhy        -\ntags       -\n"


def test_what_is_said_keeps_its_lines_and_nothing_that_a_terminal_would_act_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("first \x1b[2J\nsecond")
    assert capsys.readouterr().err == "first �[2J\nsecond\n"


def test_one_and_many() -> None:
    assert [counted(number, "row") for number in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]


def test_progress_off_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("rows") as progress:
        for done in range(0, 3 * PROGRESS_STEP, PROGRESS_STEP // 4):
            progress(done, 3 * PROGRESS_STEP)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["rows: 100000 of 300000", "rows: 200000 of 300000"]
