"""The process: starting, being told what is wrong, reloading, draining."""

import asyncio
import re
import signal
import socket

import pytest

from tests.e2e.conftest import MakeRelay
from tests.support.eventually import eventually, eventually_async
from tests.support.house import mail
from tests.support.relay_process import Relay, http
from tests.support.smtp_client import SmtpClient, send_mail
from tests.support.smtp_sink import SinkThread


async def test_it_says_ready_for_each_listener_and_ends_clean(relay: Relay) -> None:
    ready = relay.lines(r"\bready\b")
    for port in (relay.smtp_port, relay.http_port, relay.metrics_port):
        assert [line for line in ready if f":{port}" in line]
    assert relay.stop() == 0


async def test_an_unknown_key_is_named_with_file_line_and_nearest_key(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(1, {"smtp.max_recipient": 5})
    number = next(
        number
        for number, line in enumerate(relay.config.read_text().splitlines(), start=1)
        if line.startswith("max_recipient =")
    )
    for command in ("check", "serve"):
        said = relay.run(command, code=2).stderr
        assert "max_recipient" in said
        assert f"{relay.config}" in said
        assert re.search(rf"\b{number}\b", said)
        assert "max_recipients" in said
        assert "Traceback" not in said


async def test_a_port_that_is_taken_is_named(make_relay: MakeRelay) -> None:
    relay = make_relay(1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", relay.smtp_port))
        other.listen()
        relay.start(wait=False)
        assert relay.wait() != 0
    assert relay.lines(rf"{relay.smtp_port}")
    assert not relay.lines("Traceback")


async def test_it_does_not_start_twice_on_one_store(relay: Relay) -> None:
    said = relay.run("serve", code=None)
    assert said.returncode != 0
    assert "Traceback" not in said.stderr


async def test_without_any_credential_it_still_is_no_open_relay(relay: Relay) -> None:
    reply = await send_mail(relay.smtp_port, "a@a.test", ["b@b.test"], mail())
    assert reply.code == 530


async def test_hanging_up_reloads_without_a_dropped_connection(
    relay: Relay, upstream: SinkThread
) -> None:
    async with SmtpClient(relay.smtp_port) as client:
        await client.hello()
        await client.login(*relay.secrets["shop"])
        for number in range(5):
            relay.configure({"smtp.max_recipients": 10 + number})
            relay.hang_up()
            reply = await client.deliver(
                "office@shop.test",
                [f"h{number}@ok.test"],
                mail("reload", headers=["X-Consent-List: receipts"]),
            )
            assert reply.code == 250
    upstream.sink.wait_for(5)


async def test_a_reload_of_nonsense_keeps_what_was(relay: Relay, upstream: SinkThread) -> None:
    good = relay.config.read_text()
    relay.config.write_text(good + "\nnonsense = [\n")
    relay.hang_up()
    relay.wait_line(r"(?i)relay\.toml|reload")
    reply = await send_mail(
        relay.smtp_port, "office@shop.test", ["r@ok.test"], mail(), login=relay.secrets["shop"]
    )
    assert reply.code == 250
    relay.config.write_text(good)
    assert relay.stop() == 0


async def test_terminated_it_drains(relay: Relay, upstream: SinkThread) -> None:
    """Idle clients get 421, a message on its way in is finished, nothing is lost or doubled."""
    upstream.sink.fault(".", delay=0.5)
    async with SmtpClient(relay.smtp_port) as idle, SmtpClient(relay.smtp_port) as busy:
        await idle.hello()
        await busy.hello()
        await busy.login(*relay.secrets["shop"])
        await busy.envelope("office@shop.test", "busy@ok.test")
        assert (await busy.command("DATA")).code == 354
        await busy.send(mail("busy")[:50])
        relay.signal(signal.SIGTERM)
        assert (await idle.reply()).code == 421
        await eventually_async(lambda: not accepts(relay.smtp_port), "the listener to close")
        await busy.send(mail("busy")[50:] + b".\r\n")
        reply = await busy.reply()
        assert reply.code in (250, 451, 421)
    assert await asyncio.to_thread(relay.wait) == 0
    relay.start()
    upstream.sink.clear_faults()
    eventually(lambda: relay.json("spool", "list") == [], "the spool to empty")
    assert len(upstream.sink.to("busy@ok.test")) == (1 if reply.code == 250 else 0)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_the_command_line_works_beside_the_daemon_and_without_it(relay: Relay) -> None:
    relay.run("tenant", "add", "new", "--name", "N", "--address", "A 1", "--contact", "n@new.test")
    assert "new" in [row["slug"] for row in relay.json("tenant", "list")]
    assert relay.stop() == 0
    assert "new" in [row["slug"] for row in relay.json("tenant", "list")]
    relay.run("tenant", "show", "nobody", code=1)
    relay.run("tenant", "frobnicate", code=2)


async def test_metrics_tell_what_happened_and_name_nobody(
    relay: Relay, upstream: SinkThread
) -> None:
    login = relay.secrets["shop"]
    news = ["X-Consent-List: news"]
    recipients = ["yes1@ok.test", "no1@ok.test", "left1@ok.test"]
    await send_mail(
        relay.smtp_port, "office@shop.test", recipients, mail(headers=news), login=login
    )
    upstream.sink.wait_to("yes1@ok.test")

    def count(action: str, reason: str) -> float:
        return relay.metric(
            "relay_recipients_total",
            tenant="shop",
            kind="commercial",
            action=action,
            reason=reason,
        )

    assert relay.metric("relay_recipients_total", tenant="shop", action="deliver") >= 1
    assert count("quarantine", "no-consent") == 1
    assert count("drop", "withdrawn") == 1
    eventually(lambda: relay.metric("relay_quarantine_messages", tenant="shop") == 1, "the gauge")
    assert relay.metric("relay_upstream_replies_total") >= 1
    assert relay.metric("relay_sent_after_optout_total") == 0
    status, text = http(f"http://127.0.0.1:{relay.metrics_port}/metrics")
    assert status == 200
    assert "ok.test" not in text
    assert http(f"http://127.0.0.1:{relay.metrics_port}/")[0] == 404


async def test_one_log_line_per_fate(relay: Relay, upstream: SinkThread) -> None:
    reply = await send_mail(
        relay.smtp_port,
        "office@shop.test",
        ["yes1@ok.test", "no1@ok.test", "left1@ok.test"],
        mail(headers=["X-Consent-List: news"]),
        login=relay.secrets["shop"],
    )
    queue_id = reply.queue_id
    sent = relay.wait_line(rf"{queue_id}: to=<yes1@ok\.test>, relay=.*status=sent \(250 ")
    assert re.search(rf"relay=\S*\[127\.0\.0\.1\]:{upstream.sink.port}, delay=[\d.]+", sent)
    assert "dsn=2.0.0" in sent
    assert "tenant=shop" in sent
    relay.wait_line(rf"{queue_id}: to=<no1@ok\.test>.*status=held.*reason=no-consent")
    relay.wait_line(rf"{queue_id}: to=<left1@ok\.test>.*status=dropped.*reason=withdrawn")


async def test_a_wrong_secret_is_counted(relay: Relay) -> None:
    user, _ = relay.secrets["shop"]
    reply = await send_mail(
        relay.smtp_port, "office@shop.test", ["yes1@ok.test"], mail(), login=(user, "wrong")
    )
    assert reply.code == 535
    assert relay.metric("relay_auth_failures_total", listener="smtp") == 1


@pytest.mark.parametrize(
    ("recipient", "reason"), [("no1@ok.test", "no-consent"), ("left1@ok.test", "withdrawn")]
)
async def test_where_reject_is_set_the_client_is_told_why(
    relay: Relay, recipient: str, reason: str
) -> None:
    relay.run("list", "set", "shop", "news", "--action", "reject")
    reply = await send_mail(
        relay.smtp_port,
        "office@shop.test",
        [recipient],
        mail(headers=["X-Consent-List: news"]),
        login=relay.secrets["shop"],
    )
    assert (reply.code, reply.enhanced) == (550, "5.7.1")
    assert f"reason={reason} {relay.public_url}/why/{reason}" in reply.text


@pytest.mark.parametrize("what", ["GET / HTTP/1.1", "POST /u/x HTTP/1.1", "Host: relay.test"])
async def test_http_to_the_smtp_port_is_cut_off_unechoed(relay: Relay, what: str) -> None:
    async with SmtpClient(relay.smtp_port) as client:
        assert (await client.reply()).code == 220
        await client.send(f"{what}\r\nMAIL FROM:<a@shop.test>\r\n".encode())
        said = await client.rest()
    assert said.startswith(b"554 5.5.0")
    assert said.count(b"\r\n") == 1
    assert what.split()[1].encode() not in said
