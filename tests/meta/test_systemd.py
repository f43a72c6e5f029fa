"""The shipped unit: hardened, understood by systemd, and in step with the relay."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from relay.settings import Settings

UNIT = Path(__file__).parents[2] / "systemd" / "consent-relay.service"
ANALYZE = shutil.which("systemd-analyze")
HIGHEST_EXPOSURE = 2.0

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ANALYZE), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def _values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


@needs_systemd
def test_exposure_is_low() -> None:
    done = _analyze("security", "--offline=true", "--no-pager", str(UNIT))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= HIGHEST_EXPOSURE, done.stdout


@needs_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    # The program need not be installed on the machine that runs the tests.
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M))
    done = _analyze("verify", "--man=no", str(copy))
    about_us = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert about_us == []
    assert done.returncode == 0, done.stderr


def test_notification_reload_and_restart_are_as_the_relay_means_them() -> None:
    assert _values("Type") == ["notify"]
    assert _values("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert _values("RestartPreventExitStatus") == ["2"], "wrong configuration is exit status 2"
    assert float(_values("WatchdogSec")[0]) > 0
    assert _values("StateDirectory") == _values("ConfigurationDirectory") == ["consent-relay"]


def test_stop_leaves_time_to_drain() -> None:
    assert float(_values("TimeoutStopSec")[0]) > Settings().drain_seconds


def test_descriptors_suffice_for_all_connections() -> None:
    settings = Settings()
    connections = settings.smtp.max_connections + settings.upstream.max_connections
    assert int(_values("LimitNOFILE")[0]) >= 2 * connections + 2_000
