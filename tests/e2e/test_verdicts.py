"""What a client is told, and what becomes of each recipient: the matrix of the contract."""

import re
from dataclasses import dataclass, field

import pytest

from tests.support.eventually import eventually
from tests.support.house import mail
from tests.support.relay_process import Relay
from tests.support.smtp_client import SmtpClient, send_mail
from tests.support.smtp_sink import SmtpSink

NEWSLETTER = (
    "List-Unsubscribe: <https://shop.test/u>",
    "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
)
REPORT = (
    'Content-Type: multipart/report; report-type=delivery-status; boundary="b"',
    "Auto-Submitted: auto-replied",
    "MIME-Version: 1.0",
)


@dataclass(frozen=True)
class Case:
    """One mail of ``login`` and what must come of it."""

    recipients: tuple[str, ...]
    sent: tuple[str, ...] = ()
    held: dict[str, str] = field(default_factory=dict)
    dropped: int = 0
    login: str = "shop"
    mail_from: str = "office@shop.test"
    header_from: str = "office@shop.test"
    headers: tuple[str, ...] = ()


ALLOWED = {
    "consented": Case(("yes1@ok.test",), sent=("yes1@ok.test",), headers=("X-Consent-List: news",)),
    "consented, list by From": Case(
        ("yes2@ok.test",), sent=("yes2@ok.test",), header_from="news@shop.test"
    ),
    "consented, list by List-Id": Case(
        ("yes3@ok.test",), sent=("yes3@ok.test",), headers=("List-Id: Sale <sale.shop.test>",)
    ),
    "consented, list by credential": Case(
        ("yes4@ok.test",), sent=("yes4@ok.test",), login="shop-news"
    ),
    "consented, spelled otherwise": Case(
        ("YES5@OK.test",), sent=("YES5@OK.test",), headers=("X-Consent-List: news",)
    ),
    "not consented": Case(
        ("no1@ok.test",), held={"no1@ok.test": "no-consent"}, headers=("X-Consent-List: news",)
    ),
    "consented elsewhere": Case(
        ("yes6@ok.test",),
        held={"yes6@ok.test": "no-consent"},
        login="club",
        mail_from="a@club.test",
        header_from="a@club.test",
        headers=("X-Consent-List: post",),
    ),
    "another mailbox of one who consented": Case(
        ("yes7+tag@ok.test",),
        held={"yes7+tag@ok.test": "no-consent"},
        headers=("X-Consent-List: news",),
    ),
    "withdrawn": Case(("left1@ok.test",), dropped=1, headers=("X-Consent-List: news",)),
    "withdrawn, under a tag": Case(
        ("left1+x@ok.test",), dropped=1, headers=("X-Consent-List: news",)
    ),
    "withdrawn, inferred": Case(
        ("left2@ok.test",), held={"left2@ok.test": "withdrawn"}, headers=NEWSLETTER
    ),
    "withdrawn, but a password reset": Case(
        ("left3@ok.test",), sent=("left3@ok.test",), headers=("X-Consent-List: receipts",)
    ),
    "three recipients mixed": Case(
        ("yes8@ok.test", "no2@ok.test", "left4@ok.test"),
        sent=("yes8@ok.test",),
        held={"no2@ok.test": "no-consent"},
        dropped=1,
        headers=("X-Consent-List: news",),
    ),
    "transactional to a stranger": Case(
        ("buyer@ok.test",), sent=("buyer@ok.test",), headers=("X-Consent-List: receipts",)
    ),
    "personal to a stranger": Case(("friend@ok.test",), sent=("friend@ok.test",)),
    "newsletter fields on the transactional list": Case(
        ("buyer2@ok.test",),
        held={"buyer2@ok.test": "unmarked-bulk"},
        headers=("X-Consent-List: receipts", *NEWSLETTER),
    ),
    "newsletter fields on no list": Case(
        ("stranger@ok.test",), held={"stranger@ok.test": "no-consent"}, headers=NEWSLETTER
    ),
    "one message to twenty-one strangers": Case(
        tuple(f"crowd{number}@ok.test" for number in range(21)),
        held={f"crowd{number}@ok.test": "no-consent" for number in range(21)},
    ),
    "the kind field makes it stricter": Case(
        ("stranger2@ok.test",),
        held={"stranger2@ok.test": "no-consent"},
        headers=("X-Consent-Kind: commercial",),
    ),
    "the kind field makes it no laxer": Case(
        ("no3@ok.test",),
        held={"no3@ok.test": "no-consent"},
        headers=("X-Consent-List: news", "X-Consent-Kind: transactional"),
    ),
    "to the tenant's own domain": Case(
        ("desk@shop.test",), sent=("desk@shop.test",), headers=("X-Consent-List: news",)
    ),
    "without consent on a list that drops": Case(
        ("no4@ok.test",), dropped=1, headers=("X-Consent-List: quiet",)
    ),
    "a bounce": Case(("remote@ok.test",), sent=("remote@ok.test",), mail_from="", headers=REPORT),
    "a gateway's mail": Case(
        ("yes9@ok.test",),
        sent=("yes9@ok.test",),
        login="web",
        mail_from="",
        header_from="news@shop.test",
    ),
    "a gateway's mail of nobody": Case(
        ("yes10@ok.test",),
        held={"yes10@ok.test": "foreign-sender"},
        login="web",
        mail_from="",
        header_from="a@nobody.test",
    ),
}


@pytest.mark.parametrize("name", ALLOWED)
async def test_taken(name: str, shared_relay: Relay, shared_sink: SmtpSink) -> None:
    case = ALLOWED[name]
    content = mail(name, sender=case.header_from, to=case.recipients[0], headers=list(case.headers))
    reply = await send_mail(
        shared_relay.smtp_port,
        case.mail_from,
        list(case.recipients),
        content,
        login=shared_relay.secrets[case.login],
    )
    assert (reply.code, reply.enhanced) == (250, "2.0.0"), str(reply)
    expected = {"sent": len(case.sent), "held": len(case.held), "dropped": case.dropped}
    assert reply.counts == {word: count for word, count in expected.items() if count}
    for recipient in case.sent:
        assert shared_sink.wait_to(recipient).get("Subject") == name
    held = {
        row["to"]: row["reason"]
        for row in shared_relay.json("quarantine", "list")
        if row["subject"] == name
    }
    assert held == case.held
    others = set(case.recipients) - set(case.sent)
    assert not [one for one in shared_sink.messages if others & set(one.recipients)]


@dataclass(frozen=True)
class Refusal:
    """One mail that is turned away."""

    code: int
    enhanced: str
    reason: str | None
    recipient: str = "yes20@ok.test"
    login: str | None = "shop"
    mail_from: str = "office@shop.test"
    header_from: str = "office@shop.test"
    headers: tuple[str, ...] = ()


REFUSED = {
    "nobody logged in": Refusal(530, "5.7.0", None, login=None),
    "From of another": Refusal(553, "5.7.1", "foreign-sender", header_from="a@club.test"),
    "From of another behind one's own": Refusal(
        553, "5.7.1", "foreign-sender", header_from="a@shop.test>, <b@club.test"
    ),
    "MAIL FROM of another": Refusal(553, "5.7.1", "foreign-sender", mail_from="a@club.test"),
    "no such list": Refusal(550, "5.7.1", "unknown-list", headers=("X-Consent-List: nope",)),
    "the list of another": Refusal(550, "5.7.1", "unknown-list", headers=("X-Consent-List: post",)),
    "against the bound list": Refusal(
        550, "5.7.1", "unknown-list", login="shop-news", headers=("X-Consent-List: sale",)
    ),
    "no consent where the list rejects": Refusal(
        550, "5.7.1", "no-consent", recipient="no9@ok.test", headers=("X-Consent-List: strict",)
    ),
    "a loop": Refusal(
        554, "5.4.6", "loop", headers=tuple(f"Received: by hop{n}.test; today" for n in range(51))
    ),
    "no RFC 5321 path": Refusal(501, "5.1.3", None, recipient="a b@ok.test"),
    "an encoded word as recipient": Refusal(
        501, "5.1.3", None, recipient='"=?utf-8?q?x=0d=0aRSET?="x@ok.test'
    ),
    "a sender that is none": Refusal(501, "5.1.7", None, mail_from="shop.test>x<"),
    "non-ASCII without SMTPUTF8": Refusal(553, "5.6.7", None, recipient="jürgen@ok.test"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused(name: str, shared_relay: Relay, shared_sink: SmtpSink) -> None:
    case = REFUSED[name]
    reply = await send_mail(
        shared_relay.smtp_port,
        case.mail_from,
        [case.recipient],
        mail(name, sender=case.header_from, headers=list(case.headers)),
        login=shared_relay.secrets[case.login] if case.login else None,
    )
    assert (reply.code, reply.enhanced, reply.reason) == (case.code, case.enhanced, case.reason)
    if case.reason is not None:
        assert f"/why/{case.reason}" in reply.text
    assert not [one for one in shared_sink.messages if one.get("Subject") == name]
    assert not [row for row in shared_relay.json("quarantine", "list") if row["subject"] == name]


async def test_a_null_sender_without_a_report_or_with_two_recipients_does_not_simply_pass(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    login = shared_relay.secrets["shop"]
    plain = mail("null, plain", to="n1@ok.test")
    await send_mail(shared_relay.smtp_port, "", ["n1@ok.test"], plain, login=login)
    two = mail("null, two", headers=REPORT)
    await send_mail(shared_relay.smtp_port, "", ["n2@ok.test", "n3@ok.test"], two, login=login)
    # sent afterwards, arrives first or last: the others would have been here by then
    marker = mail("marker", headers=["X-Consent-List: receipts"])
    await send_mail(
        shared_relay.smtp_port, "office@shop.test", ["marker@ok.test"], marker, login=login
    )
    shared_sink.wait_to("marker@ok.test")
    assert shared_relay.json("spool", "list") == [] or eventually(
        lambda: shared_relay.json("spool", "list") == [], "the spool to empty"
    )
    for recipient in ("n1@ok.test", "n2@ok.test", "n3@ok.test"):
        assert shared_sink.to(recipient) == []


async def test_a_wrong_password_is_535_and_a_right_one_enters_afterwards(
    shared_relay: Relay,
) -> None:
    username, secret = shared_relay.secrets["shop"]
    async with SmtpClient(shared_relay.smtp_port) as client:
        await client.hello()
        reply = await client.login(username, "wrong")
        assert (reply.code, reply.enhanced) == (535, "5.7.8")
        assert (await client.login(username, secret)).code == 235


async def test_postmaster_of_our_own_host_reaches_the_operator(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    reply = await send_mail(
        shared_relay.smtp_port,
        "office@shop.test",
        ["postmaster@relay.test"],
        mail("to the postmaster"),
        login=shared_relay.secrets["shop"],
    )
    assert reply.code == 250
    found = eventually(
        lambda: [one for one in shared_sink.messages if one.get("Subject") == "to the postmaster"],
        "mail for postmaster",
    )
    assert found[0].recipients == ("postmaster@localhost",)


async def test_a_suspended_tenant_is_told_to_come_back_and_enters_when_resumed(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    login = shared_relay.secrets["club"]
    content = mail("suspended", sender="a@club.test")
    shared_relay.run("tenant", "suspend", "club", "--reason", "spam run")
    reply = await send_mail(
        shared_relay.smtp_port, "a@club.test", ["w@ok.test"], content, login=login
    )
    assert (reply.code, reply.enhanced, reply.reason) == (450, "4.7.1", "suspended")
    shared_relay.run("tenant", "resume", "club")
    reply = await send_mail(
        shared_relay.smtp_port, "a@club.test", ["w@ok.test"], content, login=login
    )
    assert reply.code == 250
    shared_sink.wait_to("w@ok.test")


async def test_mixed_refusal_comes_back_as_a_report_to_the_sender(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    reply = await send_mail(
        shared_relay.smtp_port,
        "bounces@shop.test",
        ["desk2@shop.test", "no10@ok.test"],
        mail("half refused", headers=["X-Consent-List: strict"]),
        login=shared_relay.secrets["shop"],
    )
    assert reply.code == 250
    assert reply.counts.get("sent") == 1
    report = shared_sink.wait_to("bounces@shop.test")
    assert report.mail_from == ""
    assert (report.get("Content-Type") or "").startswith("multipart/report")
    assert re.search(rb"(?i)\r\nFinal-Recipient: rfc822; ?no10@ok\.test\r\n", report.content)
    assert b"no-consent" in report.content


async def test_explain_sends_nothing_and_says_the_same(
    shared_relay: Relay, shared_sink: SmtpSink
) -> None:
    file = shared_relay.directory / "explained.eml"
    file.write_bytes(mail("explained", headers=["X-Consent-List: news"]))
    answer = shared_relay.json(
        "explain", str(file), "--tenant", "shop", "--to", "yes11@ok.test", "--to", "no11@ok.test"
    )
    verdicts = {one["recipient"]: (one["action"], one["reason"]) for one in answer["recipients"]}
    assert verdicts == {
        "yes11@ok.test": ("deliver", None),
        "no11@ok.test": ("quarantine", "no-consent"),
    }
    assert not [one for one in shared_sink.messages if one.get("Subject") == "explained"]
