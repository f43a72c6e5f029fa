"""A person who is erased stands in no file of a running relay, and gets no mail (S19)."""

from __future__ import annotations

import email
import email.policy
import re
import time
import urllib.parse
from pathlib import Path

from tests.e2e.conftest import MakeRelay
from tests.support.eventually import eventually
from tests.support.house import mail
from tests.support.relay_process import Relay
from tests.support.residue import traces
from tests.support.smtp_client import Reply, send_mail
from tests.support.smtp_sink import SinkThread, SmtpSink

JANE = "Jane.Quixotic@ok.test"
TEXTS = ("jane.quixotic@ok.test", "jane.quixotic+shop@ok.test", "jane.quixotic")
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
READING = 0.7
"""Seconds that a person looks at the page; whoever is quicker looks like a machine (A4)."""
LARGE = "Dear jane.quixotic@ok.test, this is long.\r\n" * 8_000


async def send(
    relay: Relay, *to: str, header: str, body: str = "One line.\r\n", subject: str = "Hello"
) -> Reply:
    return await send_mail(
        relay.smtp_port,
        "office@shop.test",
        list(to),
        mail(subject, to=to[0], headers=[header], body=body),
        login=relay.secrets["shop"],
    )


def take(relay: Relay, file: Path, *addresses: str) -> dict[str, int]:
    """Import consents with evidence that names the person once more."""
    rows = "".join(f"{a},approved,2026-01-02,https://shop.test/?mail={a}\n" for a in addresses)
    file.write_text("address,basis,collected_at,form_url\n" + rows)
    done: dict[str, int] = relay.json(
        *("consent", "import", "shop", "news", str(file), "--source", "shop")
    )
    return done


def sign_up_again(relay: Relay, sink: SmtpSink) -> None:
    """The form, the mail, the button: the person's own act."""
    page = relay.http("/s/shop/news")[1]
    notice = re.search(r'name="notice" value="(\d+)"', page)
    assert notice is not None
    form = {"notice": notice[1], "address": JANE, "agree": "yes"}
    assert post(relay, "/s/shop/news", form) == 200
    eventually(lambda: len(sink.to(JANE)) == 2, "the confirmation mail")
    letter = email.message_from_bytes(sink.to(JANE)[1].content, policy=email.policy.default)
    text = letter.get_body(("plain",))
    assert text is not None
    link = re.search(r"/c/[A-Za-z0-9._-]+", text.get_content())
    assert link is not None
    assert relay.http(link[0], headers=BROWSER)[0] == 200
    time.sleep(READING)
    assert post(relay, link[0], {"confirm": "1"}) == 200


def post(relay: Relay, path: str, form: dict[str, str]) -> int:
    headers = {**BROWSER, "Content-Type": "application/x-www-form-urlencoded"}
    return relay.http(path, body=urllib.parse.urlencode(form).encode(), headers=headers)[0]


async def test_an_erased_person_is_in_no_file_and_gets_no_mail(
    make_relay: MakeRelay, upstream: SinkThread, tmp_path: Path
) -> None:
    news, receipts = "X-Consent-List: news", "X-Consent-List: receipts"
    relay = make_relay(upstream.sink.port, {"opt_in.automated_seconds": 0.0}).start()
    data = relay.directory / "data"
    assert take(relay, tmp_path / "a.csv", JANE, "jane.quixotic+shop@ok.test")["imported"] == 2
    # One that has left, one that is held, and two that wait, one of them large.
    assert (await send(relay, JANE, header=news)).counts == {"sent": 1}
    upstream.sink.wait_to(JANE)
    assert (await send(relay, JANE, header="X-Consent-List: sale")).counts == {"held": 1}
    upstream.sink.fault("RCPT", reply="451 4.7.1 later", match="uixotic")
    assert (await send(relay, JANE, header=receipts)).counts == {"sent": 1}
    assert (await send(relay, JANE, header=receipts, body=LARGE)).counts == {"sent": 1}
    eventually(lambda: len(relay.lines("status=deferred")) >= 2, "two deferred")
    before = traces(data, *TEXTS)
    assert {"store.db-wal"} < before.keys()
    assert any(name.startswith("bodies/") for name in before)

    done = relay.json("consent", "erase", JANE)
    assert traces(data, *TEXTS) == {}
    assert (done["opted_out"], done["overwritten"], done["found_in"]) == (1, True, [])
    assert done["remaining_messages"] == 0
    assert (relay.json("quarantine", "list"), relay.json("spool", "list")) == ([], [])

    upstream.sink.clear_faults()
    assert (await send(relay, JANE, header=news)).counts == {"dropped": 1}
    relay.run("ledger", "verify")
    again = take(relay, tmp_path / "b.csv", "jane.quixotic+shop@ok.test", "new@ok.test")
    assert (again["imported"], again["opted_out"]) == (2, 1)
    assert (await send(relay, JANE, "new@ok.test", header=news)).counts == {"sent": 1, "dropped": 1}
    # Each time that mail is tried, what is recorded of it goes with the next erasure.
    second = relay.json("consent", "erase", JANE)
    assert second["opted_out"] == 0
    upstream.sink.wait_to("new@ok.test")
    relay.run("ledger", "verify")
    sign_up_again(relay, upstream.sink)
    assert (await send(relay, JANE, header=news)).counts == {"sent": 1}
    eventually(lambda: len(upstream.sink.to(JANE)) == 3, "mail after the confirmation")
    relay.json("consent", "erase", JANE)
    assert (await send(relay, JANE, header=news)).counts == {"dropped": 1}
    relay.run("ledger", "verify")
    relay.json("consent", "erase", JANE)
    assert relay.stop() == 0
    assert traces(data, *TEXTS) == {}
    assert relay.json("consent", "erase", JANE)["events"] == []
