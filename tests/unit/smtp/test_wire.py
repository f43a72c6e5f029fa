"""Clients that leave, wait, trickle or do not read; with deadlines short enough to wait for."""

from __future__ import annotations

import asyncio

import pytest

from relay.smtp import wire
from tests.dialogs.door import RecordingDoor, Running, running
from tests.support.smtp_client import SmtpClient

CONTENT = b"Subject: x\r\n\r\nx\r\n"


async def send_up_to_the_dot(client: SmtpClient) -> None:
    await client.hello()
    await client.envelope("a@x.test", "b@y.test")
    assert (await client.command("DATA")).code == 354
    await client.send(CONTENT + b".\r\n")


def gated() -> RecordingDoor:
    return RecordingDoor(gate=asyncio.Event())


async def committed(server: Running) -> None:
    """Let the commit go on, and wait until it is on record."""
    assert server.door.gate is not None
    server.door.gate.set()
    await server.observer.until(lambda: server.observer.messages == ["accepted"])
    assert len(server.door.submissions) == 1


async def test_a_half_closed_client_gets_its_reply() -> None:
    async with running(gated()) as server, server.client() as client:
        await send_up_to_the_dot(client)
        await client.half_close()
        await server.door.began.wait()
        await committed(server)
        assert (await client.rest()).startswith(b"250 2.0.0 Ok: ID1 sent=1\r\n")


async def test_all_at_once_and_half_closed() -> None:
    async with running() as server, server.client() as client:
        await client.hello()
        await client.send(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nRSET\r\nNOOP\r\n")
        await client.half_close()
        assert (await client.rest()).count(b"\r\n") == 4


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_commit_survives_a_client_that_leaves(how: str) -> None:
    async with running(gated()) as server, server.client() as client:
        await send_up_to_the_dot(client)
        await server.door.began.wait()
        if how == "reset":
            client.reset()
            await server.observer.until(lambda: server.observer.open == 0)
        else:
            await client.close()
        assert len(server.tasks) == 1
        await committed(server)


@pytest.mark.parametrize("leave", ["reset", "half_close"])
async def test_a_cut_message_never_reaches_the_door(leave: str) -> None:
    wire_octets = CONTENT + b".\r"
    async with running() as server:
        for length in range(len(wire_octets) + 1):
            async with server.client() as client:
                await client.hello()
                await client.envelope("a@x.test", "b@y.test")
                await client.command("DATA")
                await client.send(wire_octets[:length])
                if leave == "reset":
                    client.reset()
                else:
                    await client.half_close()
                expected = ["aborted"] * (length + 1)
                await server.observer.until(lambda e=expected: server.observer.messages == e)
    assert server.door.begun == []


async def test_a_silent_client_is_told() -> None:
    async with running(command_timeout=0.05) as server, server.client() as client:
        await client.reply()
        assert str(await client.reply()).startswith("421 4.4.2 ")
        assert await client.rest() == b""


async def test_a_trickled_command_has_one_deadline() -> None:
    async with running(command_timeout=0.2) as server, server.client() as client:
        await client.reply()
        answer = asyncio.ensure_future(client.reply())
        while not answer.done():
            await client.send(b"x")
            await asyncio.wait({answer}, timeout=0.01)
        assert (await answer).code == 421


async def test_silence_inside_data_is_told() -> None:
    async with running(data_timeout=0.05) as server, server.client() as client:
        await client.hello()
        await client.envelope("a@x.test", "b@y.test")
        await client.command("DATA")
        await client.send(b"x")
        assert str(await client.reply()).startswith("421 4.4.2 ")
        assert await client.rest() == b""
        await server.observer.until(lambda: server.observer.messages == ["aborted"])


async def test_trickling_inside_data_is_cut_off() -> None:
    settings = {"data_timeout": 0.2, "data_min_rate": 1_000_000}
    async with running(**settings) as server, server.client() as client:
        await client.hello()
        await client.envelope("a@x.test", "b@y.test")
        await client.command("DATA")
        answer = asyncio.ensure_future(client.reply())
        while not answer.done():
            await client.send(b"x")
            await asyncio.wait({answer}, timeout=0.01)
        assert (await answer).code == 421


async def test_the_deadline_stands_still_while_we_work() -> None:
    async with (
        running(gated(), command_timeout=1.0, data_timeout=1.0) as server,
        server.client() as client,
        server.client() as idle,
    ):
        await send_up_to_the_dot(client)
        await server.door.began.wait()
        await idle.reply()
        await idle.command("NOOP")
        # Its deadline began after the other one's, and has passed.
        assert (await idle.reply()).code == 421
        await committed(server)
        assert (await client.reply()).code == 250


async def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "WRITE_BLOCKED", 0.05)
    async with running(max_errors=10**9) as server, server.client() as client:
        await client.reply()
        client._reader._transport.pause_reading()  # type: ignore[attr-defined]
        client._writer.write(b"HELP\r\n" * 700_000)
        await server.observer.until(lambda: server.observer.open == 0)


async def test_close_does_not_wait_for_a_client_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "CLOSE_GRACE", 0.05)
    async with running(max_errors=10**9, command_timeout=0.2) as server, server.client() as client:
        await client.reply()
        client._reader._transport.pause_reading()  # type: ignore[attr-defined]
        client._writer.write(b"HELP\r\n" * 700_000)
        await server.observer.until(lambda: server.observer.open == 0)


async def test_patience_is_short_when_most_slots_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "STRESS_TIMEOUT", 0.05)
    async with running(max_connections=1) as server, server.client() as client:
        await client.reply()
        assert (await client.reply()).code == 421


async def test_replies_to_a_group_leave_together() -> None:
    async with running() as server, server.client() as client:
        await client.hello()
        await client.send(b"NOOP\r\n" * 3 + b"QUIT\r\n")
        assert await client._reader.read(4096) == b"250 2.0.0 Ok\r\n" * 3 + b"221 2.0.0 Bye\r\n"
