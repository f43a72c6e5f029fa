"""The life of a consent from end to end: a form in a browser, mail over SMTP, one click, and back.

Nothing here reaches into the relay: it is what a person, a tenant's software and an upstream see.
"""

from __future__ import annotations

import email
import email.policy
import re
import time
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.e2e.conftest import MakeRelay
from tests.support.browser import browsing, missing, person
from tests.support.dkim_dns import dkimpy_verifies, mailauth_missing, mailauth_verify
from tests.support.eventually import eventually
from tests.support.house import mail
from tests.support.receiver import Receiver
from tests.support.relay_process import Relay, http
from tests.support.smtp_client import Reply, send_mail
from tests.support.smtp_sink import Received, SinkThread

ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}

browser_needed = pytest.mark.skipif(bool(missing), reason=missing or "all there")


@pytest.fixture
def relay(make_relay: MakeRelay, upstream: SinkThread) -> Relay:
    """A relay whose people may ask as often as a test needs it; webhooks may be on loopback."""
    settings = {
        "opt_in.mails_per_address_and_tenant": 9,
        "opt_in.mails_per_address": 9,
        "outbound.allow_networks": ["127.0.0.0/8"],
    }
    return make_relay(upstream.sink.port, settings).start()


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as chromium:
        yield chromium


async def newsletter(relay: Relay, recipient: str, subject: str = "newsletter") -> Reply:
    return await send_mail(
        relay.smtp_port,
        "news@shop.test",
        [recipient],
        mail(subject, sender="news@shop.test"),
        login=relay.secrets["shop-news"],
    )


async def password_reset(relay: Relay, recipient: str) -> Reply:
    return await send_mail(
        relay.smtp_port,
        "office@shop.test",
        [recipient],
        mail("reset", headers=["X-Consent-List: receipts"]),
        login=relay.secrets["shop"],
    )


def parsed(letter: Received) -> EmailMessage:
    message = email.message_from_bytes(letter.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def letters(upstream: SinkThread, recipient: str) -> list[Received]:
    """Mail of the relay's own to somebody, oldest first."""
    return [one for one in upstream.sink.to(recipient) if one.get("Form-Sub")]


def letter(upstream: SinkThread, recipient: str, number: int = 1) -> Received:
    eventually(lambda: len(letters(upstream, recipient)) >= number, f"letter {number}")
    return letters(upstream, recipient)[number - 1]


def link_in(letter: Received, part: str = "plain") -> str:
    body = parsed(letter).get_body(preferencelist=(part,))
    assert body is not None
    found = re.search(r"https?://[^\s\"<>]+/c/[^\s\"<>]+", body.get_content())
    assert found is not None, body.get_content()
    return found[0]


def unsubscribe_path(newsletter: Received) -> str:
    found = re.search(r"<https?://[^/]+(/u/[^>]+)>", newsletter.get("List-Unsubscribe") or "")
    assert found is not None
    return found[1]


def sign_up(relay: Relay, address: str) -> None:
    """Without a browser: the form's own fields, as its page has them."""
    status, page = relay.http("/s/shop/news", headers=FIREFOX)
    assert status == 200
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page))
    fields |= {"address": address, "agree": "yes"}
    body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    status, page = relay.http("/s/shop/news", body=body, headers={**FORM, **FIREFOX})
    assert status == 200, page


def confirm(relay: Relay, link: str) -> str:
    path = link.removeprefix(relay.public_url)
    assert relay.http(path, headers=FIREFOX)[0] == 200
    status, page = relay.http(path, body=b"confirm=1", headers={**FORM, **FIREFOX})
    assert status == 200, page
    return page


def state(relay: Relay, address: str, mailing_list: str = "news") -> str:
    shown = relay.json("consent", "show", address, "--tenant", "shop")["standings"]
    states = [one["state"] for one in shown if one["list"] == mailing_list]
    return states[0] if states else "absent"


# --- the whole circle ------------------------------------------------------------------------


async def press(page: Page, name: str) -> None:
    """Find a button by the keyboard alone, and press it."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if await focused.count() and name in (await focused.inner_text()).strip():
            async with page.expect_navigation():
                await page.keyboard.press("Enter")
            return
    raise AssertionError(f"no way to {name!r} by keyboard")


@browser_needed
async def test_from_the_form_to_the_mailbox_and_out_again(
    relay: Relay, upstream: SinkThread, browser: Browser
) -> None:
    anna = "anna@ok.test"
    page = await (await person(browser, "nl", "phone")).new_page()
    await page.goto(f"{relay.public_url}/s/shop/news")
    box = page.get_by_role("checkbox")
    assert not await box.is_checked()
    await page.get_by_role("textbox").fill(anna)
    await box.focus()
    await page.keyboard.press("Space")
    await press(page, "Aanmelden")
    assert anna not in await page.content()

    asked = letter(upstream, anna)
    message = parsed(asked)
    assert asked.mail_from == ""
    assert asked.recipients == (anna,)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Reply-To"].addresses[0].addr_spec == "owner@shop.test"
    sender = message["From"].addresses[0]
    assert (sender.display_name, sender.addr_spec) == ("Shop BV", "news@shop.test")
    assert message["List-Unsubscribe"] is None
    records = relay.dkim_records("shop")
    assert dkimpy_verifies(asked.content, records)
    if mailauth_missing() is None:
        assert mailauth_verify(asked.content, records)[0]["result"] == "pass"
    assert link_in(asked) == link_in(asked, "html")
    for words in ("Shop BV", "Kade 1, Amsterdam", "owner@shop.test"):
        assert words in message.get_body(("plain",)).get_content()  # type: ignore[union-attr]

    assert (await newsletter(relay, anna)).counts == {"held": 1}
    assert relay.json("quarantine", "list")[-1]["reason"] == "pending"

    await page.goto(link_in(asked))
    assert anna not in await page.content()
    await press(page, "Ja")
    assert state(relay, anna) == "granted"
    assert (await newsletter(relay, anna, "welcome")).counts == {"sent": 1}
    eventually(lambda: len(upstream.sink.to(anna)) == 2, "the newsletter")
    welcome = upstream.sink.to(anna)[1]

    upstream.deaf()
    assert (await newsletter(relay, anna, "on its way")).code == 250
    eventually(lambda: relay.json("spool", "list") != [], "a mail that waits")
    began = time.monotonic()
    assert relay.http(unsubscribe_path(welcome), body=ONE_CLICK, headers=FORM)[0] == 200
    stopped = (await newsletter(relay, anna, "too late")).counts
    assert time.monotonic() - began < 1.0, "not within the same second"
    assert stopped == {"dropped": 1}
    upstream.listen()
    eventually(lambda: relay.json("spool", "list") == [], "nothing to wait any more")
    assert [one.get("Subject") for one in upstream.sink.to(anna)][1:] == ["welcome"]
    assert (await password_reset(relay, anna)).counts == {"sent": 1}
    assert relay.metric("relay_sent_after_optout_total") == 0
    assert relay.metric("relay_optouts_total", channel="one-click") == 1

    # The held newsletter of before is no way around it.
    held = relay.json("quarantine", "list")[-1]["id"]
    relay.run("quarantine", "release", held, code=1)

    # Only the person's own act brings it back; and then it does.
    await page.goto(link_in(asked))
    assert await page.get_by_role("button").count() == 0, "a used link works again"
    sign_up(relay, anna)
    assert state(relay, anna) == "withdrawn"
    confirm(relay, link_in(letter(upstream, anna, 2)))
    assert (await newsletter(relay, anna, "again")).counts == {"sent": 1}
    relay.run("ledger", "verify")


async def test_the_evidence_names_everything(relay: Relay, upstream: SinkThread) -> None:
    sign_up(relay, "ben@ok.test")
    confirm(relay, link_in(letter(upstream, "ben@ok.test")))
    timeline = relay.json("consent", "show", "ben@ok.test")["timeline"]
    grants = [one["data"] for one in timeline if one["type"] == "consent.granted"]
    assert len(grants) == 1
    evidence = grants[0]["evidence"]
    asked, mailed, confirmed = (evidence[name] for name in ("signup", "mail", "confirmation"))
    assert asked["ip"] == "127.0.0.1"
    assert asked["form_url"] == f"{relay.public_url}/s/shop/news"
    assert "Firefox" in asked["user_agent"]
    assert asked["notice"]
    assert asked["act"]
    assert mailed["message_id"]
    assert mailed["reply"].startswith("250")
    assert confirmed["ip"] == "127.0.0.1"
    assert confirmed["delay"] > 0
    assert confirmed["page_fetches"] == 1
    assert confirmed["page_fetched_at"] <= mailed["at"] + 60
    (await newsletter(relay, "ben@ok.test"))
    eventually(
        lambda: [
            one
            for one in relay.json("consent", "show", "ben@ok.test")["timeline"]
            if one["type"] == "copy.delivered"
        ],
        "the delivered copy in the ledger",
    )
    shown = relay.json("consent", "show", "ben@ok.test")["timeline"]
    grant = next(one for one in shown if one["type"] == "consent.granted")
    delivered = next(one for one in shown if one["type"] == "copy.delivered")
    assert delivered["data"]["consent"] == grant["event"]
    assert delivered["data"]["rulebooks"]


# --- what scanners do ------------------------------------------------------------------------


async def test_what_scanners_do_changes_nothing(relay: Relay, upstream: SinkThread) -> None:
    carl = "carl@ok.test"
    sign_up(relay, carl)
    link = link_in(letter(upstream, carl))
    path = link.removeprefix(relay.public_url)

    def ask(method: str, path: str, headers: dict[str, str] | None = None) -> int:
        request = Request(relay.public_url + path, method=method, headers=headers or {})
        try:
            with urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except OSError as error:
            return int(getattr(error, "code", 0))

    prefetch = {"Purpose": "prefetch", "Sec-Purpose": "prefetch"}
    assert ask("GET", path) == 200
    assert ask("HEAD", path) == 200
    assert ask("GET", path, prefetch) == 200
    assert ask("GET", path + "?confirm=true") == 200
    assert ask("GET", path + "?confirm=1&_method=POST") == 200
    assert ask("GET", path, {"X-HTTP-Method-Override": "POST"}) == 200
    assert ask("OPTIONS", path) in (200, 405)
    assert ask("PUT", path) == 405
    assert ask("DELETE", path) == 405
    for body in (b"", b"x=1", b"confirm=true", b"confirm=0", ONE_CLICK):
        assert relay.http(path, body=body, headers=FORM)[0] == 400
    assert relay.http(path + "?confirm=1", body=b"", headers=FORM)[0] == 400
    # Links rewritten on the way: another case, a changed end, percent-encoding.
    for rewritten in (path.lower(), path[:-1], path + "A", path.replace("v1.", "v1%2e%2e")):
        assert relay.http(rewritten, body=b"confirm=1", headers=FORM)[0] == 404
    assert state(relay, carl) == "pending"
    assert (await newsletter(relay, carl)).counts == {"held": 1}
    confirm(relay, link)
    assert (await newsletter(relay, carl)).counts == {"sent": 1}

    eventually(lambda: len(upstream.sink.to(carl)) == 2, "the newsletter")
    unsubscribe = unsubscribe_path(upstream.sink.to(carl)[1])
    for method, headers in (("GET", {}), ("HEAD", {}), ("GET", prefetch)):
        assert ask(method, unsubscribe, headers) == 200
    assert ask("GET", unsubscribe + "?List-Unsubscribe=One-Click") == 200
    assert ask("GET", unsubscribe, {"X-HTTP-Method-Override": "POST"}) == 200
    assert state(relay, carl) == "granted"


async def test_a_button_without_its_page_is_marked_and_not_enough(
    relay: Relay, upstream: SinkThread
) -> None:
    dora = "dora@ok.test"
    sign_up(relay, dora)
    path = link_in(letter(upstream, dora)).removeprefix(relay.public_url)
    assert relay.http(path, body=b"confirm=1", headers={**FORM, **FIREFOX})[0] == 200
    timeline = relay.json("consent", "show", dora)["timeline"]
    granted = next(one["data"] for one in timeline if one["type"] == "consent.granted")
    assert "no-page-fetch" in granted["automated"]
    assert (await newsletter(relay, dora)).counts == {"held": 1}
    assert relay.json("quarantine", "list")[-1]["reason"] == "basis-too-weak"
    assert relay.metric("relay_confirmations_total", event="automated") == 1


# --- nobody else sees the token ----------------------------------------------------------------


async def test_the_token_is_nowhere_a_tenant_can_look(
    relay: Relay, upstream: SinkThread, tmp_path: Path
) -> None:
    fay = "fay@ok.test"
    file = tmp_path / "mail.eml"
    file.write_bytes(mail(sender="news@shop.test", to=fay))
    key = relay.json("apikey", "add", "shop", "crm")["key"]
    upstream.deaf()
    sign_up(relay, fay)
    eventually(lambda: relay.json("spool", "list") != [], "the letter to wait")
    shown = [
        *(
            relay.run(*words, "--json").stdout
            for words in (("spool", "list"), ("quarantine", "list"))
        ),
        relay.run("consent", "show", fay, "--json").stdout,
        relay.run("ledger", "export", "shop").stdout,
        relay.run("consent", "export", fay).stdout,
        relay.run("explain", str(file), "--tenant", "shop", "--to", fay, "--json").stdout,
    ]
    for path in (f"consents?address={fay}", "events", "quarantine"):
        url = f"http://127.0.0.1:{relay.admin_port}/api/v1/{path}"
        status, answer = http(url, headers={"Authorization": f"Bearer {key}"})
        assert status == 200
        shown.append(answer)
    shown += relay.stderr
    upstream.listen()
    link = link_in(letter(upstream, fay))
    with Receiver() as software:
        relay.run("webhook", "add", "shop", software.url)
        confirm(relay, link)
        eventually(lambda: software.calls, "the webhook to tell of the consent")
        shown += [f"{call.path} {call.headers} {call.body.decode()}" for call in software.calls]
    token = link.rpartition("/")[2]
    assert token.count(".") == 3
    for piece in (token, token.split(".")[2], token.split(".")[3]):
        assert not [text for text in shown if piece in text]
    assert not [line for line in relay.stderr if token.split(".")[3] in line]
