"""Every ``*.smtp`` script beside this file, against a real server on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dialogs.script import octets, play

SCRIPTS = sorted(Path(__file__).parent.glob("*.smtp"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
async def test_dialog(script: Path) -> None:
    await play(script)


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) > 15


async def test_a_wrong_expectation_fails_with_file_and_line(tmp_path: Path) -> None:
    script = tmp_path / "wrong.smtp"
    script.write_text("S~ 220 .*\nC: NOOP\nS: 250 something else\n")
    with pytest.raises(AssertionError, match=r"wrong\.smtp:3"):
        await play(script)


def test_escapes() -> None:
    assert octets(r"a\r\n\x00\\\*3{b}") == b"a\r\n\0\\bbb"
