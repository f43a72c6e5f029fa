"""A small upstream that says, octet for octet, what a test tells it to, and pools towards it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.clock import SystemClock
from relay.egress.upstream import UpstreamPool
from relay.settings import Upstream
from relay.tasks import Tasks

OFFERS = ("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
ORDINARY = {
    "CONNECT": b"220 scripted ESMTP\r\n",
    "HELO": b"250 scripted\r\n",
    "STARTTLS": b"220 2.0.0 go on\r\n",
    "AUTH": b"235 2.7.0 welcome\r\n",
    "MAIL": b"250 2.1.0 Ok\r\n",
    "RCPT": b"250 2.1.5 Ok\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 2.0.0 Ok: queued as ABC\r\n",
    "RSET": b"250 2.0.0 Ok\r\n",
    "NOOP": b"250 2.0.0 Ok\r\n",
    "QUIT": b"221 2.0.0 Bye\r\n",
}
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """``replies`` holds, by verb, what to say in place of the ordinary: octets, None to close
    without a word, or a list of these for successive times (the last one stays)."""

    offers: Sequence[str] = OFFERS
    replies: Mapping[str, bytes | list[bytes | None] | None] = field(default_factory=dict)
    certificate: ssl.SSLContext | None = None
    dribble: bool = False
    sessions: list[list[bytes]] = field(default_factory=list)
    """The command lines of each connection, with their line ends."""
    mails: list[bytes] = field(default_factory=list)
    """Wire octets between 354 and the end of the terminator, terminator included."""
    flights: list[bytes] = field(default_factory=list)
    """What lay in the buffer at each MAIL: all of a pipelined flight."""
    address: str = ""
    encrypted: list[bool] = field(default_factory=list)
    """For each mail whether it came through TLS."""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    """Our end of each connection."""
    _said: dict[str, int] = field(default_factory=dict)

    def commands(self) -> list[str]:
        """All verbs of all connections."""
        return [line.split()[0].decode().upper() for lines in self.sessions for line in lines]

    def _step(self, verb: str) -> bytes | None:
        step = self.replies.get(verb, ORDINARY.get(verb, b"502 5.5.1 no\r\n"))
        if verb == "EHLO" and verb not in self.replies:
            words = ["scripted", *self.offers]
            return b"".join(
                f"250{' ' if n == len(words) - 1 else '-'}{word}\r\n".encode()
                for n, word in enumerate(words)
            )
        if isinstance(step, list):
            count = self._said.get(verb, 0)
            self._said[verb] = count + 1
            return step[min(count, len(step) - 1)]
        return step

    async def _say(self, verb: str, writer: asyncio.StreamWriter) -> bytes:
        step = self._step(verb)
        if step is None:
            raise ConnectionError
        for piece in [bytes([octet]) for octet in step] if self.dribble else [step]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if step.startswith(b"421"):
            raise ConnectionError
        return step

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        lines: list[bytes] = []
        self.sessions.append(lines)
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._say("CONNECT", writer)
            while not (lines and lines[-1].startswith(b"QUIT")):
                await self._command(reader, writer, lines)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _command(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lines: list[bytes]
    ) -> None:
        line = await reader.readuntil(b"\n")
        lines.append(line)
        verb = line.split()[0].decode().upper()
        if verb == "MAIL":
            self.flights.append(line + bytes(reader._buffer))  # type: ignore[attr-defined]
        said = await self._say(verb, writer)
        if verb == "STARTTLS" and said.startswith(b"220"):
            if self.certificate is None:
                raise ConnectionError
            await writer.start_tls(self.certificate)
        elif verb == "DATA" and said.startswith(b"354"):
            content = bytearray(await reader.readuntil(b"\n"))
            while content != b".\r\n" and not content.endswith(b"\r\n.\r\n"):
                content += await reader.readuntil(b"\n")
            self.mails.append(bytes(content))
            self.encrypted.append(writer.get_extra_info("ssl_object") is not None)
            await self._say(".", writer)
        elif verb == "AUTH" and said.startswith(b"334"):
            while said.startswith(b"334"):
                lines.append(b"= " + await reader.readuntil(b"\n"))
                said = await self._say("AUTH", writer)


@dataclass
class Bench:
    """Starts upstreams and pools towards them, and ends all of it after the test."""

    tasks: Tasks
    stack: contextlib.AsyncExitStack

    async def serve(self, handler: Handler, certificate: ssl.SSLContext | None = None) -> str:
        """Listen with ``handler``; returns ``host:port``."""
        running: set[asyncio.Task[Any]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            running.add(task)
            task.add_done_callback(running.discard)
            await handler(reader, writer)

        async def ended() -> None:
            if running:
                await asyncio.wait(set(running), timeout=5)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**24, ssl=certificate)
        self.stack.push_async_callback(ended)
        self.stack.callback(server.close)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def upstream(self, *, implicit_tls: bool = False, **what: Any) -> Scripted:
        """A scripted upstream that listens; the keywords are the fields of Scripted."""
        scripted = Scripted(**what)
        tls = scripted.certificate if implicit_tls else None
        scripted.address = await self.serve(scripted.serve, tls)
        return scripted

    def pool(self, address: str, **settings: Any) -> UpstreamPool:
        """A pool towards ``address``; without TLS and with short timeouts unless told."""
        given = {
            "tls": "none",
            "connect_timeout": 5.0,
            "command_timeout": 5.0,
            "final_timeout": 5.0,
            **settings,
        }
        pool = UpstreamPool(
            Upstream(address=address, **given), "relay.example", SystemClock(), self.tasks
        )
        self.stack.push_async_callback(pool.close)
        return pool
