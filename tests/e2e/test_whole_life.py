"""What persons, tenants' software and operators do with consents, over one running relay.

Everything goes through the doors that they have: pages in a browser, the API, SMTP, the shell.
"""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.async_api import Browser, Page

from relay.consent.source_keys import write_keys
from tests.support.browser import browsing, missing, person
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


@dataclass
class Living:
    """A relay with lists at every level, and everybody around it."""

    relay: Relay
    upstream: SinkThread
    software: Receiver
    webhook_secret: str
    api_key: str
    source: Ed25519PrivateKey

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.relay.admin_port}/api/v1{path}"
        headers = {"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"}
        octets = json.dumps(body).encode() if body is not None else None
        assert (method == "POST") == (octets is not None)
        status, text = http(url, body=octets, headers=headers)
        return status, json.loads(text)

    async def on_list(self, slug: str, to: str, *more: str, subject: str = "news") -> Reply:
        return await send_mail(
            self.relay.smtp_port,
            "office@shop.test",
            [to],
            mail(subject, to=to, headers=[f"X-Consent-List: {slug}", *more]),
            login=self.relay.secrets["shop"],
        )

    def letters(self, to: str) -> list[Received]:
        """Mail of the relay's own to somebody, oldest first."""
        return [one for one in self.upstream.sink.to(to) if one.mail_from == ""]

    def letter(self, to: str, number: int = 1) -> Received:
        eventually(lambda: len(self.letters(to)) >= number, f"letter {number} to {to}")
        return self.letters(to)[number - 1]

    def newsletter(self, to: str, number: int = 1) -> Received:
        def found() -> list[Received]:
            return [one for one in self.upstream.sink.to(to) if one.get("List-Unsubscribe")]

        eventually(lambda: len(found()) >= number, f"newsletter {number} to {to}")
        return found()[number - 1]

    def sign_up(self, to: str, slug: str) -> None:
        """From a form of the tenant's own."""
        wanted = {
            "address": to,
            "ip": "192.0.2.7",
            "form_url": "https://shop.test/join",
            "notice": "Mail me what is new, please.",
        }
        status, answer = self.api("POST", f"/lists/{slug}/subscriptions", wanted)
        assert (status, answer) == (202, {"state": "pending"})

    def confirm(self, to: str, number: int = 1) -> str:
        """Look at the page and press the button; the path of the link."""
        path = link_in(self.letter(to, number), "c")
        assert self.relay.http(path, headers=FIREFOX)[0] == 200
        answer = self.relay.http(path, body=b"confirm=1", headers={**FORM, **FIREFOX})
        assert answer[0] == 200, answer[1]
        return path

    def state(self, to: str, slug: str) -> str:
        shown = self.relay.json("consent", "show", to, "--tenant", "shop")["standings"]
        return next((one["state"] for one in shown if one["list"] == slug), "absent")

    def heard(self, to: str) -> list[dict[str, Any]]:
        """What the tenant's software was told about somebody, every signature checked."""
        told = []
        for call in list(self.software.calls):
            if call.path == "/hook":
                assert signature_holds(call.headers, call.body, self.webhook_secret)
                said = json.loads(call.body)
                told += [said] if said["address"] == to else []
        return told


def signature_holds(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """As Standard Webhooks says, written anew."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return headers["webhook-signature"] == f"v1,{wanted}"


def link_in(letter: Received, kind: str) -> str:
    """The path of a link in the text."""
    message = email.message_from_bytes(letter.content, policy=email.policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    found = re.search(rf"https?://[^/\s]+(/{kind}/[A-Za-z0-9._-]+)", body.get_content())
    assert found is not None, body.get_content()
    return found[1]


def unsubscribe_path(newsletter: Received) -> str:
    found = re.search(r"<https?://[^/]+(/u/[^>]+)>", newsletter.get("List-Unsubscribe") or "")
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def living(template: Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """One for all tests of this file: each has people of its own."""
    directory = tmp_path_factory.mktemp("living")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    source = Ed25519PrivateKey.generate()
    key_file = directory / "source.pem"
    key_file.write_text(write_keys([source.public_key()]))
    with SinkThread() as upstream, Receiver(authority) as software:
        relay = Relay(
            directory / "relay",
            upstream.sink.port,
            {
                "outbound.allow_networks": ["127.0.0.0/8"],
                "opt_in.mails_per_address_and_tenant": 9,
                "opt_in.addresses_per_network": 99,
                "opt_in.automated_seconds": 0.0,
            },
            template=template,
            environment={"SSL_CERT_FILE": str(directory / "ca.pem")},
        )
        printed = relay.batch(
            ("brand", "add", "shop", "home", "--name", "Shop at Home"),
            *(
                (
                    "list",
                    "add",
                    "shop",
                    slug,
                    "--kind",
                    "commercial",
                    "--purpose",
                    f"All {slug}",
                    "--promise",
                    "1/day",
                    *options,
                )
                for slug, options in {
                    "garden": ("--brand", "home", "--scope", "brand"),
                    "kitchen": ("--brand", "home", "--scope", "brand"),
                    "offers": ("--scope", "tenant"),
                    "travel": ("--scope", "tenant"),
                    "books": ("--scope", "tenant"),
                }.items()
            ),
            ("source", "add", "form", "--approved", "--public-key", str(key_file)),
            ("apikey", "add", "shop", "crm", "--json"),
            ("webhook", "add", "shop", f"{software.url}hook", "--json"),
        )
        key, hook = json.loads(printed[-2]), json.loads(printed[-1])
        with relay:
            yield Living(relay, upstream, software, hook["secret"], key["key"], source)


# --- scope -------------------------------------------------------------------------------------


async def test_one_consent_for_a_brand_stops_with_one_click(living: Living) -> None:
    to = "brand@ok.test"
    living.sign_up(to, "garden")
    living.sign_up(to, "offers")
    living.confirm(to)
    assert (await living.on_list("kitchen", to)).counts == {"sent": 1}
    assert (await living.on_list("offers", to)).counts == {"held": 1}
    living.confirm(to, 2)
    assert (await living.on_list("offers", to)).counts == {"sent": 1}
    link = unsubscribe_path(living.newsletter(to))
    assert living.relay.http(link, body=ONE_CLICK, headers=FORM)[0] == 200
    # The widest consent that covered it is the one for everything.
    for slug in ("garden", "kitchen", "offers", "travel"):
        assert (await living.on_list(slug, to)).counts == {"dropped": 1}, slug
    assert (await living.on_list("receipts", to)).counts == {"sent": 1}


async def test_one_consent_for_the_tenant_asked_once_stops_once(living: Living) -> None:
    to = "three@ok.test"
    living.sign_up(to, "offers")
    dead = living.confirm(to)
    slugs = ("offers", "travel", "books")
    for slug in slugs:
        assert (await living.on_list(slug, to)).counts == {"sent": 1}
    before = living.relay.metric("relay_optouts_total", tenant="shop", channel="one-click")
    link = unsubscribe_path(living.newsletter(to))
    assert living.relay.http(link, body=ONE_CLICK, headers=FORM)[0] == 200
    for slug in slugs:
        assert (await living.on_list(slug, to)).counts == {"dropped": 1}
    after = living.relay.metric("relay_optouts_total", tenant="shop", channel="one-click")
    assert after == before + 1
    assert living.relay.http(dead, body=b"confirm=1", headers={**FORM, **FIREFOX})[0] == 404
    assert (await living.on_list("receipts", to)).counts == {"sent": 1}
    eventually(lambda: len(living.heard(to)) >= 2, "the software to be told")
    told = [(one["type"], one["list"]) for one in living.heard(to)]
    assert [kind for kind, _ in told] == ["consent.granted", "optout"]
    assert told[1][1] is None, "all of it"


# --- a person's own view -------------------------------------------------------------------------


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as chromium:
        yield chromium


async def press(page: Page, name: str) -> None:
    """Find a button or link by the keyboard alone, and press it."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if await focused.count() and name in (await focused.inner_text()).strip():
            async with page.expect_navigation():
                await page.keyboard.press("Enter")
            return
    raise AssertionError(f"no way to {name!r} by keyboard")


@browser_needed
async def test_a_person_looks_keeps_a_receipt_and_stops(living: Living, browser: Browser) -> None:
    to = "looking@ok.test"
    living.sign_up(to, "offers")
    living.confirm(to)
    assert (await living.on_list("offers", to)).counts == {"sent": 1}
    link = unsubscribe_path(living.newsletter(to))
    context = await person(browser, "en", "phone")
    page = await context.new_page()
    await page.goto(living.relay.public_url + link)
    shown = await page.content()
    assert to not in shown, "the address is shown in clear"
    assert "192.0.2.7" not in shown
    await press(page, "record")
    own = link_in(living.letter(to, 2), "p")
    await page.goto(living.relay.public_url + own)
    content = await page.content()
    for words in (to, "All offers", "Mail me what is new, please.", "https://shop.test/join"):
        assert words in content, words
    status, text = living.relay.http(f"{own}/receipt.json")
    assert status == 200
    receipt = json.loads(text)
    assert to in text
    assert "Mail me what is new, please." in text
    assert "Club" not in text
    assert receipt
    await press(page, "Receipt to print")
    assert to in await page.content()
    await page.go_back()
    await press(page, "Stop: ")
    assert "Done. It works from now on." in await page.content()
    assert (await living.on_list("travel", to)).counts == {"dropped": 1}
    assert (await living.on_list("receipts", to)).counts == {"sent": 1}
    await context.close()


# --- the tenant's own software -------------------------------------------------------------------


async def test_links_of_templates_an_approved_source_and_a_hook(living: Living) -> None:
    to = "signed@ok.test"
    claims = {
        "iss": "form",
        "sub": to,
        "aud": living.relay.public_url,
        "tenant": "shop",
        "list": "garden",
        "iat": int(time.time()) - 5,
        "jti": "1",
        "act": "tick",
        "form_url": "https://shop.test/join",
        "ip": "192.0.2.7",
        "user_agent": "Browser/1.0",
        "notice": "News of the garden, every day. We give your address to nobody.",
    }

    def consent(**changed: Any) -> tuple[int, Any]:
        token = jwt.encode({**claims, **changed}, living.source, algorithm="EdDSA")
        wanted = {"basis": "approved", "list": "garden", "token": token}
        return living.api("POST", "/consents", wanted)

    assert (await living.on_list("garden", to)).counts == {"held": 1}
    assert consent()[0] == 201
    assert (await living.on_list("garden", to)).counts == {"sent": 1}

    status, made = living.api("POST", "/links", {"list": "garden", "addresses": [to]})
    assert status == 200
    path = made["links"][0]["url"].removeprefix(living.relay.public_url)
    assert "All garden" in living.relay.http(path)[1]
    assert living.relay.http(path, body=b"confirm=1", headers=FORM)[0] == 200
    assert (await living.on_list("garden", to)).counts == {"dropped": 1}

    # What was said before never undoes it, what is said later does.
    assert consent(jti="2")[0] == 200
    assert (await living.on_list("garden", to)).counts == {"dropped": 1}
    eventually(lambda: consent(jti=f"at{time.time()}", iat=int(time.time()))[0] == 201, "a second")
    assert (await living.on_list("kitchen", to)).counts == {"sent": 1}

    status, hook = living.api("POST", "/hooks", {"name": "lists", "format": "listmonk"})
    assert status == 201
    body = json.dumps({"event": "subscriber.unsubscribed", "email": to}).encode()
    door = hook["url"].removeprefix(living.relay.public_url)
    assert (
        living.relay.http(door, body=body, headers={"Content-Type": "application/json"})[0] == 200
    )
    assert (await living.on_list("kitchen", to)).counts == {"dropped": 1}
    assert (await living.on_list("receipts", to)).counts == {"sent": 1}


async def test_the_senders_one_click_address_is_called(living: Living) -> None:
    to = "clicking@ok.test"
    living.sign_up(to, "garden")
    living.confirm(to)
    fields = (
        f"List-Unsubscribe: <{living.software.url}own?who=c1>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    )
    assert (await living.on_list("garden", to, *fields)).counts == {"sent": 1}
    link = unsubscribe_path(living.newsletter(to))
    assert living.relay.http(link, body=ONE_CLICK, headers=FORM)[0] == 200

    def called() -> list[bytes]:
        return [call.body for call in living.software.calls if call.path == "/own?who=c1"]

    eventually(called, "the sender's own address")
    assert called() == [ONE_CLICK]


# --- proof ---------------------------------------------------------------------------------------


async def test_the_proof_is_checked_without_the_relay(living: Living, tmp_path: Path) -> None:
    to = "proven@ok.test"
    living.sign_up(to, "garden")
    living.confirm(to)
    assert (await living.on_list("garden", to)).counts == {"sent": 1}
    living.newsletter(to)
    script = tmp_path / "verify.py"
    script.write_text(living.relay.run("ledger", "verifier").stdout)
    key = living.relay.json("ledger", "key")
    fingerprint = key["fingerprint"]
    for name, words in (("all", ("ledger", "export", "shop")), ("one", ("consent", "export", to))):
        bundle = tmp_path / f"{name}.json"
        living.relay.run(*words, "--output", str(bundle))
        good = verifier(script, bundle, fingerprint)
        assert good.returncode == 0, good.stdout + good.stderr
        octets = bundle.read_bytes()
        changed = octets.replace(b"All garden", b"All gardens", 1)
        assert changed != octets
        bundle.write_bytes(changed)
        assert verifier(script, bundle, fingerprint).returncode == 1


def verifier(script: Path, bundle: Path, fingerprint: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(script), str(bundle), "--key", fingerprint],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
