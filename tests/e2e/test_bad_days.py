"""The store's bad days: never a 250 that does not hold, never a lost opt-out."""

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeRelay
from tests.support.eventually import eventually
from tests.support.house import mail
from tests.support.relay_process import Relay
from tests.support.smtp_client import Reply, SmtpClient, send_mail
from tests.support.smtp_sink import SinkThread

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def receipt(relay: Relay, recipient: str, body: str = "One line.\r\n") -> Reply:
    return await send_mail(
        relay.smtp_port,
        "office@shop.test",
        [recipient],
        mail("receipt", headers=["X-Consent-List: receipts"], body=body),
        login=relay.secrets["shop"],
    )


async def links(relay: Relay, upstream: SinkThread, people: list[str]) -> list[str]:
    """Unsubscribe links of a newsletter delivered to ``people`` now."""
    reply = await send_mail(
        relay.smtp_port,
        "news@shop.test",
        people,
        mail("news", sender="news@shop.test"),
        login=relay.secrets["shop-news"],
    )
    assert reply.counts == {"sent": len(people)}, str(reply)
    found = []
    for person in people:
        field = upstream.sink.wait_to(person).get("List-Unsubscribe") or ""
        found.append(re.sub(r"^<https?://[^/]+|>$", "", field))
    return found


async def test_a_store_locked_by_another_for_ten_seconds_is_waited_for(
    relay: Relay, upstream: SinkThread
) -> None:
    other = sqlite3.connect(
        relay.directory / "data" / "store.db", isolation_level=None, check_same_thread=False
    )
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(10, other.rollback)
    release.start()
    try:
        replies = await asyncio.gather(*(receipt(relay, f"l{n}@ok.test") for n in range(10)))
    finally:
        release.join()
        other.close()
    assert [reply.code for reply in replies] == [250] * 10
    for number in range(10):
        upstream.sink.wait_to(f"l{number}@ok.test")
    assert len(upstream.sink.messages) == 10


async def test_a_store_locked_for_longer_is_451_and_nothing_is_kept(
    make_relay: MakeRelay, upstream: SinkThread
) -> None:
    relay = make_relay(upstream.sink.port, {"store.wait": 0.5}).start()
    other = sqlite3.connect(relay.directory / "data" / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    reply = await receipt(relay, "l@ok.test")
    assert (reply.code, reply.enhanced) == (451, "4.3.0")
    other.rollback()
    other.close()
    assert (await receipt(relay, "m@ok.test")).code == 250
    upstream.sink.wait_to("m@ok.test")
    assert upstream.sink.to("l@ok.test") == []


async def test_a_store_replaced_by_garbage_under_the_daemon(
    relay: Relay, upstream: SinkThread
) -> None:
    person = "leaving20@ok.test"
    (link,) = await links(relay, upstream, [person])
    store = relay.directory / "data" / "store.db"
    with store.open("r+b") as file:
        file.write(os.urandom(min(store.stat().st_size, 1 << 20)))
    reply = await receipt(relay, "g@ok.test")
    assert reply.code == 451, str(reply)
    assert relay.http(link, body=b"List-Unsubscribe=One-Click", headers=FORM)[0] == 503
    eventually(lambda: relay.http("/readyz")[0] == 503, "the relay to say that it is not ready")
    assert upstream.sink.to("g@ok.test") == []
    relay.kill()
    relay.start(wait=False)
    assert relay.wait() != 0
    assert relay.lines(r"store\.db")
    assert not relay.lines("Traceback")


async def test_too_little_room_is_452_at_mail_and_opt_outs_still_count(
    relay: Relay, upstream: SinkThread
) -> None:
    person = "leaving21@ok.test"
    (link,) = await links(relay, upstream, [person])
    assert relay.stop() == 0
    relay.configure({"store.min_free_bytes": 1 << 60})
    relay.start()
    async with SmtpClient(relay.smtp_port) as client:
        await client.hello()
        await client.login(*relay.secrets["shop"])
        reply = await client.command("MAIL FROM:<office@shop.test>")
        assert (reply.code, reply.enhanced) == (452, "4.3.1")
    assert relay.http(link, body=b"List-Unsubscribe=One-Click", headers=FORM)[0] == 200
    assert relay.stop() == 0
    assert "withdrawn" in relay.run("consent", "show", person).stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)],
            capture_output=True,
            text=True,
            check=False,
        )
        if shutil.which("mount") and os.geteuid() == 0
        else None
    )
    if mounted is None or mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_full_disk_refuses_mail_and_takes_a_thousand_opt_outs(
    small_disk: Path, template: Relay, upstream: SinkThread
) -> None:
    settings = {"store.min_free_bytes": 0, "delivery.retry": [3600]}
    with Relay(small_disk / "relay", upstream.sink.port, settings, template=template) as relay:
        people = [f"leaving{number}@ok.test" for number in range(30, 60)]
        found = await links(relay, upstream, people)
        upstream.deaf()
        taken, refused = 0, None
        while refused is None and taken < 200:
            reply = await receipt(relay, f"d{taken}@ok.test", "x" * 900 + "\r\n" * 1000)
            if reply.code == 250:
                taken += 1
            else:
                refused = reply
            fill = small_disk / "fill"
            with fill.open("ab") as file:
                try:
                    file.write(b"x" * 1_000_000)
                except OSError:
                    continue
        assert refused is not None
        assert refused.code == 452 or (refused.code, refused.enhanced) == (451, "4.3.0"), refused
        for link in found:
            status, _ = relay.http(link, body=b"List-Unsubscribe=One-Click", headers=FORM)
            assert status == 200
        (small_disk / "fill").unlink()
        relay.kill()
        relay.start()
        assert len(relay.json("spool", "list")) == taken
        upstream.listen()
        for person in people[:3]:
            assert "withdrawn" in relay.run("consent", "show", person).stdout
