"""An opt-out is in force before its 200, for new mail and for mail that waits."""

import re

import pytest

from tests.support.eventually import eventually
from tests.support.house import mail
from tests.support.relay_process import Relay
from tests.support.smtp_client import Reply, send_mail
from tests.support.smtp_sink import SinkThread, SmtpSink

ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def newsletter(relay: Relay, recipients: list[str], subject: str = "newsletter") -> Reply:
    return await send_mail(
        relay.smtp_port,
        "news@shop.test",
        recipients,
        mail(subject, sender="news@shop.test"),
        login=relay.secrets["shop-news"],
    )


async def link_of(relay: Relay, sink: SmtpSink, recipient: str) -> str:
    """The path of the unsubscribe link in a newsletter sent to ``recipient`` now."""
    assert (await newsletter(relay, [recipient])).counts == {"sent": 1}
    found = re.search(
        r"<https?://[^/]+(/u/[^>]+)>", sink.wait_to(recipient).get("List-Unsubscribe") or ""
    )
    assert found is not None
    return found[1]


async def test_one_click_and_the_next_mail_is_dropped_but_a_receipt_is_not(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    person = "leaving0@ok.test"
    link = await link_of(shared_relay, shared_sink, person)
    assert shared_relay.http(link, body=ONE_CLICK, headers=FORM)[0] == 200
    assert (await newsletter(shared_relay, [person])).counts == {"dropped": 1}
    receipt = await send_mail(
        shared_relay.smtp_port,
        "office@shop.test",
        [person],
        mail("reset", headers=["X-Consent-List: receipts"]),
        login=shared_relay.secrets["shop"],
    )
    assert receipt.counts == {"sent": 1}
    record = shared_relay.json("consent", "show", person)
    assert "withdrawn" in str(record) or "optout" in str(record)
    shared_relay.run("ledger", "verify", "--tenant", "shop")


async def test_looking_changes_nothing_and_the_button_does(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    person = "leaving1@ok.test"
    link = await link_of(shared_relay, shared_sink, person)
    for path in (link, link + "?List-Unsubscribe=One-Click", link + "?confirm=true"):
        status, page = shared_relay.http(path)
        assert status == 200
        assert page.count("<button") + page.count('type="submit"') >= 1
        assert person not in page, "the address is shown in clear"
    assert (await newsletter(shared_relay, [person])).counts == {"sent": 1}
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page))
    body = "&".join(f"{name}={value}" for name, value in fields.items()).encode() or ONE_CLICK
    assert shared_relay.http(link, body=body, headers=FORM)[0] == 200
    assert (await newsletter(shared_relay, [person])).counts == {"dropped": 1}


async def test_multipart_counts_and_doing_it_twice_is_the_same(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    person = "leaving2@ok.test"
    link = await link_of(shared_relay, shared_sink, person)
    disposition = b'Content-Disposition: form-data; name="List-Unsubscribe"'
    body = b"--b\r\n" + disposition + b"\r\n\r\nOne-Click\r\n--b--\r\n"
    multipart = {"Content-Type": "multipart/form-data; boundary=b"}
    for _ in range(3):
        assert shared_relay.http(link, body=body, headers=multipart)[0] == 200
    assert shared_relay.http(link)[0] == 200
    assert (await newsletter(shared_relay, [person])).counts == {"dropped": 1}


async def test_wrong_bodies_are_400_and_wrong_tokens_one_uniform_404(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    person = "leaving3@ok.test"
    link = await link_of(shared_relay, shared_sink, person)
    assert shared_relay.http(link, body=b"x=y", headers=FORM)[0] == 400
    assert (await newsletter(shared_relay, [person])).counts == {"sent": 1}
    middle = len(link) - 10
    other = "A" if link[middle] != "A" else "B"
    answers = {
        shared_relay.http(path, body=body, headers=FORM)
        for path in (link[:middle] + other + link[middle + 1 :], "/u/nonsense", "/u/v1.a.b.c")
        for body in (None, ONE_CLICK)
    }
    assert len(answers) == 1
    assert answers.pop()[0] == 404


async def test_a_copy_that_waits_is_stopped(relay: Relay, upstream: SinkThread) -> None:
    person, other = "leaving10@ok.test", "leaving11@ok.test"
    link = await link_of(relay, upstream.sink, person)
    upstream.deaf()
    reply = await newsletter(relay, [person, other], "while down")
    assert reply.code == 250
    eventually(lambda: relay.lines(r"status=deferred"), "a first attempt to fail")
    assert relay.http(link, body=ONE_CLICK, headers=FORM)[0] == 200
    upstream.listen()
    eventually(
        lambda: [one for one in upstream.sink.to(other) if one.get("Subject") == "while down"],
        "the copy of the one who stayed",
    )
    eventually(lambda: relay.json("spool", "list") == [], "nothing to wait any more")
    assert len(upstream.sink.to(person)) == 1
    assert relay.metric("relay_sent_after_optout_total") == 0
    assert [line for line in relay.lines(r"status=dropped") if person in line]


async def test_withdraw_at_the_shell_is_in_force_at_once(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    person = "leaving4@ok.test"
    assert (await newsletter(shared_relay, [person])).counts == {"sent": 1}
    shared_relay.run("consent", "withdraw", person, "--tenant", "shop")
    assert (await newsletter(shared_relay, [person])).counts == {"dropped": 1}


async def test_an_import_does_not_bring_back_who_left(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    person = "left9@ok.test"
    shared_relay.add_consents("shop", "news", [person])
    assert (await newsletter(shared_relay, [person])).counts == {"dropped": 1}


@pytest.mark.parametrize("reason", ["no-consent", "withdrawn", "foreign-sender", "rate"])
async def test_every_reason_is_explained_in_two_languages(shared_relay: Relay, reason: str) -> None:
    status, english = shared_relay.http(f"/why/{reason}", headers={"Accept-Language": "en"})
    assert (status, 'lang="en' in english) == (200, True)
    status, dutch = shared_relay.http(
        f"/why/{reason}", headers={"Accept-Language": "nl-NL,en;q=0.5"}
    )
    assert (status, 'lang="nl' in dutch) == (200, True)


async def test_health_is_told(shared_relay: Relay) -> None:
    assert shared_relay.http("/healthz")[0] == 200
    assert shared_relay.http("/readyz")[0] == 200
    assert shared_relay.http("/why/nonsense")[0] == 404
