"""The demo's upstream: takes mail, keeps it in memory, and refuses one recipient."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from relay.tasks import Tasks

REFUSED = "no-such-box"
"""Local part that this upstream does not know."""


@dataclass(frozen=True, slots=True)
class Sunk:
    """One message that arrived."""

    mail_from: str
    recipients: tuple[str, ...]
    content: bytes


class Sink:
    """A minimal SMTP server (RFC 5321 section 4.5.1) on loopback."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self.arrived: list[Sunk] = []
        self._arrival = asyncio.Condition()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen on a free port; returns ``host:port``."""
        self._server = await asyncio.start_server(
            lambda reader, writer: self._tasks.start(self._serve(reader, writer), "demo sink"),
            "127.0.0.1",
            0,
            limit=2**26,
        )
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    def sent_to(self, address: str) -> list[Sunk]:
        """What arrived for one address, oldest first."""
        return [sunk for sunk in self.arrived if address in sunk.recipients]

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until what has arrived is ``enough``."""
        async with self._arrival:
            await self._arrival.wait_for(enough)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink.example ESMTP\r\n")
        mail_from, recipients = "", list[str]()
        try:
            while line := await reader.readline():
                verb, _, argument = line.decode("utf-8", "replace").rstrip("\r\n").partition(" ")
                path = argument.partition("<")[2].partition(">")[0]
                reply = "250 2.0.0 Ok"
                match verb.upper():
                    case "EHLO":
                        reply = "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8"
                    case "MAIL":
                        mail_from, recipients = path, []
                    case "RCPT" if path.startswith(REFUSED):
                        reply = "550 5.1.1 No such mailbox here"
                    case "RCPT":
                        recipients.append(path)
                    case "DATA" if recipients:
                        writer.write(b"354 Go ahead\r\n")
                        content = await reader.readuntil(b"\r\n.\r\n")
                        content = content[:-3].replace(b"\r\n..", b"\r\n.")
                        self.arrived.append(Sunk(mail_from, tuple(recipients), content))
                        async with self._arrival:
                            self._arrival.notify_all()
                    case "DATA":
                        reply = "554 5.5.1 No valid recipients"
                    case "QUIT":
                        break
                writer.write(reply.encode() + b"\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # the relay hung up: nothing to keep
        finally:
            writer.close()
