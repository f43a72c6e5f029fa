"""Binding, TLS files, and leaving."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from relay.settings import Listener
from relay.smtp.server import ListenerError
from tests.dialogs.door import RecordingDoor, running
from tests.support.smtp_client import SmtpClient, send_mail
from tests.unit.smtp.certificates import Certificates


def at(address: str, **options: str) -> dict[str, object]:
    return {"listeners": (Listener(address=address, **options),)}  # type: ignore[arg-type]


async def fails(**settings: object) -> str:
    with pytest.raises(ListenerError) as caught:
        async with running(**settings):
            pass
    return str(caught.value)


async def test_several_listeners_at_once(certificates: Certificates) -> None:
    listeners = tuple(
        Listener(address="127.0.0.1:0", tls=tls, name=tls)
        for tls in ("none", "starttls", "implicit")
    )
    async with running(listeners=listeners, **certificates.settings) as server:
        ports = [int(address.rpartition(":")[2]) for address in server.server.addresses]
        assert len(set(ports)) == 3
        assert 0 not in ports
        assert (await send_mail(ports[0], "a@x.test", ["b@y.test"], b"x\r\n")).code == 250
        async with SmtpClient(ports[2], tls=certificates.context) as client:
            hello = await client.hello()
            assert "STARTTLS" not in hello.lines
            assert "AUTH PLAIN LOGIN" in hello.lines
            assert (await client.deliver("a@x.test", ["b@y.test"], b"x\r\n")).code == 250
    plain, implicit = server.door.submissions
    assert (plain.client.listener, plain.client.tls) == ("none", None)
    assert implicit.client.listener == "implicit"
    assert implicit.client.tls is not None


async def test_ipv6() -> None:
    try:
        async with running(**at("[::1]:0")) as server:
            host, port = server.address
            assert host == "[::1]"
            async with SmtpClient(port, "::1") as client:
                assert "AUTH PLAIN LOGIN" in (await client.hello()).lines
    except ListenerError:
        pytest.skip("no IPv6 loopback here")


async def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        why = await fails(**at(address))
    assert why.startswith(f"smtp.listeners: cannot listen on {address}: ")
    assert "in use" in why


async def test_all_or_none() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = Listener(address=f"127.0.0.1:{port}")
    await fails(listeners=(first, Listener(address="nowhere")))
    async with running(listeners=(first,)):
        pass


@pytest.mark.parametrize("address", ["2525", "::1:25", "127.0.0.1:", "127.0.0.1:smtp", "[::1]"])
async def test_an_address_that_is_none(address: str) -> None:
    why = await fails(**at(address))
    assert why.startswith("smtp.listeners: ")
    assert address in why


async def test_tls_files_are_named(certificates: Certificates, tmp_path: Path) -> None:
    tls = at("127.0.0.1:0", tls="implicit")
    assert "smtp.tls_certificate is not set" in await fails(**tls)
    missing = tmp_path / "missing.pem"
    assert f"smtp.tls_certificate: cannot read {missing}" in await fails(
        **tls, tls_certificate=missing
    )
    assert f"smtp.tls_key: cannot read {missing}" in await fails(
        **tls, tls_certificate=certificates.certificate, tls_key=missing
    )
    certificates.key.write_text("no key")
    assert str(certificates.key) in await fails(**tls, **certificates.settings)


async def test_reload_takes_the_new_certificate(certificates: Certificates) -> None:
    async def serial(port: int) -> object:
        async with SmtpClient(port, tls=certificates.context) as client:
            await client.reply()
            tls: ssl.SSLObject = client._writer.get_extra_info("ssl_object")
            return (tls.getpeercert() or {})["serialNumber"]

    listener = at("127.0.0.1:0", tls="implicit")
    async with running(**listener, **certificates.settings) as server:
        port = server.address[1]
        async with SmtpClient(port, tls=certificates.context) as before:
            await before.hello()
            old = await serial(port)
            certificates.issue()
            server.server.reload_tls()
            new = await serial(port)
            assert new != old
            assert (await before.command("NOOP")).code == 250
            certificates.key.write_text("no key")
            with pytest.raises(ListenerError):
                server.server.reload_tls()
            assert await serial(port) == new


async def test_drain_dismisses_who_is_idle_and_finishes_the_rest() -> None:
    door = RecordingDoor(gate=asyncio.Event())
    async with running(door) as server:
        assert door.gate is not None
        async with server.client() as idle, server.client() as busy, server.client() as midway:
            for client in (idle, busy, midway):
                await client.hello()
            await midway.command("MAIL FROM:<a@x.test>")
            sent = asyncio.ensure_future(busy.deliver("a@x.test", ["b@y.test"], b"x\r\n"))
            await door.began.wait()
            draining = asyncio.ensure_future(server.server.drain(30))
            assert str(await idle.reply()).startswith("421 4.3.2 ")
            assert await idle.rest() == b""
            with pytest.raises(ConnectionError):
                await server.client().connect()
            assert not draining.done()
            door.gate.set()
            assert (await sent).code == 250
            assert str(await busy.reply()).startswith("421 4.3.2 ")
            assert (await midway.command("RCPT TO:<b@y.test>")).code == 250
            assert (await midway.data(b"y\r\n")).code == 250
            assert str(await midway.reply()).startswith("421 4.3.2 ")
            await draining
    assert len(door.submissions) == 2
    assert server.observer.open == 0


async def test_who_is_late_is_told_and_the_commit_goes_on() -> None:
    door = RecordingDoor(gate=asyncio.Event())
    async with running(door) as server, server.client() as late, server.client() as busy:
        assert door.gate is not None
        await late.hello()
        await late.envelope("a@x.test", "b@y.test")
        await busy.hello()
        sent = asyncio.ensure_future(busy.deliver("a@x.test", ["b@y.test"], b"x\r\n"))
        await door.began.wait()
        await server.server.drain(0)
        assert str(await late.reply()).startswith("421 4.3.2 ")
        assert (await sent).code == 421
        assert door.submissions == []
        door.gate.set()
        assert await server.tasks.drain(30) == 0
    assert len(door.submissions) == 1
    assert server.observer.messages == ["accepted"]


async def test_a_commit_that_shutdown_gives_up_is_not_acknowledged() -> None:
    door = RecordingDoor(gate=asyncio.Event())
    async with running(door) as server, server.client() as client:
        await client.hello()
        sent = asyncio.ensure_future(client.deliver("a@x.test", ["b@y.test"], b"x\r\n"))
        await door.began.wait()
        assert await server.tasks.drain(0) == 1
        assert str(await sent).startswith("421 4.3.2 ")
    assert door.submissions == []


def test_starttls_on_uvloop(certificates: Certificates) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def scenario() -> None:
        listener = at("127.0.0.1:0", tls="starttls")
        async with (
            running(**listener, **certificates.settings) as server,
            server.client() as client,
        ):
            await client.hello()
            await client.send(b"STARTTLS\r\nMAIL FROM:<evil@x.test>\r\n")
            assert (await client.reply()).code == 220
            await client._writer.start_tls(certificates.context, server_hostname="localhost")
            await client.command("EHLO client.test")
            assert (await client.deliver("a@x.test", ["b@y.test"], b"x\r\n")).code == 250
        assert server.door.submissions[0].client.tls is not None

    uvloop.run(scenario())
