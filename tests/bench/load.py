"""The same load for every system: Postfix's smtp-source in, its smtp-sink out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from tests.support.ports import free_port

SENDER = "news@shop.test"
RECIPIENT = "reader@example.test"


def load_missing() -> str | None:
    """Why there is no load generator here; None when there is."""
    for tool in ("smtp-source", "smtp-sink"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (Debian: postfix)"
    return None


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent; a new connection for each mail unless ``persistent``."""

    messages: int = 2000
    sessions: int = 10
    size: int = 4000
    persistent: bool = False

    @property
    def command(self) -> str:
        """As a person would type it, without addresses."""
        persistent = " -d" if self.persistent else ""
        return f"smtp-source -s {self.sessions} -m {self.messages} -l {self.size}{persistent}"

    def send(self, port: int) -> None:
        """Send everything to a port; returns when the last mail was acknowledged."""
        arguments = [*self.command.split(), "-4", "-f", SENDER, "-t", RECIPIENT]
        # -C: a full listen queue answers with RST here now and then
        subprocess.run(
            [*arguments, "-C", "50", f"127.0.0.1:{port}"],
            check=True,
            timeout=900,
            stdin=subprocess.DEVNULL,
        )


class CountingSink:
    """``smtp-sink -c``: throws mail away and counts it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.count = 0
        self._change = threading.Condition()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            ["smtp-sink", "-c", "-4", *user, f"127.0.0.1:{self.port}", "1024"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        last = b""
        with self._process.stdout as pipe:
            while chunk := os.read(pipe.fileno(), 65536):
                *_, whole = [b"", *re.findall(rb"mesg=(\d+)[^\r]*\r", last + chunk)]
                last = chunk[-100:]
                if whole:
                    with self._change:
                        self.count = max(self.count, int(whole))
                        self._change.notify_all()

    def wait_for(self, count: int, within: float = 900.0) -> None:
        """Return when it has taken ``count`` mails in all."""
        with self._change:
            if not self._change.wait_for(lambda: self.count >= count, within):
                raise RuntimeError(f"the sink has {self.count} of {count} mails after {within} s")

    def __enter__(self) -> CountingSink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)


@dataclass(frozen=True, slots=True)
class Speed:
    """One run."""

    messages: int
    accepted_seconds: float
    """Until the last mail was acknowledged to the client."""
    delivered_seconds: float
    """Until the sink had everything."""
    stolen: float
    """Which part of the processors' time the hypervisor gave to other machines meanwhile."""

    @property
    def rate(self) -> float:
        """Mails a second, first connection to last mail at the sink."""
        return self.messages / self.delivered_seconds

    @property
    def accepted_rate(self) -> float:
        """Mails a second as the client sees it."""
        return self.messages / self.accepted_seconds


def measure(load: Load, port: int, sink: CountingSink) -> Speed:
    """Send the load to ``port`` and wait until ``sink`` has all of it."""
    goal = sink.count + load.messages
    stolen, spent = processor_time()
    start = time.monotonic()
    load.send(port)
    accepted = time.monotonic() - start
    sink.wait_for(goal)
    delivered = time.monotonic() - start
    stolen_now, spent_now = processor_time()
    share = (stolen_now - stolen) / max(1, spent_now - spent)
    return Speed(load.messages, accepted, delivered, share)


def processor_time() -> tuple[int, int]:
    """What the hypervisor has taken since the start, and all time, in ticks of all processors."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    return ticks[7], sum(ticks)
