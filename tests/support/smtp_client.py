"""A raw SMTP client: the test decides every octet and every moment.

``SmtpClient`` runs on the test's event loop. It parses nothing but replies.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
import struct
from dataclasses import dataclass
from types import TracebackType

TIMEOUT = 15.0
"""Seconds to wait for a reply before the test fails."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply."""

    code: int
    lines: tuple[str, ...]
    """Without code and separator."""

    @property
    def text(self) -> str:
        """All lines as one."""
        return " ".join(self.lines)

    @property
    def enhanced(self) -> str:
        """The RFC 3463 code of the last line, or empty."""
        found = re.match(r"[245]\.\d{1,3}\.\d{1,3}(?= |$)", self.lines[-1])
        return found[0] if found else ""

    @property
    def reason(self) -> str | None:
        """The slug after ``reason=``, or None."""
        found = re.search(r"reason=([a-z-]+)", self.text)
        return found[1] if found else None

    @property
    def queue_id(self) -> str | None:
        """The id of ``250 2.0.0 Ok: ID …``, or None."""
        found = re.search(r"Ok: (\S+)", self.text)
        return found[1] if found else None

    @property
    def counts(self) -> dict[str, int]:
        """The counts of ``sent=N held=N dropped=N delayed=N``."""
        found = re.findall(r"\b(sent|held|dropped|delayed)=(\d+)", self.text)
        return {word: int(number) for word, number in found}

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class SmtpClient:
    """``async with SmtpClient(port) as client``: connected, greeting not yet read."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.port = port
        self.host = host
        self._tls = tls
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> SmtpClient:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.transport.abort()

    async def connect(self) -> None:
        """Connect (under TLS from the first octet when a context was given)."""
        self._reader, self._writer = await asyncio.open_connection(
            self.host,
            self.port,
            limit=1 << 20,
            ssl=self._tls,
            server_hostname="localhost" if self._tls else None,
        )

    # --- octets -----------------------------------------------------------------------------

    async def send(self, octets: bytes) -> None:
        """Write exactly these octets."""
        self._writer.write(octets)
        await asyncio.wait_for(self._writer.drain(), TIMEOUT)

    async def send_slowly(self, octets: bytes, size: int = 1) -> None:
        """Write in segments of ``size`` octets, each handed to the network by itself."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(octets), size):
            await self.send(octets[at : at + size])
            await asyncio.sleep(0)

    async def reply(self, within: float = TIMEOUT) -> Reply:
        """Read one reply, of however many lines.

        Raises ConnectionError when the server closes first, TimeoutError when it says nothing.
        """
        lines: list[str] = []
        while True:
            line = await asyncio.wait_for(self._reader.readline(), within)
            if not line.endswith(b"\r\n"):
                raise ConnectionResetError(f"closed within a reply: {lines} {line!r}")
            text = line[:-2].decode("utf-8", "surrogateescape")
            if not re.match(r"[2-5]\d\d([ -]|$)", text):
                raise AssertionError(f"not an SMTP reply line: {text!r}")
            lines.append(text[4:])
            if text[3:4] != "-":
                return Reply(int(text[:3]), tuple(lines))

    async def command(self, line: str | bytes, within: float = TIMEOUT) -> Reply:
        """Send one command line (CRLF is added) and read its reply."""
        octets = line.encode() if isinstance(line, str) else line
        await self.send(octets + b"\r\n")
        return await self.reply(within)

    async def rest(self, within: float = TIMEOUT) -> bytes:
        """Everything until the server closes."""
        return await asyncio.wait_for(self._reader.read(), within)

    async def half_close(self) -> None:
        """Send FIN, go on reading."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Send RST."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close as a client does that just goes away."""
        self._writer.close()

    # --- the usual steps ----------------------------------------------------------------------

    async def hello(self, name: str = "client.test") -> Reply:
        """Read the greeting and say EHLO; the EHLO reply."""
        greeting = await self.reply()
        if greeting.code != 220:
            return greeting
        return await self.command(f"EHLO {name}")

    async def starttls(self, context: ssl.SSLContext) -> Reply:
        """STARTTLS and the handshake; the reply to the command."""
        reply = await self.command("STARTTLS")
        if reply.code == 220:
            await self._writer.start_tls(context, server_hostname="localhost")
        return reply

    async def login(self, username: str, secret: str) -> Reply:
        """AUTH PLAIN with an initial response."""
        word = base64.b64encode(f"\0{username}\0{secret}".encode()).decode()
        return await self.command(f"AUTH PLAIN {word}")

    async def envelope(self, mail_from: str, *recipients: str) -> list[Reply]:
        """MAIL and RCPT, one at a time; all replies."""
        replies = [await self.command(f"MAIL FROM:<{mail_from}>")]
        replies += [await self.command(f"RCPT TO:<{one}>") for one in recipients]
        return replies

    async def data(self, content: bytes) -> Reply:
        """DATA and the content (dots are stuffed, the terminator added); the last reply."""
        reply = await self.command("DATA")
        if reply.code != 354:
            return reply
        await self.send(stuffed(content))
        return await self.reply()

    async def deliver(self, mail_from: str, recipients: list[str], content: bytes) -> Reply:
        """A whole transaction; the reply to the final dot, or the first refusal before it."""
        for reply in await self.envelope(mail_from, *recipients):
            if reply.code >= 400:
                return reply
        return await self.data(content)


def stuffed(content: bytes) -> bytes:
    """``content`` as it goes over the wire: dots stuffed at line starts, terminator added.

    Line ends are left as they are; the terminator's CRLF is added where the last one is missing.
    """
    wire = re.sub(rb"(^|\r\n)\.", rb"\1..", content)
    return wire + (b".\r\n" if wire.endswith(b"\r\n") else b"\r\n.\r\n")


async def send_mail(
    port: int,
    mail_from: str,
    recipients: list[str],
    content: bytes,
    *,
    login: tuple[str, str] | None = None,
) -> Reply:
    """One connection, one mail; the last reply."""
    async with SmtpClient(port) as client:
        hello = await client.hello()
        if hello.code != 250:
            return hello
        if login is not None:
            reply = await client.login(*login)
            if reply.code != 235:
                return reply
        reply = await client.deliver(mail_from, recipients, content)
        await client.send(b"QUIT\r\n")
        return reply
