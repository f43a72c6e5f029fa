"""Held mail: seen, released under a kind that a person sets, deleted."""

from tests.support.eventually import eventually
from tests.support.house import mail
from tests.support.relay_process import Relay
from tests.support.smtp_client import send_mail
from tests.support.smtp_sink import SinkThread


async def hold(relay: Relay, recipient: str, subject: str, *headers: str) -> str:
    """Have a mail to ``recipient`` held; the id of the copy."""
    reply = await send_mail(
        relay.smtp_port,
        "office@shop.test",
        [recipient],
        mail(subject, to=recipient, headers=headers or ["X-Consent-List: news"]),
        login=relay.secrets["shop"],
    )
    assert reply.counts == {"held": 1}, str(reply)
    (row,) = (row for row in relay.json("quarantine", "list") if row["subject"] == subject)
    found: str = row["id"]
    return found


async def test_the_list_says_who_what_and_why(relay: Relay) -> None:
    copy = await hold(relay, "q1@ok.test", "held one")
    (row,) = relay.json("quarantine", "list", "--tenant", "shop", "--reason", "no-consent")
    assert {key: row[key] for key in ("id", "tenant", "list", "to", "subject", "reason")} == {
        "id": copy,
        "tenant": "shop",
        "list": "news",
        "to": "q1@ok.test",
        "subject": "held one",
        "reason": "no-consent",
    }
    assert relay.json("quarantine", "list", "--reason", "withdrawn") == []
    assert "held one" in relay.run("quarantine", "show", copy).stdout
    relay.run("quarantine", "show", "nonsense.1", code=1)


async def test_released_as_personal_it_is_delivered(relay: Relay, upstream: SinkThread) -> None:
    copy = await hold(relay, "q2@ok.test", "held two")
    relay.run("quarantine", "release", copy, "--kind", "personal", "--reason", "a letter")
    assert upstream.sink.wait_to("q2@ok.test").get("Subject") == "held two"
    assert relay.json("quarantine", "list", "--tenant", "shop") == []
    relay.run("quarantine", "release", copy, "--kind", "personal", "--reason", "again", code=1)


async def test_released_without_a_kind_it_is_judged_again(
    relay: Relay, upstream: SinkThread
) -> None:
    copy = await hold(relay, "q3@ok.test", "held three")
    relay.run("quarantine", "release", copy, code=None)
    assert [row["id"] for row in relay.json("quarantine", "list")] == [copy]
    relay.add_consents("shop", "news", ["q3@ok.test"])
    relay.run("quarantine", "release", copy)
    released = upstream.sink.wait_to("q3@ok.test")
    assert released.fields("List-Unsubscribe")


async def test_never_past_an_opt_out_as_commercial_mail(relay: Relay, upstream: SinkThread) -> None:
    unlabelled = ("List-Unsubscribe: <https://shop.test/u>",)
    copy = await hold(relay, "left5@ok.test", "held four", *unlabelled)
    relay.run("quarantine", "release", copy, code=None)
    assert [row["id"] for row in relay.json("quarantine", "list")] == [copy]
    assert upstream.sink.to("left5@ok.test") == []


async def test_deleted_is_gone(relay: Relay, upstream: SinkThread) -> None:
    copy = await hold(relay, "q5@ok.test", "held five")
    relay.run("quarantine", "delete", copy)
    assert relay.json("quarantine", "list", "--tenant", "shop") == []
    relay.run("quarantine", "delete", copy, code=1)


async def test_the_tenant_hears_of_the_first_hold_of_the_day(
    relay: Relay, upstream: SinkThread
) -> None:
    await hold(relay, "q6@ok.test", "held six")
    notice = upstream.sink.wait_to("owner@shop.test")
    assert notice.mail_from == ""
    assert notice.get("Auto-Submitted") == "auto-generated"
    assert b"held six" in notice.content
    await hold(relay, "q7@ok.test", "held seven")
    eventually(lambda: relay.json("spool", "list") == [], "the spool to empty")
    assert len(upstream.sink.to("owner@shop.test")) == 1


async def test_held_mail_survives_a_restart(relay: Relay, upstream: SinkThread) -> None:
    copy = await hold(relay, "q8@ok.test", "held eight")
    assert relay.stop() == 0
    # the command line works without the daemon too
    assert [row["id"] for row in relay.json("quarantine", "list")] == [copy]
    relay.start()
    relay.run("quarantine", "release", copy, "--kind", "personal", "--reason", "a letter")
    upstream.sink.wait_to("q8@ok.test")
