"""One TCP connection to an upstream: commands out, replies in, nothing out of step.

Every reply answers a command of ours. Octets that nobody asked for (a second answer, data behind
the 220 of STARTTLS) mean that we and the upstream no longer agree on who said what; the
connection is then over, because the next reply could be taken for the answer to another command.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import cast

from relay.egress.replies import BadReply, Reply, ReplyParser

GO_AHEAD = 354


class Broken(Exception):
    """The connection cannot be used any more: closed, out of time, or out of step."""


class Wire(asyncio.Protocol):
    """The octets of one connection; used by one task at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._replies: deque[Reply] = deque()
        self._expected = 0
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._error: str | None = None

    # --- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._expected = 1  # the greeting

    def data_received(self, data: bytes) -> None:
        if self._error is not None:
            return
        try:
            replies = self._parser.feed(data)
        except BadReply as error:
            self.abort(str(error))
            return
        for reply in replies:
            if self._expected == 0:
                self.abort(f"unexpected reply: {reply.text}")
                return
            # 354 promises an answer to the content, which may come before the content has gone.
            self._expected += 0 if reply.code == GO_AHEAD else -1
            self._replies.append(reply)
        if self._expected == 0 and not self._parser.empty:
            self.abort("data behind the last reply")
            return
        if replies:
            # Whoever waits to send more content must see an answer to it at once.
            self._writable.set()
            self._notify()

    def eof_received(self) -> bool:
        self._fail("connection closed by the upstream")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"connection lost: {exc}" if exc else "connection closed by the upstream")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- for the client --------------------------------------------------------------------------

    @property
    def broken(self) -> bool:
        """True when nothing can be sent any more."""
        return self._error is not None

    @property
    def answered(self) -> bool:
        """True when a reply is there to be read."""
        return bool(self._replies)

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port that we are connected to."""
        assert self._transport is not None
        name = self._transport.get_extra_info("peername")
        return name[0], name[1]

    def expect(self, replies: int) -> None:
        """Say that so many more replies are due."""
        self._expected += replies

    def write(self, data: bytes) -> None:
        """Hand octets to the connection. Raises Broken."""
        if self._error is not None:
            raise Broken(self._error)
        assert self._transport is not None
        self._transport.write(data)

    async def flushed(self, seconds: float) -> None:
        """Wait until the upstream takes more octets, or has answered. Raises Broken."""
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._writable.wait()
            except TimeoutError:
                self.abort(f"upstream took no data for {seconds:g} s")
        if self._error is not None and not self._replies:
            raise Broken(self._error)

    async def reply(self, seconds: float) -> Reply:
        """The next reply, whole within ``seconds`` however its octets arrive. Raises Broken."""
        if not self._replies and self._error is None:
            self._waiter = self._loop.create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self._waiter
            except TimeoutError:
                self.abort(f"no reply within {seconds:g} s")
            finally:
                self._waiter = None
        if self._replies:
            return self._replies.popleft()
        raise Broken(self._error or "no reply")

    async def start_tls(self, context: ssl.SSLContext, name: str, seconds: float) -> None:
        """TLS handshake on the open connection. Raises Broken."""
        assert self._transport is not None
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_hostname=name,
                ssl_handshake_timeout=seconds,
            )
        except (OSError, ssl.SSLError) as error:
            self.abort(f"TLS handshake failed: {error}")
            raise Broken(f"TLS handshake failed: {error}") from error
        if transport is None:
            raise Broken(self._error or "connection closed during the TLS handshake")
        self._transport = transport

    def abort(self, why: str) -> None:
        """Close at once; what has not gone stays behind."""
        self._fail(why)
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, why: str) -> None:
        if self._error is None:
            self._error = why
        self._writable.set()
        self._notify()

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
