"""A real Postfix as upstream: what web software sends arrives with a signature that holds."""

import re
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import MakeRelay
from tests.support.dkim_dns import dkimpy_verifies, mailauth_missing, mailauth_verify
from tests.support.eventually import eventually
from tests.support.house import mail
from tests.support.postfix import Postfix, postfix_missing
from tests.support.relay_process import Relay
from tests.support.smtp_client import send_mail
from tests.support.smtp_sink import SinkThread, SmtpSink

pytestmark = pytest.mark.skipif(postfix_missing() is not None, reason=str(postfix_missing()))


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    """Where Postfix sends everything on to."""
    with SinkThread() as thread:
        yield thread.sink


@pytest.fixture(scope="module")
def postfix(sink: SmtpSink) -> Iterator[Postfix]:
    """A Postfix as Debian ships it, no milter, no rewriting."""
    with Postfix(sink.port) as running:
        yield running


@pytest.fixture
def relay(make_relay: MakeRelay, postfix: Postfix) -> Relay:
    """The relay with that Postfix as its upstream."""
    return make_relay(postfix.port).start()


CONTENTS = {
    "yes1@ok.test": mail("plain", sender="news@shop.test"),
    "yes2@ok.test": mail("lf only", sender="news@shop.test", body="a\n\nb\n.\nc\n").replace(
        b"\r\n", b"\n"
    ),
    "yes3@ok.test": mail("long line", sender="news@shop.test", body="word " * 2000 + "\r\n"),
    "yes4@ok.test": mail("long line without a space", sender="news@shop.test", body="x" * 5000),
    "yes5@ok.test": mail("long line of UTF-8", sender="news@shop.test", body="é" * 3000 + "\r\n"),
    "yes6@ok.test": mail("stray CR", sender="news@shop.test", body="a\rb\r\r\nc\r\n"),
    "yes7@ok.test": mail("dots", sender="news@shop.test", body=".\r\n..\r\n.x\r\n"),
    "yes8@ok.test": mail("blank end", sender="news@shop.test", body="x \t \r\n\r\n\r\n"),
    "yes9@ok.test": b"From: news@shop.test\nSubject: neither Date nor Message-ID nor To\n\nx\n",
    "yes10@ok.test": mail(
        "long header",
        sender="news@shop.test",
        headers=["X-Long: " + "y" * 3000, "X-Folded: a\r\n b\r\n\tc"],
    ),
    "yes11@ok.test": mail("grüße ✓", sender="news@shop.test", body="grüße\r\n"),
    "yes12@ok.test": mail("empty body", sender="news@shop.test", body=""),
    "yes13@ok.test": mail(
        "html",
        sender="news@shop.test",
        headers=["MIME-Version: 1.0", "Content-Type: text/html; charset=utf-8"],
        body="<p>" + "<b>a</b>" * 400 + "</p>",
    ),
}


async def test_the_signature_holds_behind_postfix(relay: Relay, sink: SmtpSink) -> None:
    records = relay.dkim_records("shop")
    for recipient, content in CONTENTS.items():
        reply = await send_mail(
            relay.smtp_port,
            "news@shop.test",
            [recipient],
            content,
            login=relay.secrets["shop-news"],
        )
        assert reply.code == 250, f"{recipient}: {reply}"
    for recipient in CONTENTS:
        copy = sink.wait_to(recipient)
        assert "(Postfix)" in copy.fields("Received")[0]
        assert "by relay.test" in copy.fields("Received")[1]
        assert dkimpy_verifies(copy.content, records), copy.get("Subject")
        if mailauth_missing() is None:
            results = [one["result"] for one in mailauth_verify(copy.content, records)]
            assert results == ["pass"], copy.get("Subject")


async def test_what_postfix_refuses_is_reported_and_the_rest_goes_on(
    relay: Relay, sink: SmtpSink
) -> None:
    reply = await send_mail(
        relay.smtp_port,
        "office@shop.test",
        ["fine@ok.test", "nobody@[127.0.0.1]"],
        mail("partly refused", headers=["X-Consent-List: receipts"]),
        login=relay.secrets["shop"],
    )
    assert reply.code == 250, str(reply)
    sink.wait_to("fine@ok.test")
    eventually(lambda: relay.lines(r"to=<nobody@\[127\.0\.0\.1\]>.*status="), "its fate")
    eventually(lambda: relay.json("spool", "list") == [], "the spool to empty")


async def test_connections_are_used_again_and_commands_pipelined(
    relay: Relay, postfix: Postfix
) -> None:
    before = len(re.findall(r"connect from", postfix.read_log()))
    for number in range(20):
        reply = await send_mail(
            relay.smtp_port,
            "office@shop.test",
            [f"many{number}@ok.test"],
            mail("many", headers=["X-Consent-List: receipts"]),
            login=relay.secrets["shop"],
        )
        assert reply.code == 250
    eventually(lambda: len(relay.lines(r"to=<many\d+@.*status=sent")) == 20, "20 receipts")
    assert len(re.findall(r"connect from", postfix.read_log())) - before < 40
    assert "improper command pipelining" not in postfix.read_log()
