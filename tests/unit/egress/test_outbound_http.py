"""Calls to addresses that others name: what leaves, and what never does."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
import trustme

from relay.egress.outbound_http import (
    MOST_OCTETS,
    Answer,
    OutboundHttp,
    Resolve,
    is_public,
    look_up,
)
from tests.support.ports import free_port
from tests.support.receiver import Receiver

LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def receiver(authority: trustme.CA) -> Iterator[Receiver]:
    with Receiver(authority, names=("127.0.0.1", "hook.test")) as running:
        yield running


def answers(*addresses: str) -> tuple[Resolve, list[str]]:
    """A name server that gives these addresses for any name, and what it was asked."""
    asked: list[str] = []

    async def resolve(host: str) -> Sequence[str]:
        asked.append(host)
        return addresses

    return resolve, asked


async def post(http: OutboundHttp, url: str) -> Answer:
    return await http.post(url, b'{"a":1}', {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("192.88.99.1", "192.0.0.9", "192.0.0.170"),
        *("::", "::1", "::127.0.0.1", "fe80::1", "fe80::1%1", "fec0::1", "fc00::1", "fd12::1"),
        *("ff02::1", "ff0e::1", "2001:db8::1", "2001::1", "3fff::1", "5f00::1", "4000::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808"),
        *("2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1"),
    ],
)
def test_what_is_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::8a"),
        *("::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
    ],
)
def test_what_is_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ftp://shop.test/x",
            "https:///x",
            "https://user:pass@shop.test/",
            "https://shop.test:22/",
        ),
        *("https://shop.test:99999/", "https://[::1/", "https://shop.test/a b", "//shop.test/"),
        *("https://shöp.test/", "https://shop.test\\@127.0.0.1/", "file:///etc/passwd", ""),
        *("https://shop.test:80/", "http://shop.test:443/", "http://shop.test/"),
        *("https://127.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/"),
        *("https://.shop.test/", "https://shop..test/", "https://*.test/", "https://a%2eb/"),
        *("https://169.254.169.254/", "https://[fe80::1%251]/", "https://0.0.0.0/"),
    ],
)
async def test_what_is_refused_by_its_text(url: str) -> None:
    resolve, asked = answers("8.8.8.8")
    http = OutboundHttp(resolve=resolve)
    assert http.refusal(url)
    answer = await post(http, url)
    assert (answer.taken, answer.text.startswith("not called")) == (False, True)
    assert asked == []


@pytest.mark.parametrize(
    "url", ["https://shop.test/x?y=1", "https://shop.test:8443/", "https://8.8.8.8/"]
)
def test_what_may_be_called(url: str) -> None:
    assert OutboundHttp().refusal(url) is None


async def test_a_call_over_tls(receiver: Receiver, trust: ssl.SSLContext) -> None:
    http = OutboundHttp(LOOPBACK, tls=trust)
    answer = await post(http, receiver.url + "hook?t=1")
    assert answer == Answer(True, False, "status 204")
    (call,) = receiver.calls
    assert (call.path, call.body) == ("/hook?t=1", b'{"a":1}')
    assert call.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert call.headers["content-type"] == "application/json"
    assert "cookie" not in call.headers


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("/u;t=1;v=2?x=%20&y=/", "/u;t=1;v=2?x=%20&y=/"),
        ("/a/../b%0d%0aX:1#top", "/a/../b%0d%0aX:1"),
    ],
)
async def test_the_url_is_asked_for_as_it_was_written(
    receiver: Receiver, trust: ssl.SSLContext, written: str, asked: str
) -> None:
    """Senders put their tokens into all of its parts."""
    url = f"https://127.0.0.1:{receiver.port}{written}"
    assert (await post(OutboundHttp(LOOPBACK, tls=trust), url)).taken
    assert [call.path for call in receiver.calls] == [asked]


@pytest.mark.parametrize(
    "found", [("127.0.0.1",), ("8.8.8.8", "127.0.0.1"), ("8.8.8.8", "::1"), ("::ffff:127.0.0.1",)]
)
async def test_every_address_of_a_name_must_be_public(
    receiver: Receiver, trust: ssl.SSLContext, found: tuple[str, ...]
) -> None:
    resolve, asked = answers(*found)
    answer = await post(
        OutboundHttp(resolve=resolve, tls=trust), f"https://hook.test:{receiver.port}/"
    )
    assert answer == Answer(False, False, "not called: the host's address is not public")
    assert asked == ["hook.test"]
    assert receiver.calls == []


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    authority: trustme.CA, receiver: Receiver, trust: ssl.SSLContext
) -> None:
    """DNS rebinding: the second answer of the name server is never asked for."""
    given = iter([("127.0.0.1",), ("127.0.0.2",)])

    async def resolve(host: str) -> Sequence[str]:
        return next(given)

    http = OutboundHttp(("127.0.0.1/32",), resolve=resolve, tls=trust)
    url = f"https://hook.test:{receiver.port}/"
    names = ("hook.test",)
    with Receiver(authority, names=names, host="127.0.0.2", port=receiver.port) as inner:
        assert (await post(http, url)).taken
        assert (len(receiver.calls), len(inner.calls)) == (1, 0)
        assert not (await post(http, url)).taken
        assert (len(receiver.calls), len(inner.calls)) == (1, 0)


async def test_the_next_address_is_tried(receiver: Receiver, trust: ssl.SSLContext) -> None:
    resolve, _ = answers("127.0.0.3", "127.0.0.1")
    http = OutboundHttp(LOOPBACK, resolve=resolve, tls=trust)
    assert (await post(http, f"https://hook.test:{receiver.port}/")).taken


async def test_the_certificate_must_hold_for_the_name(
    receiver: Receiver, trust: ssl.SSLContext
) -> None:
    resolve, _ = answers("127.0.0.1")
    for http, host in (
        (OutboundHttp(LOOPBACK, resolve=resolve, tls=trust), "other.test"),
        (OutboundHttp(LOOPBACK, resolve=resolve), "hook.test"),
    ):
        answer = await post(http, f"https://{host}:{receiver.port}/")
        assert not answer.taken
        assert answer.text.startswith("TLS: ")
    assert receiver.calls == []


async def test_http_only_where_the_operator_allows_it() -> None:
    with Receiver() as plain:
        assert (await post(OutboundHttp(LOOPBACK), plain.url)).taken
        assert not (await post(OutboundHttp(("10.0.0.0/8",)), plain.url)).taken
        resolve, _ = answers("8.8.8.8")
        http = OutboundHttp(LOOPBACK, resolve=resolve)
        answer = await post(http, f"http://hook.test:{plain.port}/")
        assert answer.text == "not called: it must be https"
        assert len(plain.calls) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(
    receiver: Receiver, trust: ssl.SSLContext, status: int
) -> None:
    with Receiver() as inner:
        receiver.status, receiver.headers = status, {"Location": inner.url}
        answer = await post(OutboundHttp(LOOPBACK, tls=trust), receiver.url)
        assert answer == Answer(False, False, f"status {status}")
        assert inner.calls == []


async def test_gone_is_told_apart(receiver: Receiver, trust: ssl.SSLContext) -> None:
    receiver.status = 410
    assert (await post(OutboundHttp(LOOPBACK, tls=trust), receiver.url)).gone


async def test_no_proxy_of_the_environment(
    receiver: Receiver, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert (await post(OutboundHttp(LOOPBACK, tls=trust), receiver.url)).taken


async def test_who_says_nothing_is_left(receiver: Receiver, trust: ssl.SSLContext) -> None:
    receiver.answer = lambda _: (receiver.ended.wait(10), None)[1]
    http = OutboundHttp(LOOPBACK, tls=trust, seconds=0.3)
    assert await post(http, receiver.url) == Answer(False, False, "no answer in time")


async def test_a_status_counts_though_the_body_never_ends(
    receiver: Receiver, trust: ssl.SSLContext
) -> None:
    sent = 0

    def endless(handler: Any) -> None:
        nonlocal sent
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while not receiver.ended.is_set():
            sent += handler.wfile.write(b"x" * 65_536)

    receiver.answer = endless
    answer = await post(OutboundHttp(LOOPBACK, tls=trust), receiver.url)
    assert answer == Answer(True, False, "status 200")
    # What the sockets' buffers hold, but not without end.
    assert sent < MOST_OCTETS + 50_000_000


async def test_a_body_that_trickles_ends_with_the_time(
    receiver: Receiver, trust: ssl.SSLContext
) -> None:
    def trickle(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\n")
        while not receiver.ended.wait(0.02):
            handler.wfile.write(b"x")

    receiver.answer = trickle
    http = OutboundHttp(LOOPBACK, tls=trust, seconds=0.4)
    assert await post(http, receiver.url) == Answer(False, False, "status 500")


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 50_000 + b"\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ],
)
async def test_what_is_no_answer(receiver: Receiver, trust: ssl.SSLContext, octets: bytes) -> None:
    receiver.answer = lambda handler: handler.wfile.write(octets)
    answer = await post(OutboundHttp(LOOPBACK, tls=trust), receiver.url)
    assert not answer.taken
    assert "status" not in answer.text


async def test_headers_that_never_end(receiver: Receiver, trust: ssl.SSLContext) -> None:
    def endless(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not receiver.ended.is_set():
            handler.wfile.write(b"X: 1\r\n" * 1_000)

    receiver.answer = endless
    assert not (await post(OutboundHttp(LOOPBACK, tls=trust), receiver.url)).taken


async def test_nobody_there(trust: ssl.SSLContext) -> None:
    answer = await post(OutboundHttp(LOOPBACK, tls=trust), f"https://127.0.0.1:{free_port()}/")
    assert answer == Answer(False, False, "no connection")

    async def nothing(host: str) -> Sequence[str]:
        return ()

    async def broken(host: str) -> Sequence[str]:
        raise OSError("no name server")

    for resolve in (nothing, broken):
        answer = await post(OutboundHttp(resolve=resolve, tls=trust), "https://shop.test/")
        assert not answer.taken


class NameServer(asyncio.DatagramProtocol):
    """Knows both.test, four.test and alias.test; says nothing about silent.test."""

    records = {  # noqa: RUF012 - never changed
        ("both.test.", "A"): ("192.0.2.1", "192.0.2.2"),
        ("both.test.", "AAAA"): ("2001:db8::1",),
        ("four.test.", "A"): ("192.0.2.4",),
    }

    transport: asyncio.DatagramTransport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        answer = dns.message.make_response(dns.message.from_wire(data))
        name = answer.question[0].name.to_text()
        kind = dns.rdatatype.to_text(answer.question[0].rdtype)
        if name == "silent.test.":
            return
        if name == "alias.test.":
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", "four.test."))
            name = "four.test."
        if found := self.records.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *found))
        elif not name.endswith(("both.test.", "four.test.")):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), addr)


async def test_names_are_looked_up_in_both_families() -> None:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    server.transport = transport
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    assert set(await look_up("both.test", resolver)) == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}
    assert await look_up("four.test", resolver) == ["192.0.2.4"]
    assert await look_up("alias.test", resolver) == ["192.0.2.4"]
    assert await look_up("nobody.test", resolver) == []

    async def silent(host: str) -> Sequence[str]:
        return await look_up(host, resolver)

    http = OutboundHttp(resolve=silent, seconds=0.3)
    assert (await post(http, "https://silent.test/")).text == "no answer in time"
    transport.close()
    with pytest.raises(OSError, match="cannot be looked up"):
        await look_up("a..b", resolver)
