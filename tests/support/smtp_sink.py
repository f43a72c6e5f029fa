"""A recording SMTP upstream whose faults a test can programme.

It shares no code with the relay, so that a mistake of the relay's cannot hide in it. End of data
is CRLF.CRLF and nothing else (RFC 5321 section 4.1.1.4); what more lenient servers would take for
an end is reported by ``Received.lenient_ends``.

In a test: ``async with SmtpSink() as sink`` on the test's own loop, or ``with sink_thread() as
sink`` beside blocking code. As a process: ``python -m tests.support.smtp_sink --ledger FILE``; it
prints ``ready PORT`` and appends one synced JSON line per mail before it says 250.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import signal
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXTENSIONS = ("PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")

END = b"\r\n.\r\n"

# What lenient servers take for end of data: smtpsmuggling.com, and bare CR variants.
LENIENT = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r")


@dataclass(frozen=True, slots=True)
class Received:
    """One mail that the sink said 250 to (or would have, had a fault not come between)."""

    connection: int
    at: float
    helo: str
    mail_from: str
    """Between the angle brackets."""
    mail_parameters: tuple[str, ...]
    recipients: tuple[str, ...]
    raw: bytes
    """The wire octets between 354 and the terminator, still dot-stuffed, with the last CRLF."""
    tls: bool

    @property
    def content(self) -> bytes:
        """The message with dot-stuffing removed."""
        return re.sub(rb"(\A|\r\n)\.", rb"\1", self.raw)

    @property
    def header(self) -> bytes:
        """The header block without the empty line."""
        return self.content.partition(b"\r\n\r\n")[0] + b"\r\n"

    @property
    def body(self) -> bytes:
        """What follows the empty line."""
        return self.content.partition(b"\r\n\r\n")[2]

    def fields(self, name: str) -> list[str]:
        """Unfolded values of every field called ``name``, top first."""
        unfolded = re.sub(rb"\r\n(?=[ \t])", b"", self.header)
        wanted = name.lower().encode()
        return [
            value.strip().decode("utf-8", "surrogateescape")
            for key, _, value in (line.partition(b":") for line in unfolded.split(b"\r\n"))
            if key.strip().lower() == wanted
        ]

    def get(self, name: str) -> str | None:
        """The first field called ``name``, or None."""
        return next(iter(self.fields(name)), None)

    @property
    def bare_newlines(self) -> int:
        """How many CR or LF stand alone on the wire; a clean client sends none."""
        return len(re.findall(rb"\r(?!\n)|(?<!\r)\n", self.raw))

    @property
    def lenient_ends(self) -> list[bytes]:
        """Sequences in here that a lenient server would take for the end of the message."""
        framed = b"\r\n" + self.raw
        return [end for end in LENIENT if end in framed]


@dataclass(slots=True)
class Fault:
    """What to do in place of the ordinary answer to one verb."""

    verb: str
    """CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, ``.``, RSET or QUIT."""
    reply: str | None = None
    """The whole reply in place of ours; None keeps the ordinary one."""
    close: bool = False
    """Close after the reply; with no reply, close without any word."""
    reset: bool = False
    """As close, but by RST."""
    record: bool = False
    """At ``.``: keep the mail although the client does not get its 250."""
    delay: float = 0.0
    """Seconds to wait first."""
    match: str | None = None
    """Only where the command line (at ``.``, the recipients) contains this."""
    times: int | None = None
    """How often; None is always."""


@dataclass(slots=True)
class Connection:
    """What one client said and heard."""

    number: int
    lines: list[tuple[str, str]] = field(default_factory=list)
    """``("C", line)`` and ``("S", line)`` in order, without line ends; content is left out."""
    helo: str = ""
    tls: bool = False
    authenticated: str | None = None
    closed: bool = False

    @property
    def commands(self) -> list[str]:
        """The verbs that the client sent, upper case."""
        return [line.split(" ", 1)[0].upper() for who, line in self.lines if who == "C"]


class SmtpSink:
    """A recording SMTP server on loopback.

    ``port=0`` picks one (see ``.port``). ``magic=True`` gives recipients a meaning: a local part
    that begins with ``temp`` gets 451 at RCPT, with ``fail`` 550 at RCPT, with ``dottemp`` or
    ``dotfail`` the same at the final dot.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        extensions: tuple[str, ...] = EXTENSIONS,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        credentials: tuple[str, str] | None = None,
        magic: bool = True,
        ledger: Path | None = None,
        sync: bool = True,
        keep: bool = True,
    ) -> None:
        self.host = host
        self.port = port
        self.extensions = extensions
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.credentials = credentials
        self.magic = magic
        self.keep = keep
        self.messages: list[Received] = []
        self.connections: list[Connection] = []
        self.count = 0
        self._faults: list[Fault] = []
        self._change = threading.Condition()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._ledger = ledger.open("ab", buffering=0) if ledger else None
        self._sync = sync

    # --- life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> SmtpSink:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
        if self._ledger:
            self._ledger.close()

    async def open(self) -> None:
        """Listen; may be called again after ``close`` and takes the same port then."""
        self._server = await asyncio.start_server(
            self._serve,
            self.host,
            self.port,
            limit=1 << 20,
            backlog=1024,
            ssl=self.tls if self.implicit_tls else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        self._server = None

    # --- what a test asks and orders ------------------------------------------------------------

    def fault(self, verb: str, **what: Any) -> Fault:
        """Add a Fault (see there for the keywords); the first that matches is taken."""
        fault = Fault(verb.upper(), **what)
        self._faults.append(fault)
        return fault

    def clear_faults(self) -> None:
        """Behave again."""
        self._faults.clear()

    def to(self, recipient: str) -> list[Received]:
        """The mails that reached ``recipient``."""
        return [mail for mail in self.messages if recipient in mail.recipients]

    def wait_for(self, count: int, within: float = 20.0) -> list[Received]:
        """Block until ``count`` mails are here (from another thread than the sink's loop)."""
        with self._change:
            if not self._change.wait_for(lambda: len(self.messages) >= count, within):
                raise AssertionError(f"{len(self.messages)} of {count} mails within {within} s")
            return list(self.messages)

    def wait_to(self, recipient: str, within: float = 20.0) -> Received:
        """Block until a mail to ``recipient`` is here; the first one."""
        with self._change:
            if not self._change.wait_for(lambda: self.to(recipient), within):
                raise AssertionError(f"nothing for {recipient} within {within} s")
            return self.to(recipient)[0]

    async def until(self, count: int, within: float = 20.0) -> list[Received]:
        """As ``wait_for``, for a test on the sink's own loop."""
        deadline = time.monotonic() + within
        while len(self.messages) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(self.messages)} of {count} mails within {within} s")
            await asyncio.sleep(0.005)
        return list(self.messages)

    # --- the server -----------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(len(self.connections) + 1, tls=self.implicit_tls)
        self.connections.append(connection)
        self._writers.add(writer)
        try:
            await _Dialogue(self, connection, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            connection.lines.append(("C", "*gone*"))
        finally:
            connection.closed = True
            self._writers.discard(writer)
            writer.close()

    def take_fault(self, verb: str, line: str) -> Fault | None:
        """The fault for this command, counted down."""
        for fault in self._faults:
            if fault.verb == verb and (fault.match is None or fault.match in line):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                return fault
        return None

    def record(self, mail: Received) -> None:
        """Keep the mail; on return its ledger line is on the disk."""
        if self._ledger:
            line = {
                "at": mail.at,
                "from": mail.mail_from,
                "to": mail.recipients,
                "id": mail.get("X-Test-Id") or mail.get("Message-ID"),
                "sha256": hashlib.sha256(mail.body).hexdigest(),
                "header": mail.header.decode("latin-1"),
                "bare": mail.bare_newlines,
                "ends": [base64.b64encode(end).decode() for end in mail.lenient_ends],
            }
            self._ledger.write(json.dumps(line).encode() + b"\n")
            if self._sync:
                os.fdatasync(self._ledger.fileno())
        with self._change:
            self.count += 1
            if self.keep:
                self.messages.append(mail)
            self._change.notify_all()


class _Gone(ConnectionError):
    """A programmed end of the connection."""


class _Dialogue:
    def __init__(
        self,
        sink: SmtpSink,
        connection: Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.sink = sink
        self.connection = connection
        self.reader = reader
        self.writer = writer
        self.buffer = bytearray()
        self.mail_from: str | None = None
        self.mail_parameters: tuple[str, ...] = ()
        self.recipients: list[str] = []

    async def run(self) -> None:
        await self.answer("CONNECT", "", "220 sink.test ESMTP")
        while True:
            line = await self.line()
            self.connection.lines.append(("C", line))
            verb, _, argument = line.partition(" ")
            handler = getattr(self, "do_" + verb.lower(), None)
            if handler is None:
                await self.say("502 5.5.2 command not recognised")
                continue
            await handler(argument, line)
            if verb.upper() == "QUIT":
                return

    async def line(self) -> str:
        while (end := self.buffer.find(b"\n")) < 0:
            await self.fill()
        line = bytes(self.buffer[:end]).rstrip(b"\r")
        del self.buffer[: end + 1]
        return line.decode("utf-8", "surrogateescape")

    async def fill(self) -> None:
        chunk = await self.reader.read(65536)
        if not chunk:
            raise _Gone
        self.buffer += chunk

    async def say(self, reply: str) -> None:
        lines = reply.split("\n")
        for line in lines:
            self.connection.lines.append(("S", line))
        self.writer.write(("\r\n".join(lines) + "\r\n").encode())
        await self.writer.drain()

    async def answer(self, verb: str, line: str, ordinary: str) -> bool:
        """Say the ordinary reply or what a fault puts in its place; True when ordinary."""
        fault = self.sink.take_fault(verb, line)
        if fault is None:
            await self.say(ordinary)
            return True
        await self.strike(fault)
        if fault.reply is None:
            await self.say(ordinary)
            return True
        return False

    async def strike(self, fault: Fault) -> None:
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.reply is not None:
            await self.say(fault.reply)
        if fault.reset:
            self.writer.transport.abort()
            raise _Gone
        if fault.close:
            self.writer.close()
            raise _Gone

    async def do_ehlo(self, argument: str, line: str) -> None:
        self.connection.helo = argument
        offered = list(self.sink.extensions)
        if self.sink.tls is not None and not self.connection.tls:
            offered.append("STARTTLS")
        if self.sink.credentials is not None:
            offered.append("AUTH PLAIN LOGIN")
        words = ["sink.test", *offered]
        reply = "\n".join(
            f"250{'-' if at < len(words) - 1 else ' '}{word}" for at, word in enumerate(words)
        )
        await self.answer("EHLO", line, reply)
        self.reset_transaction()

    async def do_helo(self, argument: str, line: str) -> None:
        self.connection.helo = argument
        await self.answer("HELO", line, "250 sink.test")
        self.reset_transaction()

    async def do_starttls(self, argument: str, line: str) -> None:
        if self.sink.tls is None or self.connection.tls:
            await self.say("502 5.5.1 not offered")
            return
        if not await self.answer("STARTTLS", line, "220 2.0.0 go ahead"):
            return
        self.buffer.clear()
        await self.writer.start_tls(self.sink.tls)
        self.connection.tls = True

    async def do_auth(self, argument: str, line: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if self.sink.credentials is None:
            await self.say("502 5.5.1 not offered")
            return
        if mechanism.upper() == "PLAIN":
            if not initial:
                await self.say("334 ")
                initial = await self.line()
            _, user, secret = base64.b64decode(initial).decode().split("\0")
        else:
            if not initial:
                await self.say("334 VXNlcm5hbWU6")
                initial = await self.line()
            user = base64.b64decode(initial).decode()
            await self.say("334 UGFzc3dvcmQ6")
            secret = base64.b64decode(await self.line()).decode()
        right = (user, secret) == self.sink.credentials
        ordinary = "235 2.7.0 welcome" if right else "535 5.7.8 no"
        if await self.answer("AUTH", line, ordinary) and right:
            self.connection.authenticated = user

    async def do_mail(self, argument: str, line: str) -> None:
        if self.mail_from is not None:
            await self.say("503 5.5.1 nested MAIL")
            return
        if self.sink.credentials is not None and self.connection.authenticated is None:
            await self.say("530 5.7.0 authentication required")
            return
        found = re.fullmatch(r"(?i)FROM:<(.*)>((?: [^ <>]+)*)", argument)
        if found is None:
            await self.say("501 5.1.7 bad sender")
            return
        if await self.answer("MAIL", line, "250 2.1.0 Ok"):
            self.mail_from = found[1]
            self.mail_parameters = tuple(found[2].split())

    async def do_rcpt(self, argument: str, line: str) -> None:
        if self.mail_from is None:
            await self.say("503 5.5.1 need MAIL")
            return
        found = re.fullmatch(r"(?i)TO:<(.+)>((?: [^ <>]+)*)", argument)
        if found is None:
            await self.say("501 5.1.3 bad recipient")
            return
        recipient = found[1]
        ordinary = self.magic(recipient, "") or "250 2.1.5 Ok"
        if await self.answer("RCPT", line, ordinary) and ordinary.startswith("2"):
            self.recipients.append(recipient)

    def magic(self, recipient: str, prefix: str) -> str | None:
        if self.sink.magic and recipient.startswith(prefix + "temp"):
            return "451 4.2.0 try again later"
        if self.sink.magic and recipient.startswith(prefix + "fail"):
            return "550 5.1.1 no such user"
        return None

    async def do_data(self, argument: str, line: str) -> None:
        if self.mail_from is None or not self.recipients:
            await self.say("554 5.5.1 no valid recipients")
            self.reset_transaction()
            return
        if not await self.answer("DATA", line, "354 go ahead"):
            return
        raw = await self.data()
        mail = Received(
            connection=self.connection.number,
            at=time.time(),
            helo=self.connection.helo,
            mail_from=self.mail_from,
            mail_parameters=self.mail_parameters,
            recipients=tuple(self.recipients),
            raw=raw,
            tls=self.connection.tls,
        )
        self.reset_transaction()
        await self.end_of_data(mail)

    async def data(self) -> bytes:
        looked = 0
        while True:
            if self.buffer.startswith(b".\r\n"):
                del self.buffer[:3]
                return b""
            at = self.buffer.find(END, max(0, looked - len(END)))
            if at >= 0:
                raw = bytes(self.buffer[: at + 2])
                del self.buffer[: at + len(END)]
                return raw
            looked = len(self.buffer)
            await self.fill()

    async def end_of_data(self, mail: Received) -> None:
        line = " ".join(mail.recipients)
        self.connection.lines.append(("C", "."))
        fault = self.sink.take_fault(".", line)
        if fault is not None:
            if fault.record or (fault.reply is None and not (fault.close or fault.reset)):
                self.sink.record(mail)
            await self.strike(fault)
            if fault.reply is None:
                await self.say("250 2.0.0 Ok: taken")
            return
        refusal = next(filter(None, (self.magic(one, "dot") for one in mail.recipients)), None)
        if refusal is None:
            self.sink.record(mail)
        await self.say(refusal or "250 2.0.0 Ok: taken")

    async def do_rset(self, argument: str, line: str) -> None:
        self.reset_transaction()
        await self.answer("RSET", line, "250 2.0.0 Ok")

    async def do_noop(self, argument: str, line: str) -> None:
        await self.answer("NOOP", line, "250 2.0.0 Ok")

    async def do_quit(self, argument: str, line: str) -> None:
        await self.answer("QUIT", line, "221 2.0.0 Bye")

    def reset_transaction(self) -> None:
        self.mail_from = None
        self.mail_parameters = ()
        self.recipients = []


class SinkThread:
    """``with SinkThread() as upstream``: a sink on an event loop of its own thread.

    Everything of ``upstream.sink`` that a test reads (``messages``, ``connections``,
    ``wait_for``, faults) may be used from the test's thread; ``deaf`` and ``listen`` take the
    host down and up again.
    """

    def __init__(self, **options: Any) -> None:
        self.sink = SmtpSink(**options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> SinkThread:
        self._thread.start()
        self.listen()
        return self

    def __exit__(self, *exc: object) -> None:
        self.deaf()
        self._call(self._settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def listen(self) -> None:
        """Listen (again)."""
        self._call(self.sink.open())

    def deaf(self) -> None:
        """Stop listening and cut every connection, as a host that goes down."""
        self._call(self.sink.close())

    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    async def _settle(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


@contextlib.contextmanager
def sink_thread(**options: Any) -> Iterator[SmtpSink]:
    """``with sink_thread() as sink``: a sink beside blocking code."""
    with SinkThread(**options) as upstream:
        yield upstream.sink


@contextlib.asynccontextmanager
async def smtp_sink(**options: Any) -> AsyncIterator[SmtpSink]:
    """``async with smtp_sink() as sink``: a sink on the test's own loop."""
    async with SmtpSink(**options) as sink:
        yield sink


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path)
    parser.add_argument("--no-sync", action="store_true", help="do not sync the ledger")
    arguments = parser.parse_args()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with SmtpSink(
        arguments.port, ledger=arguments.ledger, sync=not arguments.no_sync, keep=False
    ) as sink:
        print(f"ready {sink.port}", flush=True)
        await stop.wait()
        print(f"taken {sink.count}", flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
