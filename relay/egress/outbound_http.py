"""HTTP to addresses that tenants and their mail name: what an attacker would aim at our network.

Each name is looked up once, every address it has must be public, and the connection goes to the
address that was checked, never to a name again (no rebinding). No redirect is followed, no proxy
of the environment used; time and size are bounded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception
import dns.resolver
import httpcore

from relay.decide.one_click import callable_url

TOTAL_SECONDS: Final = 10.0
"""From the look-up to the end of the answer."""
CONNECT_SECONDS: Final = 4.0
"""For each address of a host."""
MOST_ADDRESSES: Final = 4
"""Addresses of a host that are tried."""
MOST_OCTETS: Final = 65_536
"""Of the answer that are read; what they say does not matter."""
USER_AGENT: Final = "consent-relay"

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""All addresses of a host name; raises OSError when it has none."""

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = ipaddress.IPv6Network("2002::/16")
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
# Global by the tables of Python 3.11, and nobody's public service.
_NOT_PUBLIC: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv4Network("192.88.99.0/24"),
    ipaddress.IPv6Network("2001::/23"),
    ipaddress.IPv6Network("3fff::/20"),
)


class _Refused(Exception):
    """Not to be called; the text says why and names no address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call."""

    taken: bool
    """The other side said that it has it."""
    gone: bool
    """The other side said that nothing will ever be taken there again."""
    text: str
    """Why, in a few words of ours; nothing of what the other side wrote."""


def is_public(address: IPAddress) -> bool:
    """Whether an address is of the public internet, also when it only wraps another one
    (IPv4-mapped, NAT64, 6to4)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        octets = address.packed
        if address in _MAPPED or address in _NAT64:
            return is_public(ipaddress.IPv4Address(octets[12:]))
        if address in _SIX_TO_FOUR:
            return is_public(ipaddress.IPv4Address(octets[2:6]))
        if address not in _UNICAST:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _NOT_PUBLIC)
    )


class OutboundHttp:
    """Makes calls, each over a connection of its own."""

    def __init__(
        self,
        allow_networks: Iterable[str] = (),
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        seconds: float = TOTAL_SECONDS,
    ) -> None:
        """``allow_networks`` may be called besides public addresses. Raises ValueError for one
        that is no network."""
        self._allowed: Final = tuple(ipaddress.ip_network(text) for text in allow_networks)
        self._resolve: Final = resolve or look_up
        self._tls = tls
        self._seconds: Final = seconds

    def refusal(self, url: str) -> str | None:
        """Why ``url`` can never be called, as far as its text tells; None when it may."""
        if not callable_url(url):
            return (
                "it must be https://HOST/… in ASCII (xn--… for other letters), without user name,"
                " on port 443 or one of 1024 and above"
            )
        parts = urlsplit(url)
        if parts.scheme == "http" and not self._allowed:
            return "it must be https"
        literal = _literal(parts.hostname or "")
        try:
            if literal is not None:
                self._check([literal], secure=parts.scheme == "https")
        except _Refused as refused:
            return str(refused)
        return None

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        """POST ``content``; takes up to 10 s. Never raises for what the network does."""
        status: int | None = None
        try:
            async with asyncio.timeout(self._seconds):
                if (why := self.refusal(url)) is not None:
                    raise _Refused(why)
                async with (
                    self._pool(url) as pool,
                    pool.stream(
                        "POST", _url(url), headers=self._headers(url, headers), content=content
                    ) as response,
                ):
                    status = response.status
                    await _read_some(response)
        except _Refused as refused:
            return Answer(False, False, f"not called: {refused}")
        except (
            TimeoutError,
            OSError,
            ssl.SSLError,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
        ) as error:
            # Once the status is there, how the rest of the answer goes wrong is no matter.
            if status is None:
                return Answer(False, False, _why(error))
        return Answer(200 <= status < 300, status == 410, f"status {status}")

    def _trust(self) -> ssl.SSLContext:
        # Made once, and not by who only asks for a refusal: reading the anchors takes its time.
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _pool(self, url: str) -> httpcore.AsyncConnectionPool:
        secure = urlsplit(url).scheme == "https"
        return httpcore.AsyncConnectionPool(
            ssl_context=self._trust(),
            max_connections=1,
            max_keepalive_connections=0,
            retries=0,
            network_backend=_CheckedNetwork(self._addresses, secure),
        )

    @staticmethod
    def _headers(url: str, headers: Mapping[str, str]) -> list[tuple[bytes | str, bytes | str]]:
        return [
            ("Host", urlsplit(url).netloc),
            ("User-Agent", USER_AGENT),
            ("Accept", "*/*"),
            ("Connection", "close"),
            *headers.items(),
        ]

    async def _addresses(self, host: str, secure: bool) -> Sequence[IPAddress]:
        literal = _literal(host)
        if literal is not None:
            found = [literal]
        else:
            found = [ipaddress.ip_address(text) for text in await self._resolve(host)]
        self._check(found, secure=secure)
        return found

    def _check(self, addresses: Sequence[IPAddress], *, secure: bool) -> None:
        if not addresses:
            raise _Refused("the host has no address")
        for address in addresses:
            allowed = any(address in network for network in self._allowed)
            if not allowed and not is_public(address):
                raise _Refused("the host's address is not public")
            if not allowed and not secure:
                raise _Refused("it must be https")


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(
        self, addresses: Callable[[str, bool], Awaitable[Sequence[IPAddress]]], secure: bool
    ) -> None:
        self._addresses: Final = addresses
        self._secure: Final = secure
        self._plain: Final = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._addresses(host, self._secure)
        failed: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in addresses[:MOST_ADDRESSES]:
            try:
                return await self._plain.connect_tcp(str(address), port, CONNECT_SECONDS)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        assert failed is not None
        raise failed

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise _Refused("it must be https")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def look_up(host: str, resolver: dns.asyncresolver.Resolver | None = None) -> Sequence[str]:
    """The addresses in the A and AAAA records of a name, by the system's name server unless
    another is given. Raises OSError.

    Not getaddrinfo: its threads are shared with the path of mail, and a slow name server of a
    tenant's would hold them.
    """
    try:
        resolver = resolver or dns.asyncresolver.Resolver()
        resolver.lifetime = TOTAL_SECONDS / 2
        found = await asyncio.gather(
            *(_records(resolver, host, kind) for kind in ("A", "AAAA")),
        )
    except dns.exception.DNSException as error:
        raise OSError("the host's name cannot be looked up") from error
    return [address for addresses in found for address in addresses]


async def _records(resolver: dns.asyncresolver.Resolver, host: str, kind: str) -> Sequence[str]:
    try:
        answer = await resolver.resolve(host, kind, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return ()
    return [record.to_text() for record in answer.rrset or ()]


async def _read_some(response: httpcore.Response) -> None:
    """Some servers give up their work when nobody listens; more than a little is not for us."""
    octets = 0
    async for chunk in response.aiter_stream():
        octets += len(chunk)
        if octets > MOST_OCTETS:
            return


def _url(text: str) -> httpcore.URL:
    # Not by httpcore's reading of the text, which leaves out what follows a semicolon in the path.
    parts = urlsplit(text)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return httpcore.URL(
        scheme=parts.scheme, host=parts.hostname or "", port=parts.port, target=target
    )


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError | httpcore.TimeoutException):
        return "no answer in time"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: {cause.verify_message}"[:200]
        if isinstance(cause, ssl.SSLError):
            return "TLS: no agreement"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore.ProtocolError):
        return "the answer is not HTTP, or too large"
    if isinstance(error, httpcore.ConnectError):
        return "no connection"
    return "the connection broke" if isinstance(error, httpcore.NetworkError) else "no such host"
