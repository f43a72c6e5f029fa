"""The service manager's notification protocol, sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def notify(*assignments: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send ``NAME=value`` assignments to the service manager.

    Returns False without a ``NOTIFY_SOCKET``, or when nobody listens there: a manager that went
    away is no reason to stop relaying mail.
    """
    path = environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    # A leading @ stands for the NUL octet of the abstract namespace.
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto("\n".join(assignments).encode(), address)
        except OSError:
            return False
    return True


def ready(status: str) -> bool:
    """Say that mail can be taken (at start, and again when a reload is finished)."""
    return notify("READY=1", _status(status))


def reloading(monotonic: float) -> bool:
    """Say that a reload began at ``monotonic`` seconds (CLOCK_MONOTONIC)."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1_000_000)}")


def stopping(status: str) -> bool:
    """Say that the relay drains and will end."""
    return notify("STOPPING=1", _status(status))


def alive() -> bool:
    """Feed the watchdog; send from the event loop, so that a stuck loop is noticed."""
    return notify("WATCHDOG=1")


def watchdog_interval(pid: int, environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds between two calls of :func:`alive`: half of what the manager allows.

    None when there is no watchdog, or when it watches a process other than ``pid``.
    """
    allowed = environ.get("WATCHDOG_USEC", "")
    if not allowed.isdecimal() or int(allowed) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(allowed) / 2_000_000


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())
