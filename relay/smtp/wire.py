"""The lower half of a session: octets in, reply lines out, and every deadline.

aiosmtpd's ``SMTP`` gives the connection its life (streams, handler task, lost connections); this
class replaces what it does to mail: it inspects itself by ``getmembers`` for each connection,
cancels a running handler when the client half-closes, times out a session that works, and closes
without a word.
"""

from __future__ import annotations

import asyncio
import math
from typing import cast

from aiosmtpd.smtp import SMTP

from relay.settings import Listener
from relay.smtp import reply
from relay.smtp.front import Front
from relay.smtp.reply import Reply

CHUNK = 65_536
"""Octets read at once; the stream stops reading from the network at twice this."""
LONGEST_LINE = 12_290
"""Octets of any command line with its end: AUTH has the longest (RFC 4954 section 4)."""
REPLIES_HELD = 100
"""Replies to pipelined commands gathered for one write."""
STRESS_TIMEOUT = 10.0
"""Seconds a client may be silent when most connection slots are taken."""
HANDSHAKE_TIMEOUT = 30.0
"""Seconds for a TLS handshake."""
WRITE_BLOCKED = 60.0
"""Seconds a client may leave our replies unread."""
CLOSE_GRACE = 5.0
"""Seconds for the last reply to leave before the connection is cut."""


class Gone(Exception):
    """The client will not send anything more."""


class Leave(Exception):
    """The session ends with this reply."""

    def __init__(self, last: Reply) -> None:
        super().__init__(str(last))
        self.reply = last


class BadLine(Exception):
    """A command line that is none; it has been consumed."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(str(answer))
        self.reply = answer


class Wire(SMTP):
    """One connection, without any idea of what the commands mean."""

    def __init__(self, front: Front, listener: Listener) -> None:
        # Not SMTP.__init__, which costs a quarter of a session's time. What follows is what the
        # inherited methods read.
        self.loop = asyncio.get_running_loop()
        self._open_streams()
        self.session = None
        self.envelope = None
        self.transport = None
        self._handle_hooks = {}
        self._handler_coroutine = None
        self._original_transport = None
        self._timeout_handle = None

        self.front = front
        self.listener = listener
        self._deadline = math.inf
        self._alarm_at = math.inf
        self._last_rites: asyncio.TimerHandle | None = None
        self._inbox = bytearray()
        self._outbox: list[str] = []
        self._waiting = False
        """True while nothing is under way but waiting for the client's next octets."""

    # --- Octets in ---------------------------------------------------------------------------

    async def line(self) -> bytes:
        """The next command line without its end; sends what is in the outbox before it waits.

        Raises BadLine for one that is too long; Leave for one that ends in a bare LF when
        ``smtp.bare_newlines = "reject"``; Gone.
        """
        inbox = self._inbox
        overlong = False
        while (end := inbox.find(b"\n")) < 0:
            if len(inbox) > LONGEST_LINE:
                overlong = True
                inbox.clear()
            inbox += await self.receive()
        line = bytes(inbox[:end])
        del inbox[: end + 1]
        if overlong or end >= LONGEST_LINE:
            raise BadLine(reply.LINE_TOO_LONG)
        if line.endswith(b"\r"):
            line = line[:-1]
        elif self.front.settings.bare_newlines == "reject":
            # What follows may be meant as the same line by the one who sent it.
            raise Leave(reply.BARE_NEWLINE)
        return line

    async def receive(self) -> bytes:
        """The next octets, as many as there are. Raises Gone."""
        if self._outbox:
            await self.flush()
        self._waiting = True
        octets = await self._reader.read(CHUNK)
        self._waiting = False
        if not octets:
            raise Gone
        return octets

    def unread(self, octets: bytes) -> None:
        """Put octets back that belong to the next command."""
        self._inbox[:0] = octets

    # --- Replies out -------------------------------------------------------------------------

    def say(self, words: Reply | str) -> None:
        """Put a reply into the outbox; replies to a pipelined group leave in one write."""
        self._outbox.append(str(words))

    async def flush(self) -> None:
        """Send what is in the outbox. Raises ConnectionError when the client has left."""
        self._write_outbox()
        await self._writer.drain()

    def _write_outbox(self) -> None:
        self._outbox.append("")
        self._writer.write("\r\n".join(self._outbox).encode("ascii"))
        self._outbox.clear()

    @property
    def outbox_full(self) -> bool:
        """Whether it is time to send, so that nobody makes us pile up replies."""
        return len(self._outbox) >= REPLIES_HELD

    # --- Deadlines ---------------------------------------------------------------------------

    def allow(self, seconds: float) -> None:
        """From now on the client has so long; one timer serves the whole session."""
        self._deadline = self.loop.time() + seconds
        if self._deadline < self._alarm_at:
            self._set_alarm()

    def extend(self, octets: int, per_second: int, most: float) -> None:
        """The client has sent so much, which earns it time at the rate that is the least allowed.

        The deadline never moves beyond ``most`` seconds from now: silence and trickling are cut
        off by the same rule (Postfix ``smtpd_per_request_deadline``).
        """
        latest = self.loop.time() + most
        earned = self._deadline + octets / per_second if per_second else latest
        self._deadline = min(earned, latest)

    def suspend_deadline(self) -> None:
        """From now on we are the ones who work; ``allow`` ends it."""
        self._deadline = math.inf

    @property
    def command_patience(self) -> float:
        """Seconds for the next command; short when most connection slots are taken."""
        if self.front.connections.stressed:
            return min(self.front.settings.command_timeout, STRESS_TIMEOUT)
        return self.front.settings.command_timeout

    def _set_alarm(self) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        self._alarm_at = self._deadline
        self._timeout_handle = self.loop.call_at(self._alarm_at, self._ring)

    def _ring(self) -> None:
        self._alarm_at = math.inf
        if self._deadline <= self.loop.time():
            self.hang_up(reply.TIMED_OUT)
        elif self._deadline < math.inf:
            self._set_alarm()

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Called by aiosmtpd when a connection is made."""
        self.allow(duration or self.command_patience)

    # --- The end -----------------------------------------------------------------------------

    def hang_up(self, last: Reply) -> None:
        """End the session with a word, also from outside its own task."""
        self.say(last)
        self.close()

    def close(self) -> None:
        """Let the last replies leave, then cut the connection: ``close`` alone waits for ever."""
        self._deadline = math.inf
        if self.transport is None or self.transport.is_closing():
            return
        if self._outbox:
            self._write_outbox()
        self.transport.close()
        self._cut_after(CLOSE_GRACE)

    def cut(self) -> None:
        """End the connection at once."""
        if self.transport is not None:
            self._writer.transport.abort()

    def pause_writing(self) -> None:
        """The client does not read: it has a while, not for ever."""
        super().pause_writing()
        self._cut_after(WRITE_BLOCKED)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._last_rites is not None and not self._writer.transport.is_closing():
            self._last_rites.cancel()
            self._last_rites = None

    def _cut_after(self, seconds: float) -> None:
        if self._last_rites is not None:
            self._last_rites.cancel()
        self._last_rites = self.loop.call_later(seconds, self._writer.transport.abort)

    def eof_received(self) -> bool | None:
        """The client has closed its side; it still gets its replies (RFC 5321 section 4.1.1.10).

        aiosmtpd cancels the handler here, in the middle of a commit.
        """
        return asyncio.StreamReaderProtocol.eof_received(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing can be said or heard any more."""
        self._deadline = math.inf
        if self._last_rites is not None:
            self._last_rites.cancel()
        super().connection_lost(error)

    # --- TLS ---------------------------------------------------------------------------------

    async def start_tls(self) -> None:
        """Wrap the connection. Raises OSError (which ssl.SSLError is) when the handshake fails.

        The streams are made anew before the first octet of the handshake, so that nothing sent in
        the clear survives (RFC 3207 section 4.2), and nothing sent after it gets lost.
        """
        assert self.front.tls is not None
        # A cast, since uvloop's transports are no subclass of asyncio's.
        transport_in_the_clear = cast("asyncio.Transport", self.transport)
        self._inbox.clear()
        # A StreamWriter that is collected closes its transport, which TLS goes on using.
        self._writer_in_the_clear = self._writer
        self._open_streams()
        transport = await self.loop.start_tls(
            transport_in_the_clear,
            self,
            self.front.tls,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
        )
        if transport is None:
            raise ConnectionResetError
        asyncio.StreamReaderProtocol.connection_made(self, transport)
        self.transport = transport

    def _open_streams(self) -> None:
        asyncio.StreamReaderProtocol.__init__(
            self,
            asyncio.StreamReader(limit=CHUNK, loop=self.loop),
            client_connected_cb=self._cb_client_connected,
            loop=self.loop,
        )
