from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.observe import notify as sd


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield sock


def test_messages(manager: socket.socket) -> None:
    assert sd.ready("takes mail")
    assert manager.recv(4096) == b"READY=1\nSTATUS=takes mail"
    assert sd.reloading(12.5)
    assert manager.recv(4096) == b"RELOADING=1\nMONOTONIC_USEC=12500000"
    assert sd.stopping("3 left\nREADY=1")
    assert manager.recv(4096) == b"STOPPING=1\nSTATUS=3 left READY=1"
    assert sd.alive()
    assert manager.recv(4096) == b"WATCHDOG=1"


def test_abstract_socket() -> None:
    name = "relay-test-notify-" + str(id(object()))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.setblocking(False)
        assert sd.notify("READY=1", environ={"NOTIFY_SOCKET": "@" + name})
        assert sd.notify("READY=1", environ={"NOTIFY_SOCKET": "@" + name})
        assert sock.recv(100) == b"READY=1"


def test_nobody_to_tell(tmp_path: Path) -> None:
    assert not sd.notify("READY=1", environ={})
    assert not sd.notify("READY=1", environ={"NOTIFY_SOCKET": ""})
    assert not sd.notify("READY=1", environ={"NOTIFY_SOCKET": str(tmp_path / "gone")})


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], seconds: float | None) -> None:
    assert sd.watchdog_interval(42, environ) == seconds
