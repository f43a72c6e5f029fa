"""``/s/TENANT/LIST`` over a real socket: clauses B5, B7-B11, and the uniform answer of S14."""

from __future__ import annotations

import re
from dataclasses import replace

import httpx
import pytest

from relay.model import ScopeLevel
from relay.web.asking import Asked, SignUpRequest
from tests.unit.web.book import FORM, NOTICE, Site, serve

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = {"address": "jan@example.org", "notice": "7", "agree": "yes"}


async def test_form_says_what_how_often_by_whom_and_to_whom(web: httpx.AsyncClient) -> None:
    html = (await web.get(FORM)).text
    for shown in (
        *(NOTICE.purpose, NOTICE.sender, NOTICE.party, NOTICE.postal_address),
        *(NOTICE.registration, NOTICE.contact, NOTICE.question),
        *("at most 2 times a month", "nobody else", "Voorbeeld Hosting"),
    ):
        assert shown in html
    assert '<input type="hidden" name="notice" value="7">' in html
    assert 'type="email"' in html
    assert 'autocomplete="email"' in html
    assert "<script" not in html


async def test_third_parties_are_named(site: Site, web: httpx.AsyncClient) -> None:
    site.signups.shown = replace(NOTICE, third_parties="Molen De Hoop B.V.", registration="")
    html = (await web.get(FORM)).text
    assert "Molen De Hoop B.V." in html
    assert "nobody else" not in html
    assert "Registration number" not in html


async def test_tenants_words_keep_their_own_language(web: httpx.AsyncClient) -> None:
    english = (await web.get(FORM, headers={"Accept-Language": "en"})).text
    dutch = (await web.get(FORM, headers={"Accept-Language": "nl"})).text
    assert f'<label for="agree" lang="nl">{NOTICE.question}</label>' in english
    assert f'<dd lang="nl">{NOTICE.purpose}</dd>' in english
    assert '<html lang="nl">' in dutch
    assert f'<label for="agree">{NOTICE.question}</label>' in dutch


@pytest.mark.parametrize(
    "query", ["?address=eve@example.org", "?agree=yes&agree=on&checked=1", "?address=%22%3E%3Cb%3E"]
)
async def test_nothing_in_the_url_fills_or_ticks_anything(
    web: httpx.AsyncClient, query: str
) -> None:
    html = (await web.get(FORM + query)).text
    assert 'name="address" value=""' in html
    assert "eve@" not in html
    assert not re.search(r"<input[^>]*\bchecked", html)


async def test_request_carries_the_evidence(site: Site, web: httpx.AsyncClient) -> None:
    answer = await web.post(
        FORM,
        data={**GOOD, "address": " jan@example.org "},
        headers={"Accept-Language": "nl", "User-Agent": "browser"},
    )
    assert answer.status_code == 200
    assert "kijk in uw mailbox" in answer.text
    assert site.signups.asked == [
        SignUpRequest(
            tenant="korenbloem",
            mailing_list="recepten",
            address="jan@example.org",
            notice=7,
            language="nl",
            ip="127.0.0.1",
            user_agent="browser",
            form_url="https://mail.example.net/s/korenbloem/recepten",
            act="ticked the box and pressed the button",
        )
    ]


async def test_answer_is_the_same_for_every_address(web: httpx.AsyncClient) -> None:
    answers = [
        await web.post(FORM, data={**GOOD, "address": address})
        for address in ("jan@example.org", "jan+1@example.org", "wie@anders.test")
    ]
    assert len({answer.content for answer in answers}) == 1
    assert "jan" not in answers[0].text


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"address": ""}, "Please fill in your mail address."),
        ({"address": "   "}, "Please fill in your mail address."),
        ({"address": "jan"}, "Please fill in one whole mail address"),
        ({"address": "jan@gmail"}, "Please fill in one whole mail address"),
        ({"address": "jan@[192.0.2.1]"}, "Please fill in one whole mail address"),
        ({"address": "jan@example.org, piet@example.org"}, "Please fill in one whole mail address"),
        ({"address": "jan@example.org\r\nBcc: x@example.org"}, "Please fill in one whole"),
        ({"agree": ""}, "Please tick the box if you agree."),
        ({"agree": "no"}, "Please tick the box if you agree."),
    ],
)
async def test_fault_is_named_beside_the_field(
    site: Site, web: httpx.AsyncClient, change: dict[str, str], fault: str
) -> None:
    answer = await web.post(FORM, data={**GOOD, **change})
    assert answer.status_code == 400
    assert fault in answer.text
    assert 'role="alert"' in answer.text
    field = "agree" if "agree" in change else "address"
    assert f'aria-describedby="{field}-fault"' in answer.text
    assert f'id="{field}-fault"' in answer.text
    assert not re.search(r"<input[^>]*\bchecked", answer.text), "nobody but the person ticks it"
    assert site.signups.asked == []


async def test_typed_address_is_kept_and_escaped(web: httpx.AsyncClient) -> None:
    answer = await web.post(FORM, data={**GOOD, "address": '"><script>alert(1)</script>@x'})
    assert answer.status_code == 400
    assert "<script" not in answer.text
    assert "&gt;&lt;script&gt;alert(1)&lt;/script&gt;@x" in answer.text
    kept = await web.post(FORM, data={"address": "jan@example.org", "notice": "7"})
    assert 'name="address" value="jan@example.org"' in kept.text


async def test_address_that_only_the_service_refuses(site: Site, web: httpx.AsyncClient) -> None:
    site.signups.answer = Asked.BAD_ADDRESS
    answer = await web.post(FORM, data=GOOD)
    assert answer.status_code == 400
    assert "Please fill in one whole mail address" in answer.text
    assert "has changed since" not in answer.text


@pytest.mark.parametrize("notice", ["6", "", "x", "-1", "9" * 30])
async def test_a_notice_that_is_not_the_lists_is_shown_anew(
    site: Site, web: httpx.AsyncClient, notice: str
) -> None:
    answer = await web.post(FORM, data={**GOOD, "notice": notice})
    assert answer.status_code == 400
    assert "The text below has changed since you opened this page." in answer.text
    assert 'name="notice" value="7"' in answer.text
    assert 'value="jan@example.org"' in answer.text
    assert site.signups.asked == []


async def test_too_many(site: Site, web: httpx.AsyncClient) -> None:
    site.signups.answer = Asked.TOO_MANY
    answer = await web.post(FORM, data=GOOD)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert "Nothing was recorded" in answer.text


async def test_a_sender_without_a_domain_says_so(site: Site, web: httpx.AsyncClient) -> None:
    site.signups.answer = Asked.NO_SENDER
    answer = await web.post(FORM, data=GOOD)
    assert answer.status_code == 503
    assert "You cannot sign up here yet" in answer.text


async def test_the_first_fault_has_the_focus(web: httpx.AsyncClient) -> None:
    """A long notice stands above the form: without it nothing seems to have happened."""
    for data, field in (
        ({**GOOD, "address": "jan"}, "address"),
        ({**GOOD, "agree": ""}, "agree"),
        ({"notice": "7"}, "address"),
    ):
        html = (await web.post(FORM, data=data)).text
        assert re.findall(r'<input[^>]* id="(\w+)"[^>]*autofocus', html) == [field]
    assert "autofocus" not in (await web.get(FORM)).text


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (ScopeLevel.LIST, "this list alone"),
        (ScopeLevel.BRAND, "all newsletters and offers from Korenbloem Thuis"),
        (ScopeLevel.TENANT, "all newsletters and offers from Bakkerij De Korenbloem B.V."),
    ],
)
async def test_form_says_what_the_consent_covers(
    site: Site, web: httpx.AsyncClient, scope: ScopeLevel, said: str
) -> None:
    site.signups.shown = replace(NOTICE, scope=scope)
    assert f"<dd>{said}</dd>" in (await web.get(FORM)).text


async def test_unknown_form_is_404(site: Site, web: httpx.AsyncClient) -> None:
    for path in ("/s/korenbloem/none", "/s/none/recepten", "/s/korenbloem", "/s/a/b/c"):
        assert (await web.get(path)).status_code == 404, path
    for data in (GOOD, {}):
        assert (await web.post("/s/korenbloem/none", data=data)).status_code == 404
    assert site.signups.asked == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_store_trouble_is_503(site: Site, web: httpx.AsyncClient, method: str) -> None:
    site.signups.trouble = True
    answer = await web.request(method, FORM, data=GOOD if method == "POST" else None)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


async def test_long_body_and_other_methods(site: Site, web: httpx.AsyncClient) -> None:
    assert (await web.post(FORM, data={**GOOD, "x": "x" * 20_000})).status_code == 413
    assert (await web.put(FORM, data=GOOD)).status_code == 405
    assert (await web.get(FORM, params=GOOD)).status_code == 200
    assert (await web.head(FORM)).status_code == 200
    assert site.signups.asked == []


async def test_client_is_seen_through_trusted_proxies() -> None:
    async with (
        serve(trusted_proxies=("127.0.0.0/8",)) as behind,
        httpx.AsyncClient(base_url=behind.url, verify=False) as client,
    ):
        await client.post(FORM, data=GOOD, headers={"X-Forwarded-For": "203.0.113.9"})
        assert behind.signups.asked[0].ip == "203.0.113.9"
