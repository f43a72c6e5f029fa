"""The upstream's bad days: nothing is lost, nothing doubled, nobody bothered without need."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.conftest import MakeRelay
from tests.support.eventually import eventually, eventually_async
from tests.support.house import mail
from tests.support.relay_process import Relay
from tests.support.smtp_client import SmtpClient, send_mail
from tests.support.smtp_sink import SinkThread, SmtpSink

STEPS = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."]
PASSING: dict[str, dict[str, object]] = {
    "4xx": {"reply": "451 4.3.0 later"},
    "421": {"reply": "421 4.3.2 closing", "close": True},
    "close": {"close": True},
    "reset": {"reset": True},
}


async def send(relay: Relay, *recipients: str, mail_from: str = "office@shop.test") -> None:
    """Hand over a mail that needs no consent; it must be taken whatever the upstream does."""
    reply = await send_mail(
        relay.smtp_port,
        mail_from,
        list(recipients),
        mail("upstream", to=recipients[0], headers=["X-Consent-List: receipts"]),
        login=relay.secrets["shop"],
    )
    assert reply.code == 250, str(reply)


def nothing_waits(relay: Relay) -> bool:
    return bool(relay.json("spool", "list") == [])


@pytest.fixture(scope="module")
def one_upstream() -> Iterator[SinkThread]:
    """The upstream of ``one_relay``."""
    with SinkThread() as thread:
        yield thread


@pytest.fixture(scope="module")
def one_relay(
    template: Relay, one_upstream: SinkThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Relay]:
    """One relay for the faults that leave it as it was; recipients differ from test to test."""
    directory = tmp_path_factory.mktemp("one") / "relay"
    with Relay(directory, one_upstream.sink.port, template=template) as running:
        yield running


@pytest.fixture
def sink(one_upstream: SinkThread) -> Iterator[SmtpSink]:
    """The upstream of ``one_relay``, with no connection open and no fault set."""
    one_upstream.deaf()
    one_upstream.listen()
    yield one_upstream.sink
    one_upstream.sink.clear_faults()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", PASSING)
async def test_a_passing_fault_delays_and_delivers_once(
    step: str, fault: str, one_relay: Relay, sink: SmtpSink
) -> None:
    recipient = f"passing-{fault}-{step.replace('.', 'dot').lower()}@ok.test"
    sink.fault(step, times=2, **PASSING[fault])
    await send(one_relay, recipient)
    sink.wait_to(recipient)
    one_relay.wait_line(rf"to=<{recipient}>.*status=sent")
    assert len(sink.to(recipient)) == 1
    assert not one_relay.lines(rf"to=<{recipient}>.*status=bounced")


@pytest.mark.parametrize("step", ["RCPT", "."])
async def test_a_refused_recipient_is_reported_to_the_sender(
    step: str, one_relay: Relay, sink: SmtpSink
) -> None:
    recipient = f"gone-{step.replace('.', 'dot').lower()}@ok.test"
    sender = f"from-{recipient.partition('@')[0]}@shop.test"
    sink.fault(step, reply="550 5.1.1 <script> no such user", match=recipient, times=1)
    await send(one_relay, recipient, mail_from=sender)
    report = sink.wait_to(sender)
    assert report.mail_from == ""
    assert (report.get("Auto-Submitted") or "").startswith("auto-replied")
    assert recipient.encode() in report.content
    assert b"5.1.1" in report.content
    assert report.bare_newlines == 0
    eventually(lambda: nothing_waits(one_relay), "the spool to empty")
    assert sink.to(recipient) == []
    assert one_relay.lines(rf"to=<{recipient}>.*dsn=5\.1\.1, status=bounced")


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        ("CONNECT", "554 5.7.1 you are listed"),
        ("EHLO", "550 5.7.1 no"),
        ("MAIL", "530 5.7.0 authentication required"),
        ("MAIL", "550 5.7.1 sender not allowed"),
    ],
)
async def test_an_upstream_that_refuses_us_is_our_trouble(
    step: str, reply: str, one_relay: Relay, sink: SmtpSink
) -> None:
    recipient = f"refused-{step.lower()}-{reply[:3]}@ok.test"
    sink.fault(step, reply=reply)
    if step == "EHLO":
        sink.fault("HELO", reply=reply)
    await send(one_relay, recipient)
    one_relay.wait_line(rf"to=<{recipient}>.*status=deferred")
    assert not one_relay.lines(rf"to=<{recipient}>.*status=bounced")
    sink.clear_faults()
    sink.wait_to(recipient)
    eventually(lambda: nothing_waits(one_relay), "the spool to empty")
    assert len(sink.to(recipient)) == 1


async def test_an_upstream_without_esmtp_is_spoken_to_in_smtp(
    one_relay: Relay, sink: SmtpSink
) -> None:
    sink.fault("EHLO", reply="500 5.5.1 what?")
    await send(one_relay, "oldstyle@ok.test")
    assert sink.wait_to("oldstyle@ok.test").mail_parameters == ()


async def test_the_null_sender_never_gets_a_report(one_relay: Relay, sink: SmtpSink) -> None:
    sink.fault("RCPT", reply="550 5.1.1 no such user", match="null@ok.test")
    before = len(sink.messages)
    reply = await send_mail(
        one_relay.smtp_port,
        "",
        ["null@ok.test"],
        mail("bounce", headers=["Auto-Submitted: auto-replied"]),
        login=one_relay.secrets["shop"],
    )
    assert reply.counts == {"sent": 1}
    one_relay.wait_line(r"to=<null@ok\.test>.*status=bounced")
    eventually(lambda: nothing_waits(one_relay), "the spool to empty")
    assert len(sink.messages) == before


async def test_one_refused_among_three_does_not_stop_the_others(
    relay: Relay, upstream: SinkThread
) -> None:
    await send(relay, "a@ok.test", "fail@ok.test", "temp@ok.test")
    upstream.sink.wait_to("a@ok.test")
    upstream.sink.wait_to("office@shop.test")
    (row,) = relay.json("spool", "list")
    assert row["to"] == "temp@ok.test"
    assert len(upstream.sink.to("a@ok.test")) == 1


async def test_mail_waits_while_the_upstream_is_down_and_also_over_a_restart(
    relay: Relay, upstream: SinkThread
) -> None:
    upstream.deaf()
    await send(relay, "one@ok.test")
    eventually(lambda: relay.lines(r"status=deferred"), "a failed attempt")
    (row,) = relay.json("spool", "list")
    assert (row["to"], row["tenant"]) == ("one@ok.test", "shop")
    assert row["why"]
    assert relay.stop() == 0
    upstream.listen()
    relay.start()
    upstream.sink.wait_to("one@ok.test")


async def test_an_operator_can_retry_now_or_give_up(
    make_relay: MakeRelay, upstream: SinkThread
) -> None:
    relay = make_relay(upstream.sink.port, {"delivery.retry": [3600]}).start()
    upstream.deaf()
    await send(relay, "now@ok.test")
    await send(relay, "never@ok.test")
    eventually(lambda: len(relay.lines(r"status=deferred")) == 2, "two failed attempts")
    ids = {row["to"]: row["id"] for row in relay.json("spool", "list")}
    upstream.listen()
    relay.run("spool", "delete", ids["never@ok.test"])
    relay.run("spool", "retry", ids["now@ok.test"])
    upstream.sink.wait_to("now@ok.test")
    eventually(lambda: nothing_waits(relay), "the spool to empty")
    assert upstream.sink.to("never@ok.test") == []


async def test_over_its_rate_a_tenant_waits_and_others_do_not(
    relay: Relay, upstream: SinkThread
) -> None:
    content = mail("letter", sender="a@late.test", headers=["X-Consent-List: letter"])
    reply = await send_mail(
        relay.smtp_port,
        "a@late.test",
        ["yes1@ok.test", "yes2@ok.test", "yes3@ok.test"],
        content,
        login=relay.secrets["late"],
    )
    assert reply.code == 250
    assert reply.counts.get("sent", 0) + reply.counts.get("delayed", 0) == 3
    upstream.sink.wait_for(1)
    await send(relay, "other@ok.test")
    upstream.sink.wait_to("other@ok.test")
    late = [one for one in upstream.sink.messages if one.get("Subject") == "letter"]
    assert len(late) == 1
    assert {row["tenant"] for row in relay.json("spool", "list")} == {"late"}


@pytest.mark.skipif(shutil.which("smtp-sink") is None, reason="smtp-sink is not installed")
@pytest.mark.parametrize(
    "flags",
    [
        ["-q", "CONNECT"], ["-q", "EHLO"], ["-q", "MAIL"], ["-q", "RCPT"], ["-q", "DATA"],
        ["-q", "."], ["-Q", "."], ["-r", "."], ["-r", "RCPT"], ["-r", "MAIL"], ["-f", "MAIL"],
        ["-f", "CONNECT"], ["-Q", "CONNECT"],
    ],
    ids=" ".join,
)  # fmt: skip
async def test_smtp_sink_with_a_fault_then_a_healthy_upstream(
    flags: list[str], one_relay: Relay, one_upstream: SinkThread
) -> None:
    word = "sick" + "".join(flags).replace(".", "dot").replace("Q", "421").lower()
    recipients = [f"{word}{number}@ok.test" for number in range(5)]
    one_upstream.deaf()
    async with smtp_sink_process(one_upstream.sink.port, *flags):
        for recipient in recipients:
            await send(one_relay, recipient)
        await eventually_async(
            lambda: len(one_relay.lines(rf"to=<{word}\d@.*status=deferred")) >= 5,
            "every copy to fail once",
        )
    assert not one_relay.lines(rf"to=<{word}\d@.*status=(sent|bounced)")
    one_upstream.listen()
    for recipient in recipients:
        one_upstream.sink.wait_to(recipient)
    eventually(lambda: nothing_waits(one_relay), "the spool to empty")
    assert [len(one_upstream.sink.to(one)) for one in recipients] == [1] * 5


@pytest.mark.skipif(shutil.which("smtp-sink") is None, reason="smtp-sink is not installed")
@pytest.mark.parametrize(
    "flags", [["-8"], ["-p"], ["-e"], ["-N"], ["-E"], ["-w", "1"]], ids=" ".join
)
async def test_smtp_sink_that_lacks_something(
    flags: list[str], one_relay: Relay, one_upstream: SinkThread
) -> None:
    word = "plain" + "".join(flags)
    one_upstream.deaf()
    async with smtp_sink_process(one_upstream.sink.port, *flags):
        for number in range(5):
            await send(one_relay, f"{word}{number}@ok.test")
        await eventually_async(
            lambda: len(one_relay.lines(rf"to=<{word}\d@.*status=sent")) == 5, "five deliveries"
        )
    one_upstream.listen()


@pytest.mark.skipif(shutil.which("smtp-sink") is None, reason="smtp-sink is not installed")
async def test_smtp_sink_that_serves_one_connection_at_a_time(
    make_relay: MakeRelay, upstream: SinkThread
) -> None:
    port = upstream.sink.port
    upstream.deaf()
    relay = make_relay(port, {"upstream.idle_timeout": 0.2}).start()
    async with smtp_sink_process(port, "-m", "1"):
        for number in range(5):
            await send(relay, f"r{number}@ok.test")
        await eventually_async(lambda: len(relay.lines(r"status=sent")) == 5, "five deliveries")


@contextlib.asynccontextmanager
async def smtp_sink_process(port: int, *flags: str) -> AsyncIterator[None]:
    """Postfix's smtp-sink on a port."""
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = await asyncio.create_subprocess_exec(
        "smtp-sink", *user, *flags, f"127.0.0.1:{port}", "100"
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("how", ["reset", "close", "half_close"])
async def test_a_client_that_leaves_after_the_final_dot_has_sent_its_mail(
    how: str, relay: Relay, upstream: SinkThread
) -> None:
    for number in range(10):
        recipient = f"gone{number}@ok.test"
        async with SmtpClient(relay.smtp_port) as client:
            await client.hello()
            await client.login(*relay.secrets["shop"])
            await client.envelope("office@shop.test", recipient)
            await client.command("DATA")
            await client.send(mail("left", headers=["X-Consent-List: receipts"]) + b".\r\n")
            if how == "half_close":
                await client.half_close()
                assert (await client.reply()).code == 250
            elif how == "close":
                await client.close()
            else:
                client.reset()
    # octets that a RST overtakes are lost in the kernel; what was read is delivered, once
    for number in range(10):
        if how != "reset":
            upstream.sink.wait_to(f"gone{number}@ok.test")
    eventually(lambda: nothing_waits(relay), "the spool to empty")
    for number in range(10):
        assert len(upstream.sink.to(f"gone{number}@ok.test")) <= 1


async def test_a_client_cut_off_before_the_final_dot_has_sent_nothing(
    relay: Relay, upstream: SinkThread
) -> None:
    content = mail("cut", headers=["X-Consent-List: receipts"]) + b".\r\n"
    for length in range(0, len(content), 7):
        async with SmtpClient(relay.smtp_port) as client:
            await client.hello()
            await client.login(*relay.secrets["shop"])
            await client.envelope("office@shop.test", "cut@ok.test")
            await client.command("DATA")
            await client.send(content[:length])
    await send(relay, "marker@ok.test")
    upstream.sink.wait_to("marker@ok.test")
    eventually(lambda: nothing_waits(relay), "the spool to empty")
    assert upstream.sink.to("cut@ok.test") == []
    with sqlite3.connect(f"file:{relay.directory}/data/store.db?mode=ro", uri=True) as store:
        assert store.execute("SELECT count(*) FROM messages").fetchone() == (1,)
