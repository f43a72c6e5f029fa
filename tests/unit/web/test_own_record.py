"""``/p/TOKEN`` over a real socket: a person's own record, its stop buttons and receipts."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from tests.unit.web.book import NOTICE, TOKEN, VIEW, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_record_says_what_since_when_where_and_in_what_words(web: httpx.AsyncClient) -> None:
    html = (await web.get(f"/p/{TOKEN}")).text
    for shown in (
        *("jan@example.org", "Aanbiedingen en recepten", "28 May 2026, 20:26 UTC"),
        *("https://www.korenbloem.test/aanmelden", NOTICE.question, "at most 2 times a month"),
        *(
            "nobody else",
            "Molen De Hoop",
            "This mail may come to you.",
            "You get no mail: you stopped it.",
        ),
        *("Consent recorded", "Mail stopped with the button of a mail program"),
        *("something.new", "pigeon", "not known"),
        *(f'href="{TOKEN}/receipt?lang=en"', f'href="{TOKEN}/receipt.json"'),
    ):
        assert shown in html
    assert html.count("<button") == 2, "one consent stands, and everything can be stopped"


async def test_stop_of_one_and_of_everything(site: Site, web: httpx.AsyncClient) -> None:
    one = await web.post(f"/p/{TOKEN}", data={"stop": "list:3"})
    assert one.status_code == 200
    assert "Done. It works from now on." in one.text
    assert one.text.count("<button") == 1
    everything = await web.post(f"/p/{TOKEN}", data={"stop": "tenant:0"})
    assert "Everything is stopped" in everything.text
    assert "<button" not in everything.text
    assert site.records.stops == [("list", 3), ("tenant", 0)]


@pytest.mark.parametrize(
    "stop", ["", "list", "list:", "list:x", "list:-1", "world:1", "list:3 ", "list:" + "9" * 19]
)
async def test_a_stop_that_is_none_changes_nothing(
    site: Site, web: httpx.AsyncClient, stop: str
) -> None:
    assert (await web.post(f"/p/{TOKEN}", data={"stop": stop})).status_code == 400
    assert (await web.get(f"/p/{TOKEN}", params={"stop": "tenant:0"})).status_code == 200
    assert site.records.stops == []


async def test_a_scope_of_another_tenant_is_the_same_404(
    site: Site, web: httpx.AsyncClient
) -> None:
    foreign = await web.post(f"/p/{TOKEN}", data={"stop": "list:4"})
    unknown = await web.get("/p/unknown")
    assert foreign.status_code == 404
    assert foreign.content == unknown.content
    assert site.records.stops == []


async def test_expired_links_are_one_page_that_says_how_to_get_another(
    web: httpx.AsyncClient,
) -> None:
    answers = [
        await web.get("/p/old"),
        await web.get("/p/old/receipt"),
        await web.get("/p/old/receipt.json"),
        await web.post("/p/old", data={"stop": "tenant:0"}),
        await web.post("/p/old", data={}),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert "Show me what is on record about me" in answers[0].text


async def test_what_was_never_recorded_is_not_promised(site: Site, web: httpx.AsyncClient) -> None:
    bare = replace(VIEW.consents[1], third_parties="")
    site.records.views[TOKEN] = replace(VIEW, consents=(bare,))
    html = (await web.get(f"/p/{TOKEN}")).text
    assert "nobody else" not in html
    assert html.count("not known") == 3


async def test_receipt_to_print(web: httpx.AsyncClient) -> None:
    answer = await web.get(f"/p/{TOKEN}/receipt", headers={"Accept-Language": "nl"})
    assert answer.status_code == 200
    for shown in (
        *("Bewijs: uw gegevens bij Bakkerij De Korenbloem B.V.", "jan@example.org"),
        *("15 januari 2027, 08:00 UTC", NOTICE.question, "28 mei 2026", "Voorbeeld Hosting"),
    ):
        assert shown in answer.text
    assert "<form" not in answer.text
    assert "@media print" in answer.text


async def test_receipt_for_machines(web: httpx.AsyncClient) -> None:
    answer = await web.get(f"/p/{TOKEN}/receipt.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="receipt.json"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {"address": "jan@example.org", "words": NOTICE.question + " é"}


async def test_a_person_without_a_record(site: Site, web: httpx.AsyncClient) -> None:
    site.records.views[TOKEN] = replace(VIEW, consents=(), history=())
    for path in (f"/p/{TOKEN}", f"/p/{TOKEN}/receipt"):
        html = (await web.get(path)).text
        assert "There is no consent of yours on record." in html
        assert "Nothing has happened yet." in html


@pytest.mark.parametrize("path", ["", "/receipt", "/receipt.json"])
async def test_store_trouble_is_503(site: Site, web: httpx.AsyncClient, path: str) -> None:
    site.records.trouble = True
    answer = await web.get(f"/p/{TOKEN}{path}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert (await web.post(f"/p/{TOKEN}", data={"stop": "tenant:0"})).status_code == 503


async def test_no_cookie_no_login_no_token_in_a_referrer(web: httpx.AsyncClient) -> None:
    for path in (f"/p/{TOKEN}", f"/p/{TOKEN}/receipt", f"/p/{TOKEN}/receipt.json"):
        answer = await web.get(path)
        assert "set-cookie" not in answer.headers
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert 'type="password"' not in answer.text
