"""``serve``: one relay as a process, with its signals and its service manager."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from relay.app import Relay, open_relay
from relay.clock import SystemClock
from relay.decide.rulebook import RulebookError
from relay.observe import notify
from relay.operate.errors import OperationError
from relay.operate.keyfiles import KeyFileError
from relay.ports import StoreTrouble
from relay.settings import Settings
from relay.smtp.server import ListenerError
from relay.web.server import CannotListen

SWITCH_SECONDS = 0.0005
GC_YOUNG = 20_000
"""New objects between two looks for cycles; a mail makes hundreds, and hardly a cycle."""


def run(settings: Settings, file: Path) -> int:
    """``serve``: run until SIGTERM or SIGINT; the exit status."""
    try:
        with asyncio.Runner(loop_factory=loop_factory(settings.event_loop)) as runner:
            return runner.run(_serve(settings, file))
    except (KeyFileError, RulebookError, StoreTrouble, ListenerError, CannotListen) as error:
        raise OperationError(f"cannot start: {error}", status=2) from error
    except (OSError, ValueError) as error:
        raise OperationError(f"cannot start: {error}", status=2) from error


async def _serve(settings: Settings, file: Path) -> int:
    # The store's thread and the signer's hand their answers back through the interpreter's lock;
    # with Python's 5 ms a busy event loop keeps every mail waiting for several such turns.
    sys.setswitchinterval(SWITCH_SECONDS)
    relay = await open_relay(settings, file)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: _reload(relay))
    try:
        await relay.start()
    except BaseException:
        await relay.stop(0.0)
        raise
    for name, address in relay.listening():
        print(f"ready {name} {address}", file=sys.stderr, flush=True)
    # What is there now stays: the collector need not walk through it again and again.
    gc.freeze()
    gc.set_threshold(GC_YOUNG, 20, 20)
    notify.ready("relaying")
    interval = notify.watchdog_interval(os.getpid())
    watchdog = relay.tasks.start(_feed_watchdog(interval), "watchdog") if interval else None
    await stopped.wait()
    if watchdog is not None:
        watchdog.cancel()
    notify.stopping("draining")
    await relay.stop(settings.drain_seconds)
    return 0


def _reload(relay: Relay) -> None:
    notify.reloading(SystemClock().monotonic())
    relay.reload()
    notify.ready("relaying")


async def _feed_watchdog(interval: float) -> None:
    while True:
        notify.alive()
        await asyncio.sleep(interval)


def loop_factory(wanted: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop; None is asyncio's own.

    Raises OperationError when uvloop is asked for by name and is not installed.
    """
    if wanted == "asyncio":
        return None
    try:
        import uvloop
    except ImportError as error:
        if wanted == "auto":
            return None
        raise OperationError(
            'event_loop = "uvloop" but uvloop is not installed: install it, or set "auto"', status=2
        ) from error
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
