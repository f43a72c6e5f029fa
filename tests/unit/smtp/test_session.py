"""What a session makes of its door's answers; the dialogues themselves are in tests/dialogs."""

from __future__ import annotations

import asyncio
import logging

import pytest

from relay.model import Accepted, Address, Credential, Reason, Refusal, Submission
from relay.ports import ContentProblem, DiskFull, StoreTrouble
from relay.settings import Listener
from relay.smtp import session as session_module
from tests.dialogs.door import SECRET, USERNAME, RecordingDoor, content_of, running
from tests.support.smtp_client import SmtpClient
from tests.unit.smtp.certificates import Certificates


def raising(error: Exception) -> RecordingDoor:
    def answer(submission: Submission) -> Accepted:
        raise error

    return RecordingDoor(answer=answer)


async def deliver(client: SmtpClient) -> str:
    return str(await client.deliver("a@x.test", ["b@y.test"], b"Subject: x\r\n\r\nx\r\n"))


async def test_a_submission_says_who_and_how() -> None:
    async with running() as server, server.client() as client:
        await client.hello("[192.0.2.7]")
        assert await deliver(client) == "250 2.0.0 Ok: ID1 sent=1"
    (came,) = server.door.submissions
    assert (came.id, came.client.ip, came.client.helo) == ("ID1", "127.0.0.1", "[192.0.2.7]")
    assert came.client.credential is not None
    assert (came.client.esmtp, came.client.tls, came.client.authenticated) == (True, None, False)
    assert came.client.listener == "smtp"
    assert server.observer.messages == ["accepted"]
    await server.observer.until(lambda: server.observer.open == 0)


@pytest.mark.parametrize(
    "helo", [b"foo\rbar\x00baz", b"a b", b"x" * 300, b"[::1] evil", "ümlaut".encode(), b"-"]
)
async def test_a_hello_that_is_no_name_is_unknown(helo: bytes) -> None:
    async with running() as server, server.client() as client:
        await client.reply()
        assert (await client.command(b"EHLO " + helo)).code == 250
        await deliver(client)
    assert server.door.submissions[0].client.helo == "unknown"


@pytest.mark.parametrize(
    ("error", "start", "result"),
    [
        (StoreTrouble("/var/lib/x is locked"), "451 4.3.0 ", "deferred"),
        (DiskFull("/var/lib/x is full"), "452 4.3.1 ", "deferred"),
        (RuntimeError("/var/lib/x broke"), "451 4.3.0 ", "deferred"),
        (ContentProblem("nul"), "550 5.6.0 ", "refused"),
        (ContentProblem("bare-newline"), "550 5.5.2 ", "refused"),
        (ContentProblem("header-too-large"), "552 5.3.4 ", "refused"),
        (ContentProblem("unheard-of"), "550 5.6.0 ", "refused"),
    ],
)
async def test_trouble_is_answered_without_a_word_of_it(
    error: Exception, start: str, result: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(raising(error)) as server, server.client() as client:
        await client.hello()
        answer = await deliver(client)
        assert answer.startswith(start)
        assert "/var" not in answer
        assert server.observer.messages == [result]
        if start.startswith("451"):
            assert "(ID1)" in answer
            assert any("ID1" in record.getMessage() for record in caplog.records)
        # The session goes on, and a second mail is a new transaction.
        assert (await deliver(client)).startswith(start)


async def test_policy_refusals_do_not_end_the_session() -> None:
    door = RecordingDoor(answer=lambda _: Refusal(Reason.UNKNOWN_LIST, "No such list"))
    async with running(door, max_errors=2) as server, server.client() as client:
        await client.hello()
        for _ in range(3):
            assert await deliver(client) == (
                "550 5.7.1 No such list reason=unknown-list https://relay.test/why/unknown-list"
            )
    assert server.observer.messages == ["refused"] * 3


async def test_the_door_is_asked_at_mail() -> None:
    asked: list[tuple[str | None, int]] = []

    def check(mail_from: Address | None, size: int) -> Refusal | None:
        asked.append((mail_from.wire if mail_from else None, size))
        if size > 100:
            raise DiskFull("full")
        if size > 50:
            raise RuntimeError("secret")
        return Refusal(Reason.SUSPENDED, "Sending is suspended") if mail_from else None

    async with running(RecordingDoor(sender_answer=check)) as server, server.client() as client:
        await client.hello()
        refused = await client.command("MAIL FROM:<a@x.test> SIZE=7")
        assert str(refused) == "450 4.7.1 Sending is suspended reason=suspended"
        assert str(await client.command("MAIL FROM:<> SIZE=101")).startswith("452 4.3.1 ")
        trouble = str(await client.command("MAIL FROM:<> SIZE=51"))
        assert trouble.startswith("451 4.3.0 ")
        assert "secret" not in trouble
        assert (await client.command("MAIL FROM:<>")).code == 250
    assert asked == [("a@x.test", 7), (None, 101), (None, 51), (None, 0)]


async def test_nobody_sends_without_a_credential() -> None:
    async with running(RecordingDoor(network=None)) as server, server.client() as client:
        await client.hello()
        assert str(await client.command("MAIL FROM:<a@x.test>")).startswith("530 5.7.0 ")
        assert (await client.login(USERNAME, SECRET)).code == 235
        await deliver(client)
    (came,) = server.door.submissions
    assert came.client.authenticated
    assert came.client.credential is not None
    assert came.client.credential.username == USERNAME


async def test_a_door_that_breaks_at_connect_lets_nobody_in() -> None:
    class Broken(RecordingDoor):
        def admit(self, client: object) -> Credential | None:
            raise RuntimeError("secret")

    async with running(Broken()) as server, server.client() as client:
        assert str(await client.reply()).startswith("421 4.3.0 ")
        assert await client.rest() == b""


async def test_no_secret_leaves_the_machine_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_is_loopback", lambda ip: False)
    async with running() as server, server.client() as client:
        assert "AUTH" not in (await client.hello()).text
        assert str(await client.login(USERNAME, SECRET)).startswith("538 5.7.11 ")
    assert server.door.attempts == []


async def test_failed_logins_are_counted_and_logged_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(RecordingDoor(network=None)) as server, server.client() as client:
        await client.hello()
        for _ in range(3):
            assert (await client.login(SECRET, "hunter2")).code == 535
        assert str(await client.reply()).startswith("421 4.7.0 ")
    assert server.observer.failures == 3
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "authentication failed" in logged
    assert "127.0.0.1" in logged
    for secret in ("hunter2", SECRET, "aHVudGVyMg"):
        assert secret not in logged


async def test_a_right_password_enters_while_wrong_ones_wait() -> None:
    door = RecordingDoor(network=None)
    async with (
        running(door, auth_failures_per_minute=1) as server,
        server.client() as guesser,
        server.client() as owner,
    ):
        await guesser.hello()
        await owner.hello()
        assert (await guesser.login(USERNAME, "wrong")).code == 535
        waiting = asyncio.ensure_future(guesser.login(USERNAME, "wrong again"))
        await server.observer.until(lambda: server.observer.failures == 2)
        assert (await owner.login(USERNAME, SECRET)).code == 235
        assert not waiting.done()
        waiting.cancel()


async def test_memory_budget_is_asked_before_the_message() -> None:
    door = RecordingDoor(gate=asyncio.Event())
    async with running(door, memory_budget=1_000_000) as server:
        assert door.gate is not None
        async with server.client() as first, server.client() as second:
            await first.hello()
            await second.hello()
            await first.command("MAIL FROM:<a@x.test> SIZE=900000")
            await first.command("RCPT TO:<b@y.test>")
            full = await second.command("MAIL FROM:<a@x.test> SIZE=200000")
            assert str(full).startswith("452 4.3.1 ")
            # It is held until the commit, not only until the dot.
            answer = asyncio.ensure_future(first.data(b"x\r\n"))
            await door.began.wait()
            assert (await second.command("MAIL FROM:<a@x.test> SIZE=200000")).code == 452
            door.gate.set()
            assert (await answer).code == 250
            assert (await second.command("MAIL FROM:<a@x.test> SIZE=200000")).code == 250
            assert (await first.command("MAIL FROM:<a@x.test> SIZE=900000")).code == 452
            await second.command("RSET")
            assert (await first.command("MAIL FROM:<a@x.test> SIZE=900000")).code == 250


async def test_an_undeclared_message_over_the_budget_is_put_off() -> None:
    async with (
        running(memory_budget=1_000_000) as server,
        server.client() as first,
        server.client() as second,
    ):
        await first.hello()
        await second.hello()
        await first.command("MAIL FROM:<a@x.test> SIZE=500000")
        await second.envelope("a@x.test", "b@y.test")
        answer = await second.data(b"0123456789abcd\r\n" * 50_000)
        assert str(answer).startswith("452 4.3.1 ")
        assert (await second.command("NOOP")).code == 250
        await first.command("RSET")
        await second.envelope("a@x.test", "b@y.test")
        assert (await second.data(b"0123456789abcd\r\n" * 50_000)).code == 250
    assert [len(content_of(came)) for came in server.door.submissions] == [800_000]


async def test_commands_without_mail_become_errors() -> None:
    async with running(max_errors=3) as server, server.client() as client:
        await client.hello()
        for _ in range(99):
            assert (await client.command("NOOP")).code == 250
        await deliver(client)
        for _ in range(102):
            assert (await client.command("NOOP")).code == 250
        assert str(await client.command("NOOP")).startswith("421 4.7.0 ")


async def test_too_many_connections_of_one_client() -> None:
    async with running(max_connections_per_address=1) as server, server.client() as first:
        await first.hello()
        async with server.client() as second:
            assert str(await second.reply()).startswith("421 4.7.0 ")
            assert await second.rest() == b""
        await first.close()
        await server.observer.until(lambda: server.observer.open == 0)
        async with server.client() as third:
            assert (await third.reply()).code == 220


async def test_starttls_is_required_where_it_is_offered(certificates: Certificates) -> None:
    listeners = (Listener(address="127.0.0.1:0", tls="starttls"),)
    async with (
        running(listeners=listeners, **certificates.settings) as server,
        server.client() as client,
    ):
        hello = await client.hello()
        assert "STARTTLS" in hello.lines
        assert "AUTH" not in hello.text
        assert str(await client.command("MAIL FROM:<a@x.test>")).startswith("530 5.7.0 ")
        assert str(await client.login(USERNAME, SECRET)).startswith("538 5.7.11 ")
        assert (await client.command("STARTTLS now")).code == 501
        await client.starttls(certificates.context)
        assert str(await client.command("MAIL FROM:<a@x.test>")).startswith("503 5.5.1 ")
        hello = await client.command("EHLO client.test")
        assert "STARTTLS" not in hello.lines
        assert "AUTH PLAIN LOGIN" in hello.lines
        assert (await client.login(USERNAME, SECRET)).code == 235
        assert (await client.command("STARTTLS")).code == 503
        assert (await deliver(client)).startswith("250 ")
    tls = server.door.submissions[0].client.tls
    assert tls is not None
    assert tls.startswith("TLSv1.3 TLS_")


async def test_nothing_said_in_the_clear_survives_starttls(certificates: Certificates) -> None:
    listeners = (Listener(address="127.0.0.1:0", tls="starttls"),)
    async with (
        running(listeners=listeners, **certificates.settings) as server,
        server.client() as client,
    ):
        await client.hello("plain.test")
        await client.send(b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@x.test>\r\n")
        assert (await client.reply()).code == 220
        await client._writer.start_tls(certificates.context, server_hostname="localhost")
        # The first reply under TLS is to the first command under TLS.
        assert (await client.command("NOOP")).code == 250
        assert (await client.command("MAIL FROM:<a@x.test>")).code == 503
        await client.command("EHLO tls.test")
        assert (await deliver(client)).startswith("250 ")
    assert server.door.submissions[0].client.helo == "tls.test"


async def test_no_tls_after_starttls_ends_the_session(certificates: Certificates) -> None:
    listeners = (Listener(address="127.0.0.1:0", tls="starttls"),)
    async with (
        running(listeners=listeners, **certificates.settings) as server,
        server.client() as client,
    ):
        await client.hello()
        assert (await client.command("STARTTLS")).code == 220
        await client.send(b"EHLO still.plain.test\r\n")
        await server.observer.until(lambda: server.observer.open == 0)
