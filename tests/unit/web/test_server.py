"""The listener: addresses, errors, signals, silence, stopping."""

from __future__ import annotations

import asyncio
import signal
import socket

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from relay.tasks import Tasks
from relay.web import server as server_module
from relay.web.server import CannotListen, WebServer


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


async def test_serves_on_any_free_port_and_stops() -> None:
    tasks = Tasks()
    server = WebServer(hello, "127.0.0.1:0", tasks, "http.metrics")
    await server.start()
    address = server.bound
    async with httpx.AsyncClient(verify=False) as client:
        assert (await client.get(f"http://{address}/")).text == "hello"
    await server.stop()
    async with httpx.AsyncClient(verify=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{address}/")
    await tasks.drain(0)
    assert len(tasks) == 0


async def test_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 in this Python")
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback on this machine")
    server = WebServer(hello, "[::1]:0", Tasks(), "http.public")
    await server.start()
    assert server.bound.startswith("[::1]:")
    await server.stop()


async def test_port_taken_is_one_sentence_with_address_and_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = WebServer(hello, f"127.0.0.1:{port}", Tasks(), "http.public")
        with pytest.raises(CannotListen) as raised:
            await server.start()
    assert str(raised.value) == (
        f"http.public: cannot listen on 127.0.0.1:{port}: Address already in use"
    )


@pytest.mark.parametrize("address", ["8080", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000"])
async def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(CannotListen, match=r"http\.public: .* is not host:port"):
        await WebServer(hello, address, Tasks(), "http.public").start()


async def test_signals_stay_with_the_relay() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server = WebServer(hello, "127.0.0.1:0", Tasks(), "http.public")
    await server.start()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    await server.stop()


async def test_request_under_way_is_finished_by_a_stop() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await leave.wait()
        await PlainTextResponse("done")(scope, receive, send)

    tasks = Tasks()
    server = WebServer(slow, "127.0.0.1:0", tasks, "http.public")
    await server.start()
    async with httpx.AsyncClient(verify=False) as client:
        request = tasks.start(client.get(f"http://{server.bound}/"), "request")
        await entered.wait()
        stop = tasks.start(server.stop(), "stop")
        leave.set()
        assert (await request).text == "done"
        await stop


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"])
async def test_connection_without_a_whole_request_is_let_go(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.05)
    server = WebServer(hello, "127.0.0.1:0", Tasks(), "http.public")
    await server.start()
    host, _, port = server.bound.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    answers = b""
    # Ends when the server closes; without the limit the suite's own timeout would end it.
    while chunk := await _read(reader):
        answers += chunk
    assert answers.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")
    writer.close()
    await server.stop()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(4096)
    except ConnectionResetError:
        return b""


async def test_two_lengths_are_refused_and_what_follows_is_no_request() -> None:
    server = WebServer(hello, "127.0.0.1:0", Tasks(), "http.public")
    await server.start()
    reader, writer = await asyncio.open_connection(*server.bound.split(":"))
    writer.write(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    answered = await reader.read()
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert answered.count(b"HTTP/1.1") == 1
    writer.close()
    await writer.wait_closed()
    await server.stop()


async def test_not_started_has_no_address() -> None:
    server = WebServer(hello, "127.0.0.1:0", Tasks(), "http.public")
    with pytest.raises(RuntimeError, match=r"http\.public is not started"):
        _ = server.bound
    await server.stop()
