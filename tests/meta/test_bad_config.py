"""Every broken configuration is told in one exact sentence: file, line, key."""

from pathlib import Path

import pytest

from relay.settings_file import SettingsError, load

CASES = sorted((Path(__file__).parent / "bad_config").glob("*.toml"))


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_message(file: Path) -> None:
    expected = file.with_suffix(".expected").read_text("utf-8").rstrip("\n")
    with pytest.raises(SettingsError) as caught:
        load(file, {})
    assert str(caught.value) == expected.replace("{file}", str(file))


def test_there_are_cases() -> None:
    assert len(CASES) > 20
    assert {file.stem for file in CASES} == {
        file.stem for file in (Path(__file__).parent / "bad_config").glob("*.expected")
    }
