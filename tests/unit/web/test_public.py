"""The other public paths, over a real socket."""

from __future__ import annotations

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from relay.model import Reason
from relay.settings import Http, Settings
from relay.web.public import public_app
from relay.web.reasons import EXPLANATIONS
from tests.support.clock import FakeClock
from tests.unit.web.book import (
    TOKEN,
    Book,
    ConfirmBook,
    Readiness,
    RecordBook,
    SignUpBook,
    Site,
    serve,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_reason_is_explained_in_both_languages(web: httpx.AsyncClient) -> None:
    for reason in Reason:
        pages = {
            language: await web.get(f"/why/{reason}", headers={"Accept-Language": language})
            for language in ("en", "nl")
        }
        for language, page in pages.items():
            assert page.status_code == 200, reason
            assert f'<html lang="{language}">' in page.text
            assert page.headers["content-language"] == language
            assert page.headers["vary"] == "Accept-Language"
            assert reason in page.text
            assert "abuse@hosting.test" in page.text
        assert EXPLANATIONS[reason].title in pages["en"].text
        assert EXPLANATIONS[reason].title not in pages["nl"].text


async def test_unknown_reason_and_unknown_path_are_404(web: httpx.AsyncClient) -> None:
    for path in ("/why/because", "/why/NO-CONSENT", "/why/", "/", "/u/", "/metrics", "/docs"):
        assert (await web.get(path)).status_code == 404, path


async def test_language_can_be_chosen_on_the_page(web: httpx.AsyncClient) -> None:
    dutch = {"Accept-Language": "nl-BE,nl;q=0.9,en;q=0.1"}
    assert 'lang="nl"' in (await web.get(f"/u/{TOKEN}", headers=dutch)).text
    chosen = await web.get(f"/u/{TOKEN}?lang=en", headers=dutch)
    assert '<html lang="en">' in chosen.text
    assert '<html lang="nl">' in (await web.get(f"/u/{TOKEN}?lang=xx", headers=dutch)).text


async def test_alive_and_ready(site: Site, web: httpx.AsyncClient) -> None:
    assert (await web.get("/healthz")).status_code == 200
    ready = await web.get("/readyz")
    assert (ready.status_code, ready.text) == (200, "ready\n")
    site.health.answer = (False, "draining")
    draining = await web.get("/readyz")
    assert (draining.status_code, draining.text) == (503, "draining\n")
    assert (await web.get("/healthz")).status_code == 200


async def test_a_proxy_that_is_no_network_is_named() -> None:
    settings = Settings(http=Http(trusted_proxies=("10.0.0.0/8", "proxy.test")))
    with pytest.raises(ValueError, match=r"proxy\.test"):
        public_app(
            optouts=Book(),
            signups=SignUpBook(),
            confirmations=ConfirmBook(),
            own_records=RecordBook(),
            health=Readiness(),
            settings=settings,
            clock=FakeClock(),
        )


async def test_further_routes_are_served_under_the_same_headers() -> None:
    async def hook(request: Request) -> Response:
        return PlainTextResponse("taken")

    async with (
        serve(extra=[Route("/hook", hook, methods=["POST"])]) as running,
        httpx.AsyncClient(base_url=running.url, verify=False) as client,
    ):
        answer = await client.post("/hook")
        assert (answer.status_code, answer.text) == (200, "taken")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_bug_of_ours_is_a_page_and_a_log_line(
    site: Site, web: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    site.book.pages = None  # type: ignore[assignment]
    answer = await web.get(f"/u/{TOKEN}")
    assert answer.status_code == 500
    assert "Please try again" in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert any(record.exc_info for record in caplog.records)
