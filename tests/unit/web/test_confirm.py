"""``/c/TOKEN`` over a real socket: only the button confirms (clause A4)."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from relay.model import ScopeLevel
from tests.unit.web.book import NOTICE, TOKEN, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUTTON = {"confirm": "1"}


async def test_page_says_who_what_how_often_and_to_which_address(
    site: Site, web: httpx.AsyncClient
) -> None:
    html = (await web.get(f"/c/{TOKEN}", headers={"User-Agent": "browser"})).text
    for shown in (
        *(NOTICE.sender, NOTICE.party, NOTICE.purpose, NOTICE.question, NOTICE.postal_address),
        *("at most 2 times a month", "j•••@e••••••.org", "nobody else"),
    ):
        assert shown in html
    assert html.count("<button") == html.count("<form") == 1
    assert [(act.token, act.ip, act.user_agent) for act in site.confirmations.fetched] == [
        (TOKEN, "127.0.0.1", "browser")
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "query", ["", "?confirm=1", "?confirm=true", "?_method=POST&confirm=1", "?lang=nl&confirm=1"]
)
async def test_reading_confirms_nothing(
    site: Site, web: httpx.AsyncClient, method: str, query: str
) -> None:
    overrides = dict.fromkeys(
        ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"), "POST"
    )
    answer = await web.request(method, f"/c/{TOKEN}{query}", headers=overrides)
    assert answer.status_code == 200
    assert site.confirmations.acts == []
    assert len(site.confirmations.fetched) == (1 if method == "GET" else 0), "HEAD leaves no trace"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_confirm_nothing(
    site: Site, web: httpx.AsyncClient, method: str
) -> None:
    answer = await web.request(method, f"/c/{TOKEN}", data=BUTTON)
    assert answer.status_code == 405
    assert site.confirmations.acts == []


async def test_button_confirms_and_says_what_was_agreed_and_how_to_stop(
    site: Site, web: httpx.AsyncClient
) -> None:
    answer = await web.post(f"/c/{TOKEN}", data=BUTTON, headers={"User-Agent": "browser"})
    assert answer.status_code == 200
    for shown in ("You are signed up", NOTICE.question, "You can stop at any time", NOTICE.contact):
        assert shown in answer.text
    assert [(act.token, act.ip, act.user_agent) for act in site.confirmations.acts] == [
        (TOKEN, "127.0.0.1", "browser")
    ]
    again = await web.get(f"/c/{TOKEN}")
    assert "You are signed up" in again.text
    assert "<button" not in again.text


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (ScopeLevel.LIST, "this list alone"),
        (ScopeLevel.BRAND, "all newsletters and offers from Korenbloem Thuis"),
        (ScopeLevel.TENANT, "all newsletters and offers from Bakkerij De Korenbloem B.V."),
    ],
)
async def test_scope_is_said_before_and_after(
    site: Site, web: httpx.AsyncClient, scope: ScopeLevel, said: str
) -> None:
    site.confirmations.pages[TOKEN] = replace(
        site.confirmations.pages[TOKEN], notice=replace(NOTICE, scope=scope)
    )
    assert said in (await web.get(f"/c/{TOKEN}")).text
    assert said in (await web.post(f"/c/{TOKEN}", data=BUTTON)).text


@pytest.mark.parametrize(
    "data", [{}, {"confirm": "true"}, {"confirm": ""}, {"List-Unsubscribe": "One-Click"}]
)
async def test_another_body_confirms_nothing(
    site: Site, web: httpx.AsyncClient, data: dict[str, str]
) -> None:
    assert (await web.post(f"/c/{TOKEN}", data=data)).status_code == 400
    assert (await web.post(f"/c/{TOKEN}", json={"confirm": "1"})).status_code == 400
    assert site.confirmations.acts == []


async def test_dead_and_unknown_tokens_are_one_page_that_says_what_to_do(
    site: Site, web: httpx.AsyncClient
) -> None:
    answers = [
        await web.get("/c/dead"),
        await web.post("/c/unknown", data=BUTTON),
        await web.post("/c/unknown", data={}),
        await web.get("/c/" + "x" * 600),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert "sign up once more" in answers[0].text
    assert site.confirmations.acts == []


async def test_wrong_tokens_share_one_count_and_right_ones_are_never_limited(
    web: httpx.AsyncClient,
) -> None:
    paths = ["/c/a", "/u/b", "/p/c", "/c/d", "/p/e/receipt"]
    assert [(await web.get(path)).status_code for path in paths] == [404] * 5
    assert (await web.get("/p/f/receipt.json")).status_code == 429
    assert (await web.get("/c/g")).status_code == 429
    for path in (f"/c/{TOKEN}", f"/u/{TOKEN}", f"/p/{TOKEN}"):
        assert (await web.get(path)).status_code == 200
    assert (await web.post(f"/c/{TOKEN}", data=BUTTON)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_store_trouble_is_503(site: Site, web: httpx.AsyncClient, method: str) -> None:
    site.confirmations.trouble = True
    answer = await web.request(method, f"/c/{TOKEN}", data=BUTTON if method == "POST" else None)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


async def test_hostile_names_are_escaped(site: Site, web: httpx.AsyncClient) -> None:
    evil = '"><script>alert(1)</script>%(x)s{{7*7}}'
    notice = replace(
        *(NOTICE,),
        **dict.fromkeys(
            ("language", "sender", "party", "postal_address", "registration", "contact"), evil
        ),
        **dict.fromkeys(("purpose", "promise", "third_parties", "question"), evil),
        scope=ScopeLevel.BRAND,
    )
    site.signups.shown = notice
    site.confirmations.pages[TOKEN] = replace(site.confirmations.pages[TOKEN], notice=notice)
    for answer in (
        await web.get("/s/korenbloem/recepten"),
        await web.get(f"/c/{TOKEN}"),
        await web.post(f"/c/{TOKEN}", data=BUTTON),
    ):
        assert answer.status_code == 200
        assert "<script" not in answer.text
        assert "{{7*7}}" in answer.text
