"""Where log records become lines on stderr: Postfix-like text, or one JSON object a line."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from typing import TextIO

from relay.observe.lines import (
    Arrived,
    Fate,
    Line,
    Queued,
    Show,
    fields,
    hashed,
    printable,
    shown,
    without_addresses,
)
from relay.settings import Log

_SEVERITY = {"WARNING": "warning: ", "ERROR": "error: ", "CRITICAL": "fatal: "}
"""Postfix's words in front of a message; plain information has none."""

_CHATTY = ("uvicorn", "uvicorn.error", "mail.log", "asyncio", "alembic")
"""Libraries whose informational lines tell nobody anything (aiosmtpd's would hold addresses)."""

GATHER_SECONDS = 0.02
"""How long a line may wait for others to be written with."""

path_log = logging.getLogger("relay.path")
"""Takes a :class:`~relay.observe.lines.Line` as its message."""


def configure(settings: Log, hostname: str, pepper: bytes, stream: TextIO | None = None) -> None:
    """Send everything that is logged to ``stream`` (stderr by default); may be called again.

    ``pepper`` keys the hash that stands for addresses when ``settings.addresses`` is ``hash``.
    """
    # What no formatter of ours prints need not be looked up for each record (logging's own
    # advice on optimisation): the caller's frame, thread, process and their names.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    hide = settings.addresses == "hash"
    show = hashed(pepper) if hide else shown
    shape = JsonFormatter if settings.format == "json" else TextFormatter
    handler = GatheringHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(shape(hostname, show, hide=hide))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, _Formatter):
            old.flush()
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def write(line: Arrived | Queued | Fate) -> None:
    """Log one line of a message's life."""
    path_log.info(line)


class GatheringHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of a few milliseconds at once: each mail has three, and a write of its own
    for each costs more than all the rest of logging.

    Anything graver than information is written at once, and so is what other threads log. A crash
    of the process can cost the last ``GATHER_SECONDS`` of lines; every fate is in the store.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; never raises."""
        try:
            self._lines.append(self.format(record) + "\n")
            if record.levelno > logging.INFO:
                self.flush()
            elif len(self._lines) == 1:
                self._flush_soon()
        except Exception:  # as every logging handler: a bad record must not stop mail
            self.handleError(record)

    def flush(self) -> None:
        """Write what has gathered."""
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("".join(lines))
                self.stream.flush()

    def _flush_soon(self) -> None:
        try:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)
        except RuntimeError:
            self.flush()


class _Formatter(logging.Formatter):
    def __init__(self, hostname: str, show: Show, *, hide: bool) -> None:
        super().__init__()
        self._hostname = printable(hostname).replace(" ", "_")
        self._show = show
        self._hide = hide
        self._clean: Callable[[str], str] = without_addresses if hide else str
        self._pid = os.getpid()
        self._second = -1
        self._stamp = ("", "")

    def _line(self, line: Line) -> Line:
        if self._hide and isinstance(line, Fate):
            return replace(line, reply=without_addresses(line.reply))
        return line

    def _time(self, created: float) -> str:
        """RFC 3339 local time; the part that changes once a second is kept."""
        second = int(created)
        if second != self._second:
            whole = datetime.fromtimestamp(second).astimezone().isoformat()
            self._second, self._stamp = second, (whole[:19], whole[19:])
        return f"{self._stamp[0]}.{int((created - second) * 1000):03d}{self._stamp[1]}"


class TextFormatter(_Formatter):
    """``2026-11-22T06:00:00.123+01:00 host relay/smtp[pid]: message``, nothing unprintable."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; a traceback becomes further lines with the same beginning."""
        time = self._time(record.created)
        message = record.msg
        if isinstance(message, Line):
            begin = f"{time} {self._hostname} relay/{message.program}[{self._pid}]: "
            return begin + self._line(message).text(self._show)
        begin = f"{time} {self._hostname} {_program(record.name)}[{self._pid}]: "
        severity = _SEVERITY.get(record.levelname, "")
        lines = [severity + printable(self._clean(record.getMessage()))]
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            lines += [f"trace: {printable(self._clean(part))}" for part in trace.splitlines()]
        return "\n".join(begin + line for line in lines)


class JsonFormatter(_Formatter):
    """One object a line, ASCII only, so that no octet of a message can end the line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one JSON object."""
        message = record.msg
        entry: dict[str, object] = {
            "time": self._time(record.created),
            "host": self._hostname,
            "level": record.levelname.lower(),
            "pid": self._pid,
        }
        if isinstance(message, Line):
            entry["program"] = f"relay/{message.program}"
            entry |= fields(self._line(message), self._show)
        else:
            entry["program"] = _program(record.name)
            entry["message"] = self._clean(record.getMessage())
            if record.exc_info:
                entry["trace"] = self._clean(self.formatException(record.exc_info))
        return json.dumps(entry)


def _program(logger: str) -> str:
    """``relay.egress.upstream`` is ``relay/egress``; a library's logger is ``relay/NAME``."""
    parts = logger.split(".")
    name = parts[1] if parts[0] == "relay" and len(parts) > 1 else parts[0]
    return f"relay/{printable(name).replace(' ', '_')}"
