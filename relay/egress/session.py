"""Getting a connection to the point where it takes mail: greeting, EHLO, TLS, AUTH."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl
from dataclasses import dataclass
from functools import partial

from relay.egress.replies import Reply
from relay.egress.wire import Broken, Wire
from relay.settings import Upstream


class NoSession(Exception):
    """The upstream cannot be reached, or does not want us; no mail was involved."""

    def __init__(
        self,
        text: str,
        *,
        relay: str = "none",
        reply: Reply | None = None,
        enhanced: str = "4.4.1",
        our_trouble: bool = False,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.relay = relay
        self.code = reply.code if reply else 0
        self.enhanced = enhanced
        self.our_trouble = our_trouble


class _PlainOnly(Exception):
    """Opportunistic TLS failed on the way; the upstream is to be tried without."""


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection that is ready for MAIL."""

    wire: Wire
    relay: str
    """``host[ip]:port``."""
    offers: dict[str, str]
    """EHLO keywords in upper case, each with its parameters."""


def tls_context(settings: Upstream) -> ssl.SSLContext:
    """What TLS we speak to the upstream. Raises OSError when ``ca_file`` cannot be used.

    Only ``verify`` checks certificate and host name: the other modes protect against listening
    in, as between MTAs (RFC 7435), and must not refuse the self-signed certificates found there.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.tls != "verify":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca_file is not None:
        context.load_verify_locations(settings.ca_file)
    return context


def endpoint(address: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port`` taken apart. Raises ValueError, which quotes it."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{address!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


async def open_session(settings: Upstream, hostname: str, context: ssl.SSLContext) -> Session:
    """Connect and log in to the upstream, naming ourselves ``hostname``. Raises NoSession."""
    try:
        return await _open(settings, hostname, context, tls=settings.tls != "none")
    except _PlainOnly:
        return await _open(settings, hostname, context, tls=False)


async def _open(
    settings: Upstream, hostname: str, context: ssl.SSLContext, *, tls: bool
) -> Session:
    host, port = endpoint(settings.address)
    wire = await _connect(settings, host, port, context)
    ip = wire.peer[0]
    login = _Login(wire, f"{host}[{ip}]:{port}", settings)
    try:
        await login.greeting()
        offers = await login.hello(hostname)
        secure = settings.implicit_tls
        if tls and not secure:
            secure = await login.starttls(offers, context, host)
            if secure:
                # RFC 3207 4.2: what was said before TLS is forgotten.
                offers = await login.hello(hostname)
        if settings.username is not None:
            await login.authenticate(offers, secure=secure or _is_loopback(ip))
    except Broken as error:
        raise NoSession(str(error), relay=login.relay, enhanced="4.4.2") from error
    except BaseException:
        wire.abort("session given up")
        raise
    return Session(wire, login.relay, offers)


async def _connect(settings: Upstream, host: str, port: int, context: ssl.SSLContext) -> Wire:
    wire = Wire()
    connect = partial(asyncio.get_running_loop().create_connection, lambda: wire, host, port)
    try:
        async with asyncio.timeout(settings.connect_timeout):
            if settings.implicit_tls:
                await connect(ssl=context, server_hostname=host)
            else:
                await connect()
    except ssl.SSLError as error:
        raise NoSession(
            f"TLS with {host}:{port} failed: {error}", enhanced="4.7.5", our_trouble=True
        ) from error
    except TimeoutError as error:
        text = f"connect to {host}:{port}: no answer within {settings.connect_timeout:g} s"
        raise NoSession(text) from error
    except OSError as error:
        raise NoSession(f"connect to {host}:{port}: {error.strerror or error}") from error
    return wire


def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip.partition("%")[0]).is_loopback


class _Login:
    """The steps before MAIL. A 4yz is the upstream's passing trouble, a 5yz is ours: nothing that
    is said here is about any message."""

    def __init__(self, wire: Wire, relay: str, settings: Upstream) -> None:
        self._wire = wire
        self.relay = relay
        self._settings = settings

    async def greeting(self) -> None:
        reply = await self._wire.reply(self._settings.command_timeout)
        if reply.code != 220:
            raise self._turned_away("greeting", reply)

    async def hello(self, hostname: str) -> dict[str, str]:
        reply = await self._ask(b"EHLO " + hostname.encode("ascii", "replace"))
        if reply.permanent:
            reply = await self._ask(b"HELO " + hostname.encode("ascii", "replace"))
            if not reply.positive:
                raise self._turned_away("HELO", reply)
            return {}
        if not reply.positive:
            raise self._turned_away("EHLO", reply)
        offers: dict[str, str] = {}
        for line in reply.lines[1:]:
            # Old servers also say "AUTH=LOGIN", in the form that clients of 1997 wanted.
            keyword, _, parameters = line.replace("AUTH=", "AUTH ", 1).partition(" ")
            offers[keyword.upper()] = f"{offers.get(keyword.upper(), '')} {parameters}".strip()
        return offers

    async def starttls(self, offers: dict[str, str], context: ssl.SSLContext, host: str) -> bool:
        """Whether the connection is now encrypted; only ``opportunistic`` may say no."""
        optional = self._settings.tls == "opportunistic"
        if "STARTTLS" not in offers:
            if optional:
                return False
            raise self._trouble("TLS is required but the upstream does not offer STARTTLS", "4.7.4")
        reply = await self._ask(b"STARTTLS")
        if reply.code != 220:
            if optional:
                return False
            raise self._turned_away("STARTTLS", reply)
        if self._wire.broken:
            # Octets behind the 220 were put there by somebody who could not speak TLS: the
            # connection is over, and is not tried again without TLS either.
            raise Broken("data behind the 220 of STARTTLS")
        try:
            await self._wire.start_tls(context, host, self._settings.connect_timeout)
        except Broken as error:
            if optional:
                raise _PlainOnly from error
            raise self._trouble(str(error), "4.7.5") from error
        return True

    async def authenticate(self, offers: dict[str, str], *, secure: bool) -> None:
        username, path = self._settings.username or "", self._settings.password_file
        if not secure and self._settings.tls != "none":
            # Whoever strips STARTTLS from the EHLO reply must not get the password for it.
            raise self._trouble("AUTH is not sent without TLS; the upstream offers none", "4.7.0")
        try:
            password = path.read_text("utf-8").rstrip("\r\n") if path is not None else ""
        except (OSError, UnicodeDecodeError) as error:
            raise self._trouble(
                f"upstream.password_file cannot be read: {error}", "4.3.5"
            ) from error
        mechanisms = offers.get("AUTH", "").upper().split()
        if "PLAIN" in mechanisms:
            reply = await self._ask(b"AUTH PLAIN " + _base64(f"\0{username}\0{password}"))
        elif "LOGIN" in mechanisms:
            reply = await self._ask(b"AUTH LOGIN")
            for answer in (username, password):
                if reply.code == 334:
                    reply = await self._ask(_base64(answer))
        else:
            raise self._trouble("the upstream offers neither AUTH PLAIN nor LOGIN", "4.7.0")
        if reply.code != 235:
            raise self._turned_away("AUTH", reply)

    async def _ask(self, command: bytes) -> Reply:
        self._wire.expect(1)
        self._wire.write(command + b"\r\n")
        return await self._wire.reply(self._settings.command_timeout)

    def _turned_away(self, step: str, reply: Reply) -> NoSession:
        self._wire.abort(f"turned away at {step}")
        return NoSession(
            f"{reply.text} (in reply to {step})",
            relay=self.relay,
            reply=reply,
            enhanced="4" + reply.enhanced[1:],
            our_trouble=reply.code // 100 != 4,
        )

    def _trouble(self, text: str, enhanced: str) -> NoSession:
        self._wire.abort(text)
        return NoSession(text, relay=self.relay, enhanced=enhanced, our_trouble=True)


def _base64(text: str) -> bytes:
    return base64.b64encode(text.encode("utf-8"))
