"""The composition root: what a reload takes up and what it keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.app import Relay, open_relay
from relay.operate import keyfiles
from relay.settings_file import load

CONFIGURATION = """\
hostname = "{hostname}"
data_dir = "{data_dir}"

[limits]
personal_recipients_per_day = {personal}

[store]
min_free_bytes = {min_free}
"""


def write(file: Path, **values: object) -> None:
    known = {"hostname": "relay.test", "data_dir": "data", "personal": 5, "min_free": 0}
    file.write_text(CONFIGURATION.format(**{**known, **values}), "utf-8")


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    file = tmp_path / "relay.toml"
    write(file)
    (tmp_path / "data").mkdir(mode=0o700)
    keyfiles.make(tmp_path / "data")
    settings, _ = load(file)
    opened = await open_relay(settings, file)
    yield opened
    await opened.stop(0.0)


async def test_a_reload_takes_up_limits_and_keeps_what_it_cannot_change(
    relay: Relay, tmp_path: Path
) -> None:
    write(tmp_path / "relay.toml", personal=7, hostname="other.test", data_dir="elsewhere")
    relay.reload()
    for settings in (relay.settings, relay.context.settings):
        assert settings.limits.personal_recipients_per_day == 7
        assert settings.hostname == "relay.test"
        assert settings.data_dir == tmp_path / "data"


async def test_a_reload_of_a_broken_file_changes_nothing(relay: Relay, tmp_path: Path) -> None:
    before = relay.settings
    write(tmp_path / "relay.toml", personal='"many"')
    relay.reload()
    assert relay.settings is before


async def test_it_is_not_ready_for_mail_on_a_full_disk(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    write(file, min_free=10**18)
    (tmp_path / "data").mkdir(mode=0o700)
    keyfiles.make(tmp_path / "data")
    settings, _ = load(file)
    relay = await open_relay(settings, file)
    relay._state = "ready"
    assert relay.ready() == (False, "disk")
    await relay.stop(0.0)
