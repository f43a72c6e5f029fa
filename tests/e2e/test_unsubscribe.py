"""An opt-out is in force before its 200, for new mail and for mail that waits."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.e2e.conftest import MakeRelay
from tests.support.eventually import eventually
from tests.support.house import mail
from tests.support.receiver import Receiver
from tests.support.relay_process import Relay
from tests.support.smtp_client import Reply, send_mail
from tests.support.smtp_sink import SinkThread, SmtpSink

ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def newsletter(
    relay: Relay, recipients: list[str], subject: str = "newsletter", headers: tuple[str, ...] = ()
) -> Reply:
    return await send_mail(
        relay.smtp_port,
        "news@shop.test",
        recipients,
        mail(subject, sender="news@shop.test", to=recipients[0], headers=headers),
        login=relay.secrets["shop-news"],
    )


async def on_list(relay: Relay, slug: str, person: str) -> Reply:
    return await send_mail(
        relay.smtp_port,
        "office@shop.test",
        [person],
        mail(slug, headers=[f"X-Consent-List: {slug}"]),
        login=relay.secrets["shop"],
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


async def test_one_consent_for_the_parent_takes_one_opt_out(
    relay: Relay, upstream: SinkThread
) -> None:
    """Three lists under one consent, one click (clause B21); a password reset still arrives."""
    person = "parent@ok.test"
    for slug in ("one", "two", "three"):
        relay.add_list("shop", slug, "commercial", "--scope", "tenant")
    relay.add_consents("shop", "one", [person])
    for slug in ("one", "two", "three"):
        assert (await on_list(relay, slug, person)).counts == {"sent": 1}
    found = re.search(
        r"<https?://[^/]+(/u/[^>]+)>", upstream.sink.wait_to(person).get("List-Unsubscribe") or ""
    )
    assert found is not None
    assert relay.http(found[1], body=ONE_CLICK, headers=FORM)[0] == 200
    for slug in ("one", "two", "three"):
        assert (await on_list(relay, slug, person)).counts == {"dropped": 1}
    assert (await on_list(relay, "receipts", person)).counts == {"sent": 1}
    assert relay.metric("relay_optouts_total", channel="one-click", tenant="shop") == 1
    assert relay.metric("relay_optout_to_block_seconds_count") == 1


async def test_the_wider_stop_is_there_as_second_choice(relay: Relay, upstream: SinkThread) -> None:
    person = "wider@ok.test"
    relay.add_consents("shop", "news", [person])
    relay.add_consents("shop", "sale", [person])
    link = await link_of(relay, upstream.sink, person)
    assert relay.http(link, body=ONE_CLICK, headers=FORM)[0] == 200
    assert (await newsletter(relay, [person])).counts == {"dropped": 1}
    assert (await on_list(relay, "sale", person)).counts == {"sent": 1}
    assert relay.http(link, body=b"confirm=1&scope=tenant", headers=FORM)[0] == 200
    assert (await on_list(relay, "sale", person)).counts == {"dropped": 1}


async def test_held_mail_does_not_leave_after_an_opt_out(
    relay: Relay, upstream: SinkThread
) -> None:
    person = "held@ok.test"
    assert (await newsletter(relay, [person])).counts == {"held": 1}
    (held,) = relay.json("quarantine", "list")
    relay.run("consent", "withdraw", person, "--tenant", "shop")
    relay.run("quarantine", "release", held["id"], code=None)
    relay.add_consents("shop", "news", [person])
    relay.run("quarantine", "release", held["id"], code=None)
    assert relay.json("spool", "list") == []
    assert upstream.sink.to(person) == []
    assert relay.metric("relay_sent_after_optout_total") == 0


@pytest.fixture
def software(tmp_path: Path) -> Iterator[Receiver]:
    """The sender's software, over https; ``ca.pem`` in ``tmp_path`` trusts it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Receiver(authority) as running:
        yield running


async def test_the_senders_software_is_told_also_after_a_kill(
    make_relay: MakeRelay, upstream: SinkThread, software: Receiver, tmp_path: Path
) -> None:
    relay = make_relay(
        upstream.sink.port,
        {"outbound.allow_networks": ["127.0.0.0/8"]},
        environment={"SSL_CERT_FILE": str(tmp_path / "ca.pem")},
    ).start()
    hook = json.loads(relay.run("webhook", "add", "shop", software.url + "hook", "--json").stdout)
    person = "told@ok.test"
    relay.add_consents("shop", "news", [person])
    own = f"{software.url}out?t=senders-secret"
    fields = (f"List-Unsubscribe: <{own}>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    assert (await newsletter(relay, [person], headers=fields)).counts == {"sent": 1}
    left = upstream.sink.wait_to(person).get("List-Unsubscribe") or ""
    assert "senders-secret" not in left
    found = re.search(r"<https?://[^/]+(/u/[^>]+)>", left)
    assert found is not None
    software.status = 503
    assert relay.http(found[1], body=ONE_CLICK, headers=FORM)[0] == 200
    relay.kill()
    software.status = 204
    relay.start()

    eventually(
        lambda: len({call.path for call in software.calls}) == 2,
        "webhook and one-click address to be called",
    )
    by_path = {call.path: call for call in software.calls}
    assert by_path["/out?t=senders-secret"].body == b"List-Unsubscribe=One-Click"
    said = json.loads(by_path["/hook"].body)
    assert (said["type"], said["channel"], said["address"]) == ("optout", "one-click", person)
    eventually(
        lambda: relay.metric("relay_webhooks_waiting", tenant="shop") == 0,
        "nothing to wait any more",
        within=30,
    )
    assert relay.json("webhook", "dead", "shop") == []
    spoken = "\n".join(relay.stderr)
    assert "senders-secret" not in spoken
    assert hook["secret"] not in spoken


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
