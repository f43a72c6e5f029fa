"""Repeated writes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import Any

from relay.store.backup import DATABASE
from relay.store.idempotency import KEPT_SECONDS
from tests.support.api_rig import Rig

KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
LEAVING = {"address": "anna@people.test"}


async def events(rig: Rig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await rig.get("/events")).json()["events"]
    return found


async def test_the_same_request_acts_once(rig: Rig) -> None:
    notice = {"question": "Send me the weekly news of Shop BV."}
    first = await rig.post_to("/lists/news/notices", notice, headers=KEY)
    again = await rig.post_to("/lists/news/notices", notice, headers=KEY)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.json()) == (201, first.json())


async def test_a_bare_key_is_the_quoted_one(rig: Rig) -> None:
    await rig.post_to("/optouts", LEAVING, headers={"Idempotency-Key": "abc"})
    again = await rig.post_to("/optouts", LEAVING, headers={"Idempotency-Key": '"abc"'})
    assert again.headers["idempotency-replayed"] == "true"


async def test_another_request_with_the_same_key_is_refused(rig: Rig) -> None:
    await rig.post_to("/optouts", LEAVING, headers=KEY)
    for other in ({"address": "bert@people.test"}, {**LEAVING, "list": "news"}):
        answer = await rig.post_to("/optouts", other, headers=KEY)
        assert answer.status_code == 422
        assert answer.json()["type"].endswith(":idempotency-key-reused")
    assert len(await events(rig)) == 1


async def test_another_path_is_another_request(rig: Rig) -> None:
    await rig.post_to("/optouts", LEAVING, headers=KEY)
    assert (await rig.post_to("/erasures", LEAVING, headers=KEY)).status_code == 422


async def test_keys_belong_to_their_tenant(rig: Rig) -> None:
    await rig.post_to("/optouts", LEAVING, headers=KEY)
    answer = await rig.post_to("/optouts", {"address": "x@people.test"}, "club", headers=KEY)
    assert answer.status_code == 200
    assert "idempotency-replayed" not in answer.headers


async def test_at_the_same_moment_one_acts_and_the_others_hear_of_it(rig: Rig) -> None:
    ask = [rig.post_to("/optouts", LEAVING, headers=KEY) for _ in range(8)]
    answers = await asyncio.gather(*ask)
    fresh = [a for a in answers if a.status_code == 200 and "idempotency-replayed" not in a.headers]
    assert len(fresh) == 1
    assert {a.status_code for a in answers} <= {200, 409}
    for late in (a for a in answers if a.status_code == 409):
        assert late.json()["type"].endswith(":under-way")
        assert late.headers["retry-after"] == "1"
    assert len(await events(rig)) == 1


async def test_a_refused_request_may_be_mended(rig: Rig) -> None:
    bad = await rig.post_to("/optouts", {"address": "no address"}, headers=KEY)
    good = await rig.post_to("/optouts", LEAVING, headers=KEY)
    assert (bad.status_code, good.status_code) == (422, 200)


async def test_answers_are_kept_for_a_day(rig: Rig) -> None:
    await rig.post_to("/optouts", LEAVING, headers=KEY)
    rig.clock.advance(KEPT_SECONDS - 1)
    again = await rig.post_to("/optouts", LEAVING, headers=KEY)
    assert again.headers["idempotency-replayed"] == "true"
    rig.clock.advance(1)
    late = await rig.post_to("/optouts", {"address": "x@people.test"}, headers=KEY)
    assert late.status_code == 200


async def test_a_secret_is_in_the_first_answer_alone(rig: Rig) -> None:
    wanted = {"name": "lm", "format": "listmonk", "list": "news"}
    first = (await rig.post_to("/hooks", wanted, headers=KEY)).json()
    again = await rig.post_to("/hooks", wanted, headers=KEY)
    assert first["url"].startswith("https://relay.test/hooks/")
    assert again.json() == {**first, "url": None}


async def test_nothing_stored_names_the_person_or_the_key(rig: Rig) -> None:
    keys = {"Idempotency-Key": "optout-anna@people.test"}
    await rig.post_to("/optouts", LEAVING, headers=keys)
    wanted = {"name": "lm", "format": "generic"}
    url = (await rig.post_to("/hooks", wanted, headers=KEY)).json()["url"]
    with sqlite3.connect(rig.settings.data_dir / DATABASE) as database:
        rows = database.execute("SELECT * FROM idempotency_keys").fetchall()
    database.close()
    assert len(rows) == 2
    text = json.dumps(rows)
    assert "anna" not in text
    assert url.rpartition("/")[2] not in text


async def test_a_key_is_visible_ascii(rig: Rig) -> None:
    for value in (b"", b"a b", b"\xc3\xa9", b"x" * 256):
        answer = await rig.post_to("/optouts", LEAVING, headers={"Idempotency-Key": value})
        assert answer.status_code == 422, value
        assert answer.json()["errors"][0]["parameter"] == "Idempotency-Key"


async def test_links_are_made_anew(rig: Rig) -> None:
    wanted = {"list": "news", "addresses": ["anna@people.test"]}
    answers = [await rig.post_to("/links", wanted, headers=KEY) for _ in range(2)]
    assert len({answer.json()["links"][0]["url"] for answer in answers}) == 2
