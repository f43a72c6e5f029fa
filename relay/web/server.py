"""Runs an ASGI application on the relay's own event loop (uvicorn, without its manners)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Iterator
from typing import Any, Protocol

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_SECONDS = 15.0
"""Seconds in which a connection must bring a whole request head."""
MAX_CONNECTIONS = 1_000
"""Connections of one listener; beyond them 503."""
STOP_SECONDS = 5
"""Seconds that a stop waits for requests under way."""


class CannotListen(Exception):
    """The address cannot be used; the text names it and the setting."""


class Background(Protocol):
    """Keeps background tasks (``relay.tasks.Tasks``)."""

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run ``coroutine`` under ``name``."""


class WebServer:
    """One HTTP listener."""

    def __init__(self, app: ASGIApp, address: str, tasks: Background, name: str) -> None:
        """Prepare to serve ``app`` at ``address`` (``host:port``, ``[v6]:port``; port 0: any).

        ``name`` is the setting that holds the address, e.g. ``http.public``.
        """
        self._address = address
        self._tasks = tasks
        self._name = name
        self._server = _Server(
            uvicorn.Config(
                _OneLength(app),
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                # Paths hold tokens.
                access_log=False,
                # Believing X-Forwarded-For is for relay.web.client_address alone.
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self._socket: socket.socket | None = None
        self._running: asyncio.Task[Any] | None = None

    @property
    def bound(self) -> str:
        """``host:port`` as it was bound, with the port that port 0 became."""
        if self._socket is None:
            raise RuntimeError(f"{self._name} is not started")
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def start(self) -> None:
        """Listen; connections are accepted on return. Raises CannotListen."""
        self._socket = self._bind()
        self._running = self._tasks.start(
            self._server.serve(sockets=[self._socket]), name=self._name
        )
        up = self._tasks.start(self._server.up.wait(), name=f"{self._name} start")
        await asyncio.wait({self._running, up}, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            up.cancel()
            await self._running

    async def stop(self) -> None:
        """Take no more connections, finish requests under way for up to ``STOP_SECONDS``."""
        if self._running is not None:
            self._server.leave.set()
            await self._running
            self._running = None

    def _bind(self) -> socket.socket:
        host, port = self._split()
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            raise self._trouble(error) from error
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(where)
            # Listening now, and not only inside the server, shows a port that is taken here.
            sock.listen(2_048)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise self._trouble(error) from error
        return sock

    def _split(self) -> tuple[str, int]:
        host, separator, port = self._address.rpartition(":")
        if not separator or not port.isdecimal() or int(port) > 65_535:
            raise CannotListen(f'{self._name}: "{self._address}" is not host:port')
        return host.removeprefix("[").removesuffix("]"), int(port)

    def _trouble(self, error: OSError) -> CannotListen:
        return CannotListen(
            f"{self._name}: cannot listen on {self._address}: {error.strerror or error}"
        )


class _OneLength:
    """Turns away requests that say their length in two ways, and closes: a proxy before us may
    have seen another end, and what follows is then nobody's request (RFC 9112 section 6.1)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = {name for name, _ in scope["headers"]}
        if names >= {b"content-length", b"transfer-encoding"}:
            text = "send Content-Length or Transfer-Encoding, not both\n"
            refusal = PlainTextResponse(text, 400, {"Connection": "close"})
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.leave = asyncio.Event()

    async def main_loop(self) -> None:
        """Keep the Date field fresh until told to leave; uvicorn's own looks ten times a second."""
        while not self.leave.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.leave.wait(), 1.0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the relay: uvicorn would take them and has no switch for it."""
        yield


class _Protocol(H11Protocol):
    """Lets go of connections that bring no request: uvicorn waits for a first one for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Uvicorn decides by who listens to its access logger, not by the configuration alone.
        self.access_log = False
        self._expect(None)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def on_response_complete(self) -> None:
        answered = self.cycle
        super().on_response_complete()
        self._expect(answered)

    def _expect(self, answered: RequestResponseCycle | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._late, answered)

    def _late(self, answered: RequestResponseCycle | None) -> None:
        if self.cycle is answered:
            self.transport.abort()
