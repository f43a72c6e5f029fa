"""The API as a stranger has it: every route of its own document, over real HTTP.

What is tried comes from the document, so that a new route is tried, too.
"""

from __future__ import annotations

import asyncio
import copy
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.config import (
    PositiveDataAcceptanceConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.engine import events, from_schema

from relay.store.backup import DATABASE
from tests.support.api_rig import SECRETS, Rig, api_rig

SECONDS = 8
"""For which generated requests are sent."""
BODIES: dict[str, Any] = {
    "/lists/{list}/notices": {"question": "Mail me the weekly news."},
    "/lists/{list}/subscriptions": {
        "address": "anna@people.test",
        "ip": "192.0.2.1",
        "form_url": "https://shop.test/form",
    },
    "/lists/{list}/acceptances": {
        "version": "1",
        "accepted_by": "Anna",
        "content_digest": "0" * 64,
    },
    "/links": {"list": "news", "addresses": ["anna@people.test"]},
    "/consents": {
        "basis": "offline",
        "list": "news",
        "address": "anna@people.test",
        "channel": "paper",
        "date": "2026-01-02",
        "collected_by": "Bert",
    },
    "/optouts": {"address": "anna@people.test", "list": "news"},
    "/hooks": {"name": "mine", "format": "generic", "list": "news"},
}
"""Bodies that name something of the tenant ``shop``, for its routes with a body."""
OWN_ONLY = frozenset({"/webhooks", "/erasures"})
"""Routes with a body that names nothing: each tenant has its own there."""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with api_rig(tmp_path) as running:
        await running.hold("m1")
        await running.post_to("/hooks", {"name": "listmonk", "format": "listmonk"})
        await running.post_to("/webhooks", {"url": "https://shop.example/x"})
        yield running


async def routes(rig: Rig) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path with what is ``shop``'s in it, and how to ask; from the document."""
    document = (await rig.get("/openapi.json")).json()
    found = []
    for template, operations in document["paths"].items():
        template = template.removeprefix("/api/v1")
        path = template.replace("{list}", "news").replace("{id}", "m1.1")
        path = path.replace("{name}", "listmonk")
        for method, operation in operations.items():
            params = {
                parameter["name"]: {
                    "address": "anna@people.test",
                    "url": "https://shop.example/x",
                    "sha256": "0" * 64,
                }.get(parameter["name"], "pos")
                for parameter in operation.get("parameters", ())
                if parameter["in"] == "query" and parameter["required"]
            }
            more: dict[str, Any] = {"params": params}
            if "requestBody" in operation:
                if "text/csv" in operation["requestBody"]["content"]:
                    more |= {"content": b"", "headers": {"Content-Type": "text/csv"}}
                else:
                    more["json"] = BODIES.get(template, {"address": "x@people.test"})
            found.append((method.upper(), path, {**more, "template": template}))
    return found


async def test_without_a_key_in_force_every_route_gives_one_answer(rig: Rig) -> None:
    answers = set()
    tried = await routes(rig)
    for method, path, more in tried:
        more.pop("template")
        for key in (None, "revoked"):
            answer = await rig.ask(method, path, key, **more)
            answers.add((answer.status_code, answer.content, answer.headers["www-authenticate"]))
    assert len(tried) >= 24
    assert {status for status, _, _ in answers} == {401}
    assert len(answers) == 1


async def test_what_is_another_tenants_is_not_there(rig: Rig) -> None:
    nothing = (await rig.get("/nowhere", "club")).content
    before = (await rig.get("/events")).content
    named = 0
    for method, path, more in await routes(rig):
        template = more.pop("template")
        if "{" not in template and (template in OWN_ONLY or "json" not in more):
            continue
        named += 1
        answer = await rig.ask(method, path, "club", **more)
        assert (answer.status_code, answer.content) == (404, nothing), (method, path)
    assert named >= 13
    removed = await rig.ask("DELETE", "/webhooks", "club", params={"url": "https://shop.example/x"})
    assert (removed.status_code, removed.content) == (404, nothing)
    assert (await rig.get("/events")).content == before
    assert (await rig.get("/quarantine/m1.1")).status_code == 200


async def test_listings_hold_nothing_of_another_tenant(rig: Rig) -> None:
    await rig.consent("anna@people.test")
    for method, path, more in await routes(rig):
        if method == "GET" and "{" not in more.pop("template"):
            answer = await rig.get(path, "club", **more)
            assert answer.status_code == 200, path
            for own in ("listmonk", "shop.example", "m1.1", "granted", "News of shop"):
                assert own not in answer.text, (path, own)


async def live(rig: Rig, seed: int, *, alone: bool) -> list[str]:
    """Random acts of two tenants on the same people; what ``shop`` sees after each of its own.

    With ``alone`` only ``shop`` acts, and in the same way.
    """
    chance = random.Random(seed)
    people = [f"p{number}@people.test" for number in range(3)]
    views: list[str] = []
    for number in range(25):
        key = chance.choice(("shop", "club"))
        who, what = chance.choice(people), chance.choice(("word", "out", "hold", "erase", "hook"))
        rig.clock.advance(1)
        if alone and key == "club":
            continue
        slug = "news" if key == "shop" else "post"
        match what:
            case "word":
                said = {"basis": "offline", "channel": "paper", "collected_by": "B"}
                said |= {"list": slug, "address": who, "date": "2026-01-02"}
                await rig.post_to("/consents", said, key)
            case "out":
                await rig.post_to("/optouts", {"address": who, "list": slug}, key)
            case "hold":
                await rig.hold(f"h{number}", who, rig.shop if key == "shop" else rig.club)
            case "erase":
                await rig.post_to("/erasures", {"address": who}, key)
            case "hook":
                await rig.post_to("/hooks", {"name": f"h{number}", "format": "generic"}, key)
        if key == "shop":
            views += [(await rig.get(path)).text for path in ("/lists", "/hooks", "/quarantine")]
            views += [(await rig.get("/consents", params={"address": one})).text for one in people]
            page = (await rig.get("/events")).json()
            # The cursor holds a salted hash, which is another one in each history.
            views.append(str((page["events"], page["more"])))
    return views


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_tenants_view_never_depends_on_what_another_does(tmp_path: Path, seed: int) -> None:
    views = []
    for alone in (True, False):
        directory = tmp_path / str(alone)
        directory.mkdir()
        async with api_rig(directory) as rig:
            # Keyed hashes are salted by the pepper alone, and never shown.
            views.append(await live(rig, seed, alone=alone))
    assert len(views[0]) > 30
    assert views[0] == views[1]


async def test_every_operation_says_what_it_does(rig: Rig) -> None:
    document = (await rig.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    ids = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            ids.append(operation["operationId"])
            assert operation["summary"], path
            assert {"401", "429", "500", "503"} <= set(operation["responses"]), (method, path)
            assert not [name for name in operation if name.startswith("x-")], path
            assert "Successful Response" not in str(operation["responses"]), (method, path)
    assert len(set(ids)) == len(ids)


async def test_a_locked_store_is_our_trouble_and_loses_nothing(tmp_path: Path) -> None:
    leaving = {"address": "anna@people.test"}
    key = {"Idempotency-Key": "once"}
    async with api_rig(tmp_path, wait=0.2) as rig:
        other = sqlite3.connect(rig.settings.data_dir / DATABASE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        asking = asyncio.ensure_future(rig.post_to("/optouts", leaving, headers=key))
        while not asking.done():
            # How long the store waits is told by the clock of the test.
            rig.clock.advance(0.1)
            await asyncio.sleep(0.01)
        answer = asking.result()
        reading = await rig.get("/events")
        other.execute("ROLLBACK")
        other.close()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        assert answer.json()["type"].endswith(":store-trouble")
        assert "sqlite" not in answer.text.lower()
        assert (reading.status_code, reading.json()["events"]) == (200, [])
        again = await rig.post_to("/optouts", leaving, headers=key)
        assert (again.status_code, again.json()["recorded"]) == (200, True)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Rig]:
    """The API in a loop of its own: schemathesis calls it as a stranger would."""
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()
    running: list[Rig] = []

    async def serve() -> None:
        async with api_rig(tmp_path) as rig:
            await rig.hold("m1")
            await rig.consent("anna@people.test")
            running.append(rig)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(30)
    yield running[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.mark.filterwarnings("default")
def test_generated_requests_find_nothing_that_the_document_does_not_say(served: Rig) -> None:
    """Valid and invalid data, all checks; a schema-valid value may still be refused with 422, as
    an address of a wrong form is."""
    project = ProjectConfig(
        headers={"Authorization": f"Bearer {SECRETS['shop']}"},
    )
    project.checks.positive_data_acceptance = PositiveDataAcceptanceConfig(
        expected_statuses=["2xx", "401", "403", "404", "409", "422", "429"]
    )
    config = SchemathesisConfig(
        projects=ProjectsConfig(default=project), max_time=SECONDS, seed=20_261_122
    )
    url = f"{served.url}/api/v1/openapi.json"
    schema = schemathesis.openapi.from_url(
        url, config=config, headers={"Authorization": f"Bearer {SECRETS['shop']}"}
    )
    # One key for all requests would make most of them conflict.
    document = copy.deepcopy(schema.raw_schema)
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                parameter.pop("example", None)
    again = schemathesis.openapi.from_dict(document, config=config)
    again.location = schema.location
    cases, failures = 0, []
    for event in from_schema(again).execute():
        if isinstance(event, events.ScenarioFinished):
            for checks in event.recorder.checks.values():
                cases += 1
                failures += [check for check in checks if check.failure_info is not None]
        assert not isinstance(event, events.FatalError), event
        assert not isinstance(event, events.NonFatalError), event
    assert [str(check.failure_info) for check in failures][:5] == []
    assert cases > 100
