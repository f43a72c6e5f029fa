"""Webhooks of other software, over real HTTP into a real store: who left stays away, at once."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from relay.consent.receiving import Receiving
from relay.consent.withdrawing import Withdrawing
from relay.model import Basis, StandingState
from relay.operate import hooks
from relay.ports import StoreTrouble
from relay.settings import Http
from relay.tasks import Tasks
from relay.web.hooks import hook_routes
from relay.web.server import WebServer
from relay.web.visitors import Visitors
from tests.support.clock import FakeClock
from tests.unit.consent.collectors import URL, House, house

ANN = "ann@example.org"
GENERIC = hooks.HookFormat.GENERIC
GONE = {"email": ANN, "event": "unsubscribe"}


@dataclass
class Door:
    """The public listener with nothing but hooks."""

    house: House
    web: httpx.AsyncClient
    seen: list[tuple[str, str]] = field(default_factory=list)
    complaints: list[tuple[str, str]] = field(default_factory=list)

    async def make(self, tenant: str = "shop", name: str = "crm", **given: Any) -> str:
        """Make a hook; the path of its URL."""
        given.setdefault("format", GENERIC)
        made: Any = await hooks.add(Operations(self.house), tenant, name, **given)  # type: ignore[arg-type]
        url: str = made["url"]
        assert url.startswith(f"{URL}/hooks/")
        return url.removeprefix(URL)

    async def consent(self, *lists: str, address: str = ANN) -> None:
        """A consent to each of these lists of shop."""
        for slug in lists:
            found = self.house.store.directory.list_of(self.house.shop.id, slug)
            assert found is not None
            await self.house.store.consents.grant(
                self.house.shop.id,
                self.house.keys(address),
                basis=Basis.CONFIRMED,
                at=self.house.clock.now() - 60,
                list_id=found.id,
                own_act=True,
            )


class Operations:
    """The part of an operation's context that hooks need."""

    def __init__(self, where: House) -> None:
        self.store, self.clock, self.settings = where.store, where.clock, where.settings


def holding(text: str, directory: Path) -> list[Path]:
    """Files that hold a text."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return [file for file in files if text.encode() in file.read_bytes()]


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    clock = FakeClock()
    async with house(tmp_path / "data", clock) as opened:
        tasks = Tasks()
        # Plain HTTP on loopback: reading the trust store would be most of the test.
        made = Door(opened, httpx.AsyncClient(verify=False))

        def seen(tenant: str, channel: str, *_: object) -> None:
            made.seen.append((tenant, channel))

        withdrawing = Withdrawing(opened.store, clock, seen, lambda _: None)
        receiving = Receiving(opened.store, withdrawing, lambda *a: made.complaints.append(a))
        http = Http(public_url=URL, invalid_tokens_per_minute=5)
        visitors = Visitors(opened.settings.model_copy(update={"http": http}), clock)
        app = Starlette(routes=hook_routes(receiving, visitors))
        server = WebServer(app, "127.0.0.1:0", tasks, "http.public")
        await server.start()
        made.web.base_url = httpx.URL(f"http://{server.bound}")
        try:
            yield made
        finally:
            await made.web.aclose()
            await server.stop()
            await tasks.drain(1)


async def test_an_opt_out_is_in_force_before_the_answer(door: Door) -> None:
    path = await door.make(list="news")
    await door.consent("news", "sale")
    assert await door.house.state(ANN) is StandingState.GRANTED
    answer = await door.web.post(path, json={**GONE, "email": "Ann@Example.org"})
    assert (answer.status_code, answer.text) == (200, "recorded 1, ignored 0, unreadable 0\n")
    assert await door.house.state(ANN) is StandingState.WITHDRAWN
    assert await door.house.state(ANN, door.house.sale) is StandingState.GRANTED
    event = (await door.house.chain())[-1]
    assert (event["type"], event["data"]["channel"]) == ("optout", "hook")
    evidence = event["data"]["evidence"]
    assert (evidence["hook"], evidence["format"], evidence["ip"]) == ("crm", "generic", "127.0.0.1")
    assert door.seen == [("shop", "hook")]


async def test_without_a_list_everything_of_the_tenant_stops(door: Door) -> None:
    path = await door.make()
    await door.consent("news", "sale")
    await door.web.post(path, json=GONE)
    assert await door.house.state(ANN) is StandingState.WITHDRAWN
    assert await door.house.state(ANN, door.house.sale) is StandingState.WITHDRAWN
    assert await door.house.state(ANN, door.house.post) is StandingState.ABSENT


async def test_sent_again_it_is_the_same_opt_out(door: Door) -> None:
    path = await door.make()
    await door.consent("news")
    for recorded in (1, 0, 0):
        answer = await door.web.post(path, json=GONE)
        assert answer.text.startswith(f"recorded {recorded},")
    assert len(await door.house.chain()) == 2
    assert door.seen == [("shop", "hook")]


async def test_a_webhook_never_grants(door: Door) -> None:
    path = await door.make()
    await door.web.post(path, json=GONE)
    before = await door.house.chain()
    for event in ("subscribe", "confirmed", "resubscribed"):
        answer = await door.web.post(path, json={"email": ANN, "event": event})
        assert (answer.status_code, answer.text) == (200, "recorded 0, ignored 1, unreadable 0\n")
    assert await door.house.chain() == before


async def test_a_complaint_stops_all_commercial_mail(door: Door) -> None:
    path = await door.make(format=hooks.HookFormat.MAILCHIMP, list="news")
    await door.consent("news", "sale")
    fields = {"type": "unsubscribe", "data[email]": ANN, "data[reason]": "abuse"}
    assert (await door.web.post(path, data=fields)).status_code == 200
    assert await door.house.state(ANN, door.house.sale) is StandingState.COMPLAINED
    await door.web.post(path, data=fields)
    assert door.complaints == [("shop", "hook")]


async def test_mailchimp_tries_the_url_first(door: Door) -> None:
    path = await door.make(format=hooks.HookFormat.MAILCHIMP)
    for method in ("GET", "HEAD"):
        answer = await door.web.request(method, path)
        assert answer.status_code == 200
        answer = await door.web.request(method, f"{path}?type=unsubscribe&data[email]={ANN}")
        assert answer.status_code == 200
    assert await door.house.chain() == []


async def test_another_tenants_hook_touches_nobody_elses_mail(door: Door) -> None:
    path = await door.make("club", list="post")
    await door.consent("news")
    await door.web.post(path, json=GONE)
    assert await door.house.state(ANN) is StandingState.GRANTED
    assert [event["type"] for event in await door.house.chain(door.house.club)] == ["optout"]


async def test_a_wrong_secret_is_a_page_that_there_is_not(door: Door) -> None:
    path = await door.make()
    answers = [
        await door.web.request(method, wrong, json=GONE)
        for method, wrong in (
            ("POST", path[:-1] + "_"),
            ("POST", "/hooks/" + "a" * 600),
            ("GET", "/hooks/%ff%00"),
            ("POST", "/hooks/x"),
        )
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    for _ in range(5):
        last = await door.web.post("/hooks/x", json=GONE)
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) > 0
    # Whoever has the secret is never limited.
    assert (await door.web.post(path, json=GONE)).status_code == 200


async def test_a_batch_with_junk_in_it(door: Door) -> None:
    path = await door.make()
    some = [{"email": f"p{n}@example.org", "event": "unsubscribe"} for n in range(120)]
    batch = [*some, {"event": "unsubscribe"}, {"email": "no address", "event": "unsubscribe"}]
    answer = await door.web.post(path, json=[*batch, {"email": ANN, "event": "subscribe"}])
    assert answer.text == "recorded 120, ignored 1, unreadable 2\n"
    assert await door.house.state("p119@example.org") is StandingState.WITHDRAWN


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (json.dumps({"event": "unsubscribe"}).encode(), 400),
        (json.dumps({"event": "unsubscribe", "email": "\ud800@x.test"}).encode(), 400),
        (b"[" + b" " * 70_000, 413),
    ],
)
async def test_what_cannot_be_used_is_said(door: Door, body: bytes, status: int) -> None:
    path = await door.make()
    answer = await door.web.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert await door.house.chain() == []


async def test_a_removed_hook_is_closed(door: Door) -> None:
    path = await door.make()
    await hooks.remove(Operations(door.house), "shop", "crm")  # type: ignore[arg-type]
    assert (await door.web.post(path, json=GONE)).status_code == 404
    assert await door.house.chain() == []


async def test_our_own_trouble_is_to_be_tried_again(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await door.make()

    async def locked(*_: object, **__: object) -> None:
        raise StoreTrouble("locked")

    with monkeypatch.context() as patched:
        patched.setattr(door.house.store.writer, "write", locked)
        answer = await door.web.post(path, json=[GONE, {"email": "b@c.test", "event": "spam"}])
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert (await door.web.post(path, json=GONE)).text.startswith("recorded 1")


async def test_the_secret_reaches_no_log(
    door: Door, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    path = await door.make()
    secret = path.removeprefix("/hooks/")
    for body in (GONE, {"event": "unsubscribe"}, {"email": "?", "event": "spam"}, 5):
        await door.web.post(path, json=body)
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    assert [record.name for record in ours if record.levelno >= logging.WARNING]
    assert secret not in "".join(record.getMessage() for record in ours)
    assert ANN not in "".join(record.getMessage() for record in ours)
    assert not holding(secret, tmp_path)
