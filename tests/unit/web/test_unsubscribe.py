"""``/u/TOKEN`` over a real socket: RFC 8058, and clauses B18 and B22."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from relay.model import ScopeLevel
from tests.unit.web.book import PAGE, TOKEN, Site, serve

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
PRIVATE = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "query",
    ["", "?confirm=1", "?List-Unsubscribe=One-Click", "?_method=POST&confirm=1", "?lang=nl"],
)
async def test_reading_changes_nothing_whatever_the_query(
    site: Site, web: httpx.AsyncClient, method: str, query: str
) -> None:
    overrides = {
        "X-HTTP-Method-Override": "POST",
        "X-HTTP-Method": "POST",
        "X-Method-Override": "POST",
    }
    answer = await web.request(method, f"/u/{TOKEN}{query}", headers=overrides)
    assert answer.status_code == 200
    assert site.book.acts == []
    assert site.book.acts == []


async def test_page_names_sender_list_promise_and_address_and_has_one_great_button(
    web: httpx.AsyncClient,
) -> None:
    html = (await web.get(f"/u/{TOKEN}")).text
    for shown in (
        "Bakkerij De Korenbloem B.V.",
        "Aanbiedingen en recepten",
        "at most 2 times a month",
        "j•••@example.org",
        "info@korenbloem.test",
        "Voorbeeld Hosting",
    ):
        assert shown in html
    assert html.count("<button ") == 2
    assert html.count('class="quiet"') == 1
    assert html.count('<form method="post">') == html.count("<form") == 2
    assert "<script" not in html


async def test_button_withdraws_and_shows_the_done_page(site: Site, web: httpx.AsyncClient) -> None:
    answer = await web.post(f"/u/{TOKEN}", data={"confirm": "1"}, headers={"User-Agent": "browser"})
    assert answer.status_code == 200
    assert "You are unsubscribed" in answer.text
    assert [(act.token, act.channel, act.ip, act.user_agent) for act in site.book.acts] == [
        (TOKEN, "page", "127.0.0.1", "browser")
    ]
    assert "already unsubscribed" in (await web.get(f"/u/{TOKEN}")).text


@pytest.mark.parametrize(
    ("scope", "stops", "stopped"),
    [
        (
            ScopeLevel.LIST,
            "If you press the button, you will get no more mail from this list. It works at once.",
            "You will get no more mail from this list.",
        ),
        (
            ScopeLevel.BRAND,
            "no more newsletters or offers from Thuis, not from its other lists either. It works",
            "Thuis can send you no more newsletters or offers.",
        ),
        (
            ScopeLevel.TENANT,
            "Korenbloem B.V. can send you no more newsletters or offers. It works at once.",
            "Bakkerij De Korenbloem B.V. can send you no more newsletters or offers.",
        ),
    ],
)
async def test_every_page_says_what_stops_or_has_stopped(
    site: Site, web: httpx.AsyncClient, scope: ScopeLevel, stops: str, stopped: str
) -> None:
    site.book.pages[TOKEN] = replace(PAGE, scope=scope, brand="Thuis")
    assert stops in (await web.get(f"/u/{TOKEN}")).text
    done = (await web.post(f"/u/{TOKEN}", data={"confirm": "1"})).text
    assert f"{stopped} This holds from now on" in done
    again = (await web.get(f"/u/{TOKEN}")).text
    assert f"{stopped} You do not have to do anything" in again
    assert "a new password, still reaches you" in again


@pytest.mark.parametrize(
    ("wider", "brand", "label"),
    [
        (ScopeLevel.BRAND, "Korenbloem Thuis", "Stop everything from Korenbloem Thuis"),
        (ScopeLevel.TENANT, "", "Stop everything from Bakkerij De Korenbloem B.V."),
    ],
)
async def test_wider_stop_is_the_second_choice(
    site: Site, web: httpx.AsyncClient, wider: ScopeLevel, brand: str, label: str
) -> None:
    site.book.pages[TOKEN] = replace(PAGE, wider=wider, brand=brand)
    before = (await web.get(f"/u/{TOKEN}")).text
    after = (await web.post(f"/u/{TOKEN}", data={"confirm": "1"})).text
    again = (await web.get(f"/u/{TOKEN}")).text
    for html in (before, after, again):
        assert f'<button class="second" name="scope" value="{wider}">{label}</button>' in html
    assert before.index('name="confirm" value="1">Unsubscribe') < before.index(label)
    done = await web.post(f"/u/{TOKEN}", data={"confirm": "1", "scope": str(wider)})
    assert [act.scope for act in site.book.acts] == [None, wider]
    assert "You are unsubscribed" in done.text
    assert label not in done.text


async def test_wider_stop_without_a_name_is_not_offered(site: Site, web: httpx.AsyncClient) -> None:
    site.book.pages[TOKEN] = replace(PAGE, wider=ScopeLevel.BRAND)
    assert 'class="second"' not in (await web.get(f"/u/{TOKEN}")).text


@pytest.mark.parametrize(
    "data",
    [
        {"confirm": "1", "scope": "list"},
        {"confirm": "1", "scope": ""},
        {"confirm": "1", "scope": ["brand", "tenant"]},
        {"scope": "tenant"},
    ],
)
async def test_a_scope_that_is_no_choice_of_ours_changes_nothing(
    site: Site, web: httpx.AsyncClient, data: dict[str, object]
) -> None:
    assert (await web.post(f"/u/{TOKEN}", data=data)).status_code == 400
    assert site.book.acts == []


async def test_one_click_never_names_a_scope(site: Site, web: httpx.AsyncClient) -> None:
    answer = await web.post(f"/u/{TOKEN}", data={**ONE_CLICK, "scope": "tenant"})
    assert answer.status_code == 200
    assert [(act.channel, act.scope) for act in site.book.acts] == [("one-click", None)]


async def test_own_record_is_mailed_on_request_and_the_answer_says_nothing_else(
    site: Site, web: httpx.AsyncClient
) -> None:
    dutch = {"Accept-Language": "nl"}
    answer = await web.post(f"/u/{TOKEN}", data={"record": "1"}, headers=dutch)
    assert answer.status_code == 200
    assert "Kijk in uw mailbox" in answer.text
    assert "example.org" not in answer.text
    assert site.records.links == [(TOKEN, "nl", "127.0.0.1")]
    assert site.book.acts == []
    unknown = await web.post("/u/unknown", data={"record": "1"})
    assert (unknown.status_code, unknown.content) == (404, (await web.get("/u/other")).content)


@pytest.mark.parametrize(
    "body",
    [
        {"data": ONE_CLICK},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"content": b"List-Unsubscribe=One-Click"},
        {
            "content": b"List-Unsubscribe=One-Click",
            "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        },
        {
            "content": b"List-Unsubscribe=One-Click\r\n",
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        },
        {"data": {"source": "mail program", **ONE_CLICK}},
    ],
    ids=["urlencoded", "multipart", "no-content-type", "with-charset", "line-end", "more-fields"],
)
async def test_one_click(site: Site, web: httpx.AsyncClient, body: dict[str, object]) -> None:
    answer = await web.post(f"/u/{TOKEN}", **body)  # type: ignore[arg-type]
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "set-cookie" not in answer.headers
    assert not answer.history
    assert [act.channel for act in site.book.acts] == ["one-click"]


async def test_one_click_again_is_the_same_answer(site: Site, web: httpx.AsyncClient) -> None:
    first = await web.post(f"/u/{TOKEN}", data=ONE_CLICK)
    second = await web.post(f"/u/{TOKEN}", data=ONE_CLICK)
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert "already unsubscribed" in (await web.get(f"/u/{TOKEN}")).text


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"List-Unsubscribe=Two-Click", "application/x-www-form-urlencoded"),
        (b"confirm=0", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"&".join([b"a=1"] * 30), "application/x-www-form-urlencoded"),
        (b'{"List-Unsubscribe": "One-Click"}', "application/json"),
        (b"List-Unsubscribe=One-Click", "text/plain"),
        (b"List-Unsubscribe=One-Click", "multipart/form-data"),
        (b"garbage", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"; filename="a"\r\n\r\n'
            b"One-Click\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
    ],
)
async def test_wrong_body_is_400_and_changes_nothing(
    site: Site, web: httpx.AsyncClient, content: bytes, content_type: str
) -> None:
    answer = await web.post(f"/u/{TOKEN}", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert site.book.acts == []


async def test_large_body_is_cut_off(site: Site, web: httpx.AsyncClient) -> None:
    body = b"List-Unsubscribe=One-Click&x=" + b"x" * 20_000
    answer = await web.post(f"/u/{TOKEN}", content=body)
    assert answer.status_code == 413
    assert site.book.acts == []


async def test_unknown_token_is_one_uniform_404(web: httpx.AsyncClient) -> None:
    answers = [
        await web.get("/u/unknown"),
        await web.post("/u/other", data=ONE_CLICK),
        await web.post("/u/" + "x" * 600, data={"confirm": "1"}),
        await web.post("/u/unknown", content=b"nonsense"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    heads = [dict(answer.headers) for answer in answers]
    for head in heads:
        head.pop("date")
    assert all(head == heads[0] for head in heads)


async def test_wrong_tokens_are_limited_and_right_ones_never(
    site: Site, web: httpx.AsyncClient
) -> None:
    statuses = [(await web.get(f"/u/wrong{n}")).status_code for n in range(7)]
    assert statuses == [404] * 5 + [429] * 2
    refused = await web.post("/u/wrong", data=ONE_CLICK)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) == 12
    assert (await web.get(f"/u/{TOKEN}")).status_code == 200
    assert (await web.post(f"/u/{TOKEN}", data=ONE_CLICK)).status_code == 200
    site.clock.advance(60)
    assert (await web.get("/u/wrong")).status_code == 404


async def test_right_tokens_use_nothing_up(web: httpx.AsyncClient) -> None:
    for _ in range(20):
        assert (await web.get(f"/u/{TOKEN}")).status_code == 200
    assert (await web.get("/u/wrong")).status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_store_trouble_is_503_with_retry_after(
    site: Site, web: httpx.AsyncClient, method: str
) -> None:
    site.book.trouble = site.records.trouble = True
    data = ONE_CLICK if method == "POST" else None
    answer = await web.request(method, f"/u/{TOKEN}", data=data)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "30"
    assert site.book.acts == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_405(site: Site, web: httpx.AsyncClient, method: str) -> None:
    answer = await web.request(method, f"/u/{TOKEN}")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    assert site.book.acts == []


async def test_every_answer_is_private_and_without_cookie(
    site: Site, web: httpx.AsyncClient
) -> None:
    answers = [
        await web.get(f"/u/{TOKEN}"),
        await web.post(f"/u/{TOKEN}", data=ONE_CLICK),
        await web.post(f"/u/{TOKEN}", content=b"x"),
        await web.get("/u/unknown"),
        await web.get("/nowhere"),
        await web.put(f"/u/{TOKEN}"),
        await web.get("/healthz"),
    ]
    site.book.trouble = True
    answers.append(await web.get(f"/u/{TOKEN}"))
    for answer in answers:
        assert PRIVATE.items() <= dict(answer.headers).items()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert "set-cookie" not in answer.headers
        assert "location" not in answer.headers
        assert "server" not in answer.headers


async def test_proxy_names_the_client_only_when_trusted(site: Site, web: httpx.AsyncClient) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9"}
    await web.post(f"/u/{TOKEN}", data=ONE_CLICK, headers=forged)
    assert site.book.acts[-1].ip == "127.0.0.1"
    async with (
        serve(trusted_proxies=("127.0.0.0/8",), invalid_tokens_per_minute=1) as behind,
        httpx.AsyncClient(base_url=behind.url, verify=False) as client,
    ):
        await client.post(f"/u/{TOKEN}", data=ONE_CLICK, headers=forged)
        assert behind.book.acts[-1].ip == "203.0.113.9"
        statuses = [
            (await client.get("/u/no", headers={"X-Forwarded-For": address})).status_code
            for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
        ]
        assert statuses == [404, 429, 404]


async def test_unknown_host_field_is_harmless(web: httpx.AsyncClient) -> None:
    for path in (f"/u/{TOKEN}", f"/u/{TOKEN}/", "/why/no-consent/"):
        answer = await web.get(path, headers={"Host": "evil.test"})
        assert answer.status_code in (200, 404)
        assert "evil.test" not in answer.text + str(answer.headers)


async def test_hostile_names_are_escaped(site: Site, web: httpx.AsyncClient) -> None:
    evil = '"><script>alert(1)</script>%(x)s{{7*7}}'
    page = site.book.pages[TOKEN]
    site.book.pages[TOKEN] = replace(
        page, sender=evil, purpose=evil, promise=evil, address=evil, contact=evil
    )
    for answer in (
        await web.get(f"/u/{TOKEN}"),
        await web.post(f"/u/{TOKEN}", data={"confirm": "1"}),
    ):
        assert answer.status_code == 200
        assert "<script" not in answer.text
        assert "{{7*7}}" in answer.text


async def test_no_token_in_any_log(
    site: Site, web: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="uvicorn")
    caplog.set_level("DEBUG", logger="relay")
    await web.get(f"/u/{TOKEN}")
    await web.post(f"/u/{TOKEN}", data=ONE_CLICK)
    where = urlsplit(site.url)
    async with await anyio.connect_tcp(str(where.hostname), int(where.port or 0)) as raw:
        await raw.send(f"GET /u/{TOKEN} HTTP/9.9 bad\r\n\r\n".encode())
        assert b"400" in await raw.receive()
    ours = [r for r in caplog.records if r.name.startswith(("uvicorn", "relay"))]
    assert ours
    assert not any(TOKEN in record.getMessage() for record in ours)
