"""Clients that people have: swaks and Python's smtplib, unchanged."""

import shutil
import smtplib
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from tests.support.relay_process import Relay
from tests.support.smtp_sink import SinkThread, SmtpSink


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    """The upstream."""
    with SinkThread() as thread:
        yield thread.sink


@pytest.fixture(scope="module")
def relay(
    template: Relay, sink: SmtpSink, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Relay]:
    """One relay for all clients."""
    directory = tmp_path_factory.mktemp("clients") / "relay"
    with Relay(directory, sink.port, template=template) as running:
        yield running


def message(recipient: str) -> EmailMessage:
    """A letter as Python writes it."""
    written = EmailMessage()
    written["From"] = "The office <office@shop.test>"
    written["To"] = recipient
    written["Subject"] = "Grüße"
    written.set_content("Hello\n.\nfrom Python\n")
    return written


def test_smtplib_sends_a_letter(relay: Relay, sink: SmtpSink) -> None:
    with smtplib.SMTP("127.0.0.1", relay.smtp_port, timeout=20) as client:
        client.login(*relay.secrets["shop"])
        assert client.send_message(message("py1@ok.test")) == {}
        client.rset()
        assert client.send_message(message("py2@ok.test")) == {}
        assert client.has_extn("pipelining")
        assert client.has_extn("size")
        assert client.has_extn("8bitmime")
        assert client.has_extn("smtputf8")
        assert client.has_extn("enhancedstatuscodes")
        assert not client.has_extn("chunking")
        assert not client.has_extn("dsn")
    assert sink.wait_to("py1@ok.test").body.endswith(b"Hello\r\n.\r\nfrom Python\r\n")
    sink.wait_to("py2@ok.test")


def test_smtplib_hears_a_refusal_as_a_refusal(relay: Relay) -> None:
    with smtplib.SMTP("127.0.0.1", relay.smtp_port, timeout=20) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("shop", "wrong")
        client.login(*relay.secrets["shop"])
        refused = message("no1@ok.test")
        refused["X-Consent-List"] = "strict"
        with pytest.raises(smtplib.SMTPDataError, match="no-consent"):
            client.send_message(refused)


SWAKS = shutil.which("swaks")


@pytest.mark.skipif(SWAKS is None, reason="swaks is not installed")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_logs_in_and_sends(mechanism: str, relay: Relay, sink: SmtpSink) -> None:
    username, secret = relay.secrets["shop"]
    recipient = f"swaks-{mechanism.lower()}@ok.test"
    done = subprocess.run(
        [
            *("swaks", "--server", f"127.0.0.1:{relay.smtp_port}", "--pipeline"),
            *("--from", "office@shop.test", "--to", recipient),
            *("--auth", mechanism, "--auth-user", username, "--auth-password", secret),
            *("--header", "X-Consent-List: receipts"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "250 2.0.0 Ok:" in done.stdout
    assert sink.wait_to(recipient).mail_from == "office@shop.test"


@pytest.mark.skipif(SWAKS is None, reason="swaks is not installed")
def test_swaks_without_a_login_gets_nowhere(relay: Relay) -> None:
    done = subprocess.run(
        [
            "swaks",
            "--server",
            f"127.0.0.1:{relay.smtp_port}",
            "--from",
            "office@shop.test",
            "--to",
            "stranger@ok.test",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode != 0
    assert "530 5.7.0" in done.stdout
