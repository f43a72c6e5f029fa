"""Clients that people use, unchanged."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
from email.message import EmailMessage

import pytest

from relay.settings import Listener
from tests.dialogs.door import SECRET, USERNAME, RecordingDoor, content_of, running
from tests.unit.smtp.certificates import Certificates

STARTTLS = (Listener(address="127.0.0.1:0", tls="starttls"),)


def letter() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@x.test", "b@y.test", "Grüße"
    message.set_content(".dot\n\nx\n.\n")
    return message


async def test_smtplib(certificates: Certificates) -> None:
    def send(host: str, port: int) -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP(host, port) as client:
            client._host = "localhost"  # type: ignore[attr-defined]
            client.starttls(context=certificates.context)
            client.login(USERNAME, SECRET)
            client.send_message(letter())
            return client.send_message(letter(), to_addrs=["c@y.test", "d@y.test"])

    door = RecordingDoor(network=None)
    async with running(door, listeners=STARTTLS, **certificates.settings) as server:
        assert await asyncio.to_thread(send, *server.address) == {}
    first, second = door.submissions
    assert b"\r\n.dot\r\n\r\nx\r\n.\r\n" in content_of(first)
    assert [one.wire for one in second.recipients] == ["c@y.test", "d@y.test"]
    assert first.client.authenticated


@pytest.mark.skipif(shutil.which("swaks") is None, reason="swaks is not installed")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_swaks(mechanism: str) -> None:
    door = RecordingDoor(network=None)
    async with running(door) as server:
        host, port = server.address
        swaks = await asyncio.create_subprocess_exec(
            *("swaks", "--server", host, "--port", str(port), "--pipeline"),
            *("--auth", mechanism, "--auth-user", USERNAME, "--auth-password", SECRET),
            *("--from", "a@x.test", "--to", "b@y.test,c@y.test", "--body", ".dot"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await swaks.communicate()
        assert swaks.returncode == 0, output.decode(errors="replace")
    (came,) = door.submissions
    assert [one.wire for one in came.recipients] == ["b@y.test", "c@y.test"]
    assert b"\r\n.dot\r\n" in content_of(came)
