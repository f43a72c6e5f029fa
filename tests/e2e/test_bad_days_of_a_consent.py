"""The bad days of a consent: killed or locked out between two of its steps."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import re
import signal
import sqlite3
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.store.backup import SNAPSHOTS
from tests.e2e.conftest import MakeRelay
from tests.support.eventually import eventually
from tests.support.house import CONSENTED, mail
from tests.support.relay_process import COMMAND, Relay
from tests.support.smtp_client import Reply, send_mail
from tests.support.smtp_sink import SinkThread

ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
SETTINGS = {"opt_in.addresses_per_network": 99, "opt_in.automated_seconds": 0.0}


async def news(relay: Relay, *to: str) -> Reply:
    return await send_mail(
        relay.smtp_port,
        "office@shop.test",
        list(to),
        mail("news", headers=["X-Consent-List: news"]),
        login=relay.secrets["shop"],
    )


def form_of(relay: Relay, to: str) -> bytes:
    page = relay.http("/s/shop/news", headers=FIREFOX)[1]
    notice = re.search(r'name="notice" value="(\d+)"', page)
    assert notice is not None
    return f"notice={notice[1]}&agree=yes&address={to}".encode()


def link_in(upstream: SinkThread, to: str) -> str:
    eventually(lambda: upstream.sink.to(to), "the confirmation mail")
    letter = email.message_from_bytes(upstream.sink.to(to)[-1].content, policy=email.policy.default)
    text = letter.get_body(("plain",))
    assert text is not None
    found = re.search(r"/c/[A-Za-z0-9._-]+", text.get_content())
    assert found is not None
    return found[0]


@contextmanager
def locked(relay: Relay) -> Iterator[None]:
    """Another process holds the store's lock."""
    other = sqlite3.connect(relay.directory / "data" / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


def posted(relay: Relay, path: str, body: bytes) -> tuple[int, str | None]:
    """Status and ``Retry-After`` of a POST to a public page."""
    request = urllib.request.Request(relay.public_url + path, body, {**FORM, **FIREFOX})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Retry-After"]


def begun(relay: Relay, *command: str) -> subprocess.Popen[bytes]:
    """A command that goes on while the test does."""
    return subprocess.Popen(
        [*COMMAND, "--config", str(relay.config), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=relay.environment,
    )


async def test_a_kill_between_the_form_and_its_mail_costs_neither_mail_nor_link(
    make_relay: MakeRelay, upstream: SinkThread
) -> None:
    relay = make_relay(upstream.sink.port, SETTINGS).start()
    anna = "anna.killed@ok.test"
    upstream.deaf()
    assert (
        relay.http("/s/shop/news", body=form_of(relay, anna), headers={**FORM, **FIREFOX})[0] == 200
    )
    relay.kill()
    upstream.listen()
    relay.start()
    link = link_in(upstream, anna)
    relay.http(link, headers=FIREFOX)
    assert relay.http(link, body=b"confirm=1", headers={**FORM, **FIREFOX})[0] == 200
    assert (await news(relay, anna)).counts == {"sent": 1}
    letters = [one for one in upstream.sink.to(anna) if one.get("Auto-Submitted")]
    assert len(letters) == 1
    relay.run("ledger", "verify")


async def test_a_locked_store_is_503_on_every_page_that_records_and_loses_nothing(
    make_relay: MakeRelay, upstream: SinkThread
) -> None:
    relay = make_relay(upstream.sink.port, {**SETTINGS, "store.wait": 0.5}).start()
    anna, ben = "anna.locked@ok.test", CONSENTED[0]
    assert (
        relay.http("/s/shop/news", body=form_of(relay, anna), headers={**FORM, **FIREFOX})[0] == 200
    )
    link = link_in(upstream, anna)
    relay.http(link, headers=FIREFOX)
    assert (await news(relay, ben)).counts == {"sent": 1}
    field = upstream.sink.wait_to(ben).get("List-Unsubscribe") or ""
    found = re.search(r"/u/[^>]+", field)
    assert found is not None
    leave = found[0]
    another = form_of(relay, "carla.locked@ok.test")
    with locked(relay):
        answers = {
            path: await asyncio.to_thread(posted, relay, path, body)
            for path, body in (
                ("/s/shop/news", another),
                (link, b"confirm=1"),
                (leave, ONE_CLICK),
            )
        }
    assert {status for status, _ in answers.values()} == {503}, answers
    assert all(after and after.isdigit() for _, after in answers.values()), answers
    assert posted(relay, "/s/shop/news", another)[0] == 200
    assert posted(relay, link, b"confirm=1")[0] == 200
    assert posted(relay, leave, ONE_CLICK)[0] == 200
    assert (await news(relay, anna, ben)).counts == {"sent": 1, "dropped": 1}
    link_in(upstream, "carla.locked@ok.test")


async def test_a_short_lock_is_waited_for_by_who_leaves(relay: Relay, upstream: SinkThread) -> None:
    ben = CONSENTED[1]
    assert (await news(relay, ben)).counts == {"sent": 1}
    found = re.search(r"/u/[^>]+", upstream.sink.wait_to(ben).get("List-Unsubscribe") or "")
    assert found is not None
    other = sqlite3.connect(
        relay.directory / "data" / "store.db", isolation_level=None, check_same_thread=False
    )
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(2, other.rollback)
    release.start()
    try:
        status, _ = await asyncio.to_thread(posted, relay, found[0], ONE_CLICK)
    finally:
        release.join()
        other.close()
    assert status == 200
    assert (await news(relay, ben)).counts == {"dropped": 1}


@pytest.mark.parametrize("killed", ["daemon", "shell"])
async def test_a_kill_amid_an_import_leaves_nothing_of_it_and_it_can_be_repeated(
    relay: Relay, tmp_path: Path, killed: str
) -> None:
    people = [f"half{number}@ok.test" for number in range(20_000)]
    file = tmp_path / "people.csv"
    rows = "".join(f"{one},approved,2026-01-02T03:04:05Z\n" for one in people)
    file.write_text("address,basis,collected_at\n" + rows, "utf-8")
    command = ("consent", "import", "shop", "news", str(file), "--source", "shop")
    shell = begun(relay, *command)
    store = sqlite3.connect(f"file:{relay.directory}/data/store.db?mode=ro", uri=True)

    def staged() -> int:
        look = "SELECT count(*) FROM import_rows r JOIN imports i ON i.id = r.import_id"
        return int(store.execute(f"{look} WHERE i.committed = 0").fetchone()[0])

    eventually(staged, "rows of the import")
    if killed == "daemon":
        relay.kill()
        assert shell.wait(60) != 0
        relay.start()
    else:
        os.kill(shell.pid, signal.SIGKILL)
        shell.wait()
        relay.kill()
        relay.start()
    assert (await news(relay, people[0])).counts == {"held": 1}
    eventually(lambda: staged() == 0, "what was staged to be cleared", 60)
    store.close()
    assert relay.run(*command).returncode == 0
    assert (await news(relay, people[0], people[-1])).counts == {"sent": 2}
    relay.run("ledger", "verify")


async def test_a_kill_amid_an_erasure_or_a_backup_leaves_one_that_can_be_repeated(
    relay: Relay, tmp_path: Path
) -> None:
    gone = CONSENTED[2]
    erasing = begun(relay, "consent", "erase", gone)
    journal = relay.directory / "data" / "optouts.jsonl"
    eventually(lambda: '"erasure"' in journal.read_text(), "the erasure to be in the journal")
    relay.kill()
    erasing.wait(60)
    relay.start()
    relay.run("consent", "erase", gone)
    relay.add_consents("shop", "news", [gone])
    assert (await news(relay, gone)).counts == {"dropped": 1}

    snapshots = relay.directory / "data" / SNAPSHOTS
    backup = tmp_path / "backup.tar"
    saving = begun(relay, "backup", str(backup))
    eventually(lambda: any(snapshots.glob("**/*")) or backup.exists(), "the backup to begin")
    relay.kill()
    saving.wait(60)
    relay.start()
    assert not any(snapshots.glob("**/*")), "a copy of everything was left behind"
    backup.unlink(missing_ok=True)
    relay.run("backup", str(backup))
    relay.run("ledger", "verify")
