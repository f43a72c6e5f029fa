"""What survives: a kill right after the answer, an older backup, an erasure and a new import."""

from __future__ import annotations

import email
import email.policy
import json
import re
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeRelay
from tests.support.eventually import eventually
from tests.support.house import CONSENTED, mail
from tests.support.relay_process import Relay, http
from tests.support.residue import traces
from tests.support.smtp_client import Reply, send_mail
from tests.support.smtp_sink import SinkThread

ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
SETTINGS = {
    "opt_in.mails_per_address_and_tenant": 9,
    "opt_in.addresses_per_network": 99,
    "opt_in.automated_seconds": 0.0,
}


@pytest.fixture
def relay(make_relay: MakeRelay, upstream: SinkThread) -> Relay:
    return make_relay(upstream.sink.port, SETTINGS).start()


async def news(relay: Relay, *to: str, slug: str = "news") -> Reply:
    return await send_mail(
        relay.smtp_port,
        "office@shop.test",
        list(to),
        mail("news", headers=[f"X-Consent-List: {slug}"]),
        login=relay.secrets["shop"],
    )


def sign_up(relay: Relay, upstream: SinkThread, to: str) -> str:
    """The path of the link that the confirmation mail brings."""
    page = relay.http("/s/shop/news", headers=FIREFOX)[1]
    notice = re.search(r'name="notice" value="(\d+)"', page)
    assert notice is not None
    known = len(upstream.sink.to(to))
    body = f"notice={notice[1]}&agree=yes&address={to}".encode()
    assert relay.http("/s/shop/news", body=body, headers={**FORM, **FIREFOX})[0] == 200
    eventually(lambda: len(upstream.sink.to(to)) > known, "the confirmation mail")
    letter = email.message_from_bytes(upstream.sink.to(to)[-1].content, policy=email.policy.default)
    text = letter.get_body(("plain",))
    assert text is not None
    found = re.search(r"/c/[A-Za-z0-9._-]+", text.get_content())
    assert found is not None
    return found[0]


def press(relay: Relay, path: str) -> int:
    """Look, then the button."""
    relay.http(path, headers=FIREFOX)
    return relay.http(path, body=b"confirm=1", headers={**FORM, **FIREFOX})[0]


def unsubscribe_path(upstream: SinkThread, to: str) -> str:
    def links() -> list[str]:
        fields = [one.get("List-Unsubscribe") or "" for one in upstream.sink.to(to)]
        return [found[1] for text in fields if (found := re.search(r"<[^>]*(/u/[^>]+)>", text))]

    return eventually(links, f"a newsletter to {to}")[-1]


def killed(relay: Relay) -> None:
    """``kill -9`` now, and a new start."""
    relay.kill()
    relay.start()


async def test_what_was_answered_with_200_survives_a_kill(
    relay: Relay, upstream: SinkThread
) -> None:
    anna, ben = "anna@ok.test", CONSENTED[0]
    key = relay.json("apikey", "add", "shop", "crm")["key"]
    link = sign_up(relay, upstream, anna)
    relay.http(link, headers=FIREFOX)
    assert relay.http(link, body=b"confirm=1", headers={**FORM, **FIREFOX})[0] == 200
    killed(relay)
    assert (await news(relay, anna, ben)).counts == {"sent": 2}

    link = unsubscribe_path(upstream, anna)
    assert relay.http(link, body=ONE_CLICK, headers=FORM)[0] == 200
    killed(relay)
    assert (await news(relay, anna, ben)).counts == {"sent": 1, "dropped": 1}

    url = f"http://127.0.0.1:{relay.admin_port}/api/v1/optouts"
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    assert http(url, body=json.dumps({"address": ben}).encode(), headers=headers)[0] == 200
    killed(relay)
    assert (await news(relay, anna, ben)).counts == {"dropped": 2}
    assert (await news(relay, anna, slug="receipts")).counts == {"sent": 1}
    relay.run("ledger", "verify")


async def test_an_older_backup_brings_nobody_back_who_left(
    relay: Relay, upstream: SinkThread, tmp_path: Path
) -> None:
    stays, leaves, asked, later = (f"{name}@ok.test" for name in ("stays", "leaves", "asks", "new"))
    gone = "quentin.gone@ok.test"
    for person in (stays, leaves, gone):
        assert press(relay, sign_up(relay, upstream, person)) == 200
    assert (await news(relay, stays, leaves, gone)).counts == {"sent": 3}
    link = unsubscribe_path(upstream, leaves)
    open_before = sign_up(relay, upstream, asked)
    backup = tmp_path / "backup.tar"
    relay.run("backup", str(backup))

    assert relay.http(link, body=ONE_CLICK, headers=FORM)[0] == 200
    relay.run("consent", "withdraw", asked, "--tenant", "shop")
    open_after = sign_up(relay, upstream, later)
    relay.run("consent", "erase", gone)
    assert relay.stop() == 0
    done = relay.json("restore", str(backup))
    # The opt-outs of two persons, and the one that went before the erasure.
    assert done["replayed"] == 3
    relay.start()

    counts = (await news(relay, stays, leaves, asked, later, gone)).counts
    assert counts == {"sent": 1, "dropped": 3, "held": 1}
    for dead in (open_before, open_after):
        assert press(relay, dead) == 404
    relay.add_consents("shop", "news", [leaves, asked, gone])
    assert (await news(relay, leaves, asked, gone)).counts == {"dropped": 3}
    assert (await news(relay, leaves, slug="receipts")).counts == {"sent": 1}
    verified = relay.json("ledger", "verify")
    assert verified["ok"]
    assert "shop" in [one["tenant"] for one in verified["discontinuities"]]
    # The link of before the restore goes on working, and so does coming back.
    assert relay.http(link, body=ONE_CLICK, headers=FORM)[0] == 200
    assert press(relay, sign_up(relay, upstream, leaves)) == 200
    assert (await news(relay, leaves)).counts == {"sent": 1}


async def test_after_an_erasure_neither_import_nor_new_list_brings_anybody_back(
    relay: Relay, upstream: SinkThread
) -> None:
    person = "quentin.erased@ok.test"
    assert press(relay, sign_up(relay, upstream, person)) == 200
    assert (await news(relay, person)).counts == {"sent": 1}
    link = unsubscribe_path(upstream, person)
    relay.run("consent", "erase", person)
    data = relay.directory / "data"
    assert traces(data, "quentin.erased") == {}
    relay.run("list", "archive", "shop", "news")
    relay.add_list("shop", "news2")
    relay.add_consents("shop", "news2", [person])
    assert traces(data, "quentin.erased") == {}
    assert (await news(relay, person, slug="news2")).counts == {"dropped": 1}
    relay.run("consent", "erase", person)
    assert traces(data, "quentin.erased") == {}
    # The link in the old mail shows nothing of the person, and stops nothing anew.
    status, page = relay.http(link)
    assert (status, "quentin" in page) == (200, False)
    assert relay.http(link, body=ONE_CLICK, headers=FORM)[0] == 200
    relay.run("ledger", "verify")
