"""The recording upstream and the raw client, tried on each other and on other software."""

import asyncio
import json
import smtplib
import ssl
import sys
from pathlib import Path

import pytest
import trustme

from tests.support.smtp_client import SmtpClient, send_mail, stuffed
from tests.support.smtp_sink import SinkThread, SmtpSink, sink_thread


async def test_records_exactly_the_octets_between_354_and_the_terminator() -> None:
    content = b"Subject: dots\r\n\r\n.one\r\n..two\r\n.\n.\rthree\r\n"
    async with SmtpSink() as sink:
        reply = await send_mail(sink.port, "a@a.test", ["b@b.test"], content)
        assert reply.code == 250
        (mail,) = sink.messages
    assert mail.content == content
    assert mail.raw == content.replace(b"\r\n.", b"\r\n..")
    assert mail.mail_from == "a@a.test"
    assert mail.recipients == ("b@b.test",)
    assert mail.bare_newlines == 2
    assert b"\n.\r" in mail.lenient_ends


async def test_only_crlf_dot_crlf_ends_a_message_however_it_is_cut() -> None:
    async with SmtpSink() as sink, SmtpClient(sink.port) as client:
        await client.hello()
        await client.envelope("a@a.test", "b@b.test")
        await client.command("DATA")
        await client.send_slowly(b"A: b\r\n\r\nx\n.\ny\r.\rz\r\n.\nw\r\n.\r\n")
        assert (await client.reply()).code == 250
        assert (await client.command("RSET")).code == 250
        assert sink.messages[0].raw == b"A: b\r\n\r\nx\n.\ny\r.\rz\r\n.\nw\r\n"


async def test_an_empty_message_is_one() -> None:
    async with SmtpSink() as sink:
        assert (await send_mail(sink.port, "", ["b@b.test"], b"")).code == 250
        assert sink.messages[0].raw in (b"", b"\r\n")
        assert sink.messages[0].mail_from == ""


async def test_pipelined_commands_are_answered_in_order() -> None:
    async with SmtpSink() as sink, SmtpClient(sink.port) as client:
        await client.hello()
        await client.send(
            b"MAIL FROM:<a@a.test>\r\nRCPT TO:<fail@b.test>\r\nRCPT TO:<c@b.test>\r\nDATA\r\n"
        )
        codes = [(await client.reply()).code for _ in range(4)]
        assert codes == [250, 550, 250, 354]
        await client.send(stuffed(b"A: b\r\n\r\nx\r\n"))
        assert (await client.reply()).code == 250
        assert sink.messages[0].recipients == ("c@b.test",)


async def test_data_without_a_recipient_gets_no_354() -> None:
    async with SmtpSink() as sink, SmtpClient(sink.port) as client:
        await client.hello()
        await client.envelope("a@a.test", "temp@b.test")
        assert (await client.command("DATA")).code == 554


@pytest.mark.parametrize("verb", ["EHLO", "MAIL", "RCPT", "DATA", "."])
async def test_a_fault_answers_in_place_of_the_ordinary_reply(verb: str) -> None:
    async with SmtpSink() as sink:
        sink.fault(verb, reply="451 4.3.0 programmed", times=1)
        reply = await send_mail(sink.port, "a@a.test", ["b@b.test"], b"A: b\r\n\r\nx\r\n")
        assert str(reply) == "451 4.3.0 programmed"
        assert sink.messages == []
        reply = await send_mail(sink.port, "a@a.test", ["b@b.test"], b"A: b\r\n\r\nx\r\n")
        assert reply.code == 250


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_fault_dies_at_each_step(verb: str, how: str) -> None:
    async with SmtpSink() as sink:
        sink.fault(verb, **{how: True})
        with pytest.raises(ConnectionError):
            await send_mail(sink.port, "a@a.test", ["b@b.test"], b"A: b\r\n\r\nx\r\n")
        assert sink.messages == []


async def test_it_can_take_the_mail_and_die_before_saying_so() -> None:
    async with SmtpSink() as sink:
        sink.fault(".", close=True, record=True)
        with pytest.raises(ConnectionError):
            await send_mail(sink.port, "a@a.test", ["b@b.test"], b"A: b\r\n\r\nx\r\n")
        assert len(sink.messages) == 1


async def test_it_wants_the_password_when_it_has_one() -> None:
    async with SmtpSink(credentials=("u", "s")) as sink:
        content = b"A: b\r\n\r\nx\r\n"
        assert (await send_mail(sink.port, "a@a.test", ["b@b.test"], content)).code == 530
        reply = await send_mail(sink.port, "a@a.test", ["b@b.test"], content, login=("u", "x"))
        assert reply.code == 535
        reply = await send_mail(sink.port, "a@a.test", ["b@b.test"], content, login=("u", "s"))
        assert reply.code == 250
        assert sink.connections[-1].authenticated == "u"


async def test_starttls_and_implicit_tls() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    async with SmtpSink(tls=server) as sink, SmtpClient(sink.port) as client:
        await client.hello()
        assert (await client.starttls(client_context)).code == 220
        assert "STARTTLS" not in (await client.command("EHLO again")).lines
        reply = await client.deliver("a@a.test", ["b@b.test"], b"A: b\r\n\r\nx\r\n")
        assert reply.code == 250
        assert sink.messages[0].tls
    async with (
        SmtpSink(tls=server, implicit_tls=True) as sink,
        SmtpClient(sink.port, tls=client_context) as client,
    ):
        assert (await client.hello()).code == 250


def test_a_sink_in_a_thread_serves_blocking_clients_and_can_go_down_and_up() -> None:
    with SinkThread() as upstream:
        with smtplib.SMTP("127.0.0.1", upstream.sink.port, timeout=10) as client:
            client.sendmail("a@a.test", ["b@b.test"], b"Subject: x\r\n\r\n.y\r\n")
        assert upstream.sink.wait_to("b@b.test").body == b".y\r\n"
        upstream.deaf()
        with pytest.raises(OSError):  # noqa: PT011 - whatever the kernel says of a closed port
            smtplib.SMTP("127.0.0.1", upstream.sink.port, timeout=10)
        upstream.listen()
        smtplib.SMTP("127.0.0.1", upstream.sink.port, timeout=10).close()


def test_it_waits_no_longer_than_told() -> None:
    with sink_thread() as sink, pytest.raises(AssertionError, match="0 of 1 mails"):
        sink.wait_for(1, within=0.05)


async def test_the_ledger_of_the_process_holds_every_mail_before_its_250(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.smtp_sink", "--ledger", str(ledger)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    ready = (await process.stdout.readline()).decode().split()
    assert ready[0] == "ready"
    for number in range(3):
        content = f"X-Test-Id: {number}\r\n\r\nx\r\n".encode()
        reply = await send_mail(int(ready[1]), "a@a.test", ["b@b.test"], content)
        assert reply.code == 250
        assert len(ledger.read_bytes().splitlines()) == number + 1
    process.kill()
    await process.wait()
    lines = [json.loads(line) for line in ledger.read_bytes().splitlines()]
    assert [line["id"] for line in lines] == ["0", "1", "2"]
    assert lines[0]["to"] == ["b@b.test"]
