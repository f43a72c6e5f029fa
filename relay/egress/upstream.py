"""The pool of connections to the upstream MTA: reuse, limits, and one second chance."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from relay.egress.circuit import Circuit
from relay.egress.client import Connection, Transaction
from relay.egress.replies import MAX_TEXT, sanitise
from relay.egress.session import NoSession, endpoint, open_session, tls_context
from relay.model import Outcome, Receipt
from relay.ports import Clock, Envelope
from relay.settings import Upstream
from relay.tasks import Tasks

log = logging.getLogger("relay.egress.upstream")

CHECK_AFTER = 30.0
"""Seconds of rest after which a connection is asked with NOOP before it carries mail."""
QUIT_WAIT = 2.0
"""Seconds that an upstream gets to answer QUIT; nobody waits for it."""
AUTH_REQUIRED = 530


class UpstreamPool:
    """Implements ``relay.ports.Upstream``.

    ``hostname`` is our EHLO name. ``circuit`` says whether the upstream as a whole is down; the
    delivery loop asks it. Raises ValueError for an address that is not host:port and OSError for
    a ``ca_file`` that cannot be used.
    """

    def __init__(self, settings: Upstream, hostname: str, clock: Clock, tasks: Tasks) -> None:
        endpoint(settings.address)
        self.circuit = Circuit()
        self._settings = settings
        self._hostname = hostname
        self._clock = clock
        self._tasks = tasks
        self._context = tls_context(settings)
        self._slots = asyncio.Semaphore(settings.max_connections)
        self._idle: list[tuple[Connection, float]] = []
        """Resting connections with the time they went to rest, the longest first."""
        self._busy: set[Connection] = set()
        self._opening: set[asyncio.Task[object] | None] = set()
        self._waiters: deque[asyncio.Future[Connection]] = deque()
        """Mails that wait for whichever comes first: a new connection or one that gets free."""
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, envelope: Envelope, content: Sequence[bytes]) -> tuple[Receipt, ...]:
        """One transaction; returns one Receipt per recipient, in order, or none at all when, with
        a connection in hand, it was not wanted any more.

        Never raises for what the network does. Sends again, once and on a new connection, only
        when a reused connection failed before the final dot: nothing can have been accepted.
        """
        async with self._slots:
            try:
                connection = await self._rested() or await self._next()
                reused = connection.transactions > 0
                done = await self._carry(connection, envelope, content)
                if reused and done is not None and done.repeatable:
                    done = await self._carry(await self._fresh(), envelope, content)
            except NoSession as error:
                self.circuit.failed(self._clock.now())
                return (_unsent(error),) * len(envelope.recipients)
            return self._judged(done) if done is not None else ()

    async def close(self) -> None:
        """End all connections: resting ones with QUIT, busy ones at once."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        resting, self._idle = self._idle, []
        for task in self._opening:
            if task is not None:
                task.cancel()
        for connection in self._busy:
            connection.abort("shutting down")
        await asyncio.gather(*(connection.quit(QUIT_WAIT) for connection, _ in resting))

    # --- connections -----------------------------------------------------------------------------

    async def _fresh(self) -> Connection:
        session = await open_session(self._settings, self._hostname, self._context)
        return Connection(session, self._settings)

    async def _next(self) -> Connection:
        """A new connection, or one that gets free before it is there: an upstream that takes only
        so many at once leaves further ones without a greeting. Raises NoSession."""
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._open_for_waiters()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._rest(waiter.result())
            self._spare_openings()
            raise

    def _open_for_waiters(self) -> None:
        """Open connections while mails wait that no opening one is meant for, and there is room."""
        waiting = self._waiting()
        room = self._settings.max_connections - len(self._busy) - len(self._idle)
        for _ in range(min(waiting, room) - len(self._opening)):
            self._opening.add(self._tasks.start(self._open(), "upstream-connect"))

    def _spare_openings(self) -> None:
        """Give up connections that are being opened for mail that does not wait any more."""
        for task in list(self._opening)[self._waiting() :]:
            if task is not None:
                task.cancel()

    def _waiting(self) -> int:
        return sum(not waiter.done() for waiter in self._waiters)

    async def _open(self) -> None:
        try:
            connection = await self._fresh()
        except Exception as error:  # whatever it is, the mail that waits must learn of it
            if (waiter := self._waiter()) is not None:
                waiter.set_exception(error)
            return
        finally:
            # Before the mail that waited goes on: the next one counts what is still opening.
            self._opening.discard(asyncio.current_task())
        if (waiter := self._waiter()) is not None:
            waiter.set_result(connection)
        else:
            self._rest(connection)

    def _waiter(self) -> asyncio.Future[Connection] | None:
        """The mail that has waited longest, taken off the queue."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    async def _rested(self) -> Connection | None:
        """A resting connection that still works, the last used first."""
        while self._idle:
            connection, since = self._idle.pop()
            if not connection.usable:
                continue
            rested = asyncio.get_running_loop().time() - since
            if rested < CHECK_AFTER or await connection.alive(self._settings.connect_timeout):
                return connection
            connection.abort("no answer to NOOP")
        return None

    async def _carry(
        self, connection: Connection, envelope: Envelope, content: Sequence[bytes]
    ) -> Transaction | None:
        """None when it is not wanted any more."""
        self._busy.add(connection)
        try:
            if envelope.still_wanted is not None and not await envelope.still_wanted():
                return None
            return await connection.transact(envelope, content)
        finally:
            self._busy.discard(connection)
            self._rest(connection)

    def _rest(self, connection: Connection) -> None:
        if not connection.usable:
            self._open_for_waiters()
            return
        spent = connection.transactions >= self._settings.max_messages_per_connection
        if spent or self._closed:
            self._tasks.start(connection.quit(QUIT_WAIT), "upstream-quit")
            self._open_for_waiters()
            return
        if (waiter := self._waiter()) is not None:
            waiter.set_result(connection)
            return
        self._idle.append((connection, asyncio.get_running_loop().time()))
        if self._reaper is None:
            self._reap_later(self._settings.idle_timeout)

    def _reap_later(self, seconds: float) -> None:
        self._reaper = asyncio.get_running_loop().call_later(seconds, self._reap)

    def _reap(self) -> None:
        """End what has rested too long, and look again when the next one will have."""
        self._reaper = None
        now, limit = asyncio.get_running_loop().time(), self._settings.idle_timeout
        while self._idle and self._idle[0][1] + limit <= now:
            connection, _ = self._idle.pop(0)
            self._tasks.start(connection.quit(QUIT_WAIT), "upstream-quit")
        if self._idle:
            self._reap_later(self._idle[0][1] + limit - now)

    # --- what it means for the upstream as a whole -------------------------------------------

    def _judged(self, done: Transaction) -> tuple[Receipt, ...]:
        # A 5yz at MAIL may be about one sender, and must not stop the mail of all others; that
        # we are to log in is about us.
        if done.answered and all(receipt.code != AUTH_REQUIRED for receipt in done.receipts):
            self.circuit.succeeded()
        else:
            self.circuit.failed(self._clock.now())
        for receipt in done.receipts:
            if receipt.our_trouble:
                log.warning("upstream %s turned us away: %s", receipt.relay, receipt.text)
                break
        return done.receipts


def _unsent(error: NoSession) -> Receipt:
    text = sanitise(error.text)[:MAX_TEXT]
    if error.our_trouble:
        log.warning("upstream %s turned us away: %s", error.relay, text)
    return Receipt(
        Outcome.DEFERRED, error.code, error.enhanced, text, error.relay, error.our_trouble
    )
