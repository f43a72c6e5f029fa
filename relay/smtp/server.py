"""The listeners: plain, STARTTLS and implicit TLS, several at once, on the application's loop."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

from relay.ports import Clock, Door
from relay.settings import Listener, Smtp
from relay.smtp import reply
from relay.smtp.front import Front, Observer, Starter
from relay.smtp.limits import ConnectionLimits, MemoryBudget, WrongPasswords
from relay.smtp.session import RelaySMTP
from relay.smtp.wire import HANDSHAKE_TIMEOUT

BACKLOG = 512
"""Connections the kernel keeps for us while we are busy."""
LAST_WORDS = 1.0
"""Seconds that sessions have to end after they were told to."""


class ListenerError(Exception):
    """A listener cannot start; one sentence that names the setting."""


class SmtpServer:
    """The front door. Nobody gets through MAIL without a credential."""

    def __init__(
        self,
        settings: Smtp,
        hostname: str,
        door: Door,
        clock: Clock,
        tasks: Starter,
        new_id: Callable[[], str],
        observer: Observer,
        public_url: str,
    ) -> None:
        self._settings = settings
        self._front = Front(
            settings=settings,
            hostname=hostname,
            public_url=public_url,
            door=door,
            clock=clock,
            tasks=tasks,
            new_id=new_id,
            observer=observer,
            connections=ConnectionLimits(
                total=settings.max_connections,
                per_address=settings.max_connections_per_address,
                per_minute=settings.max_connections_per_minute,
                clock=clock,
            ),
            memory=MemoryBudget(settings.memory_budget),
            wrong_passwords=WrongPasswords(
                per_minute=settings.auth_failures_per_minute,
                per_hour=settings.auth_failures_per_hour,
                clock=clock,
            ),
        )
        self._servers: list[asyncio.Server] = []
        self._addresses: tuple[str, ...] = ()

    async def start(self) -> None:
        """Bind every listener, or none. Raises ListenerError."""
        # aiosmtpd writes every command line there, addresses and all.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        if any(listener.tls != "none" for listener in self._settings.listeners):
            self._front.tls = self._tls_context()
        try:
            for listener in self._settings.listeners:
                self._servers.append(await self._bind(listener))
        except ListenerError:
            for server in self._servers:
                server.close()
            self._servers.clear()
            raise
        self._addresses = tuple(_address(server) for server in self._servers)

    @property
    def addresses(self) -> tuple[str, ...]:
        """``host:port`` really bound, one for each of ``settings.listeners`` in order."""
        return self._addresses

    def reload_tls(self) -> None:
        """Read certificate and key again for new handshakes; open connections stay.

        Raises ListenerError, and keeps what it had, when the files do not hold.
        """
        if self._front.tls is not None:
            self._tls_context()
            _load(self._front.tls, self._settings)

    async def drain(self, seconds: float) -> None:
        """Stop accepting, dismiss who is idle at once, and let the others finish.

        Whoever is not done after ``seconds`` gets 421 and is cut off; commits under way are tasks
        of their own and go on.
        """
        self._front.draining = True
        for server in self._servers:
            server.close()
        sessions = set(self._front.sessions)
        if not sessions:
            return
        for session in sessions:
            session.retire()
        _, late = await asyncio.wait({session.done for session in sessions}, timeout=seconds)
        if late:
            for session in set(self._front.sessions):
                session.hang_up(reply.SHUTTING_DOWN)
            await asyncio.wait(late, timeout=LAST_WORDS)
        for session in set(self._front.sessions):
            session.cut()

    async def _bind(self, listener: Listener) -> asyncio.Server:
        host, port = _split(listener.address)
        implicit = listener.tls == "implicit"
        try:
            return await asyncio.get_running_loop().create_server(
                lambda: RelaySMTP(self._front, listener),
                host,
                port,
                backlog=BACKLOG,
                ssl=self._front.tls if implicit else None,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT if implicit else None,
            )
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise ListenerError(
                f"smtp.listeners: cannot listen on {listener.address}: {why}"
            ) from error

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load(context, self._settings)
        return context


def _load(context: ssl.SSLContext, settings: Smtp) -> None:
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None:
        raise ListenerError(
            "smtp.tls_certificate is not set, and a listener in smtp.listeners wants TLS"
        )
    # Asked for one by one, because OpenSSL does not say which file it could not read.
    for name, path in (("smtp.tls_certificate", certificate), ("smtp.tls_key", key)):
        if path is not None:
            try:
                path.open("rb").close()
            except OSError as error:
                raise ListenerError(f"{name}: cannot read {path}: {error.strerror}") from error
    try:
        # A password callback, so that an encrypted key fails instead of asking on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise ListenerError(
            f"smtp.tls_certificate, smtp.tls_key: {certificate} and {key or certificate} "
            f"are no PEM certificate chain with its unencrypted key: {error}"
        ) from error


def _split(address: str) -> tuple[str | None, int]:
    """``host:port`` or ``[v6]:port``; an empty host or ``*`` is every interface."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or (":" in host and not bracketed):
        raise ListenerError(f"smtp.listeners: address {address!r} is not host:port or [v6]:port")
    host = host.strip("[]")
    return (None if host in ("", "*") else host), int(port)


def _address(server: asyncio.Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
