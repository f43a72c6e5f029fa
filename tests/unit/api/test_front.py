"""Who gets in, on every path, and how often."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.api_rig import SECRETS, Rig, api_rig

NAMES = ("relay.api", "uvicorn.error", "fastapi", "asyncio")
"""Loggers on the relay's side; the client of the test has its own."""
WRONG = (
    None,
    "Bearer",
    "Bearer nobody",
    f"Bearer {SECRETS['revoked']}",
    f"Basic {SECRETS['shop']}",
    f"Bearer {SECRETS['shop']} more",
    SECRETS["shop"],
    "Bearer " + "x" * 5_000,
)


async def test_without_a_valid_key_every_path_answers_alike(rig: Rig) -> None:
    plain = await rig.client.get("/api/v1/lists")
    assert plain.status_code == 401
    assert plain.headers["www-authenticate"] == 'Bearer realm="consent-relay"'
    assert plain.headers["content-type"] == "application/problem+json"
    assert plain.headers["cache-control"] == "no-store"
    for path in ("/api/v1/events", "/api/v1/openapi.jso", "/nowhere", "/"):
        for value in WRONG:
            headers = {"Authorization": value} if value is not None else {}
            answer = await rig.client.get(path, headers=headers)
            assert (answer.status_code, answer.content) == (401, plain.content), (path, value)


async def test_the_description_is_there_for_everybody(rig: Rig) -> None:
    answer = await rig.client.get("/api/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")
    assert (await rig.client.post("/api/v1/openapi.json")).status_code == 405


@pytest.mark.parametrize("path", ["/api/v1/lists", "/api/v1/events", "/nowhere"])
async def test_a_host_that_looks_like_a_path_opens_nothing(rig: Rig, path: str) -> None:
    """The Host field is the client's word: what is asked for stands in the path alone."""
    plain = await rig.client.get(path)
    for host in ("x/api/v1/openapi.json?", "x/api/v1/openapi.json#"):
        answer = await rig.client.get(path, headers={"Host": host})
        assert (answer.status_code, answer.content) == (401, plain.content)


async def test_two_keys_in_one_request_are_none(rig: Rig) -> None:
    fields = [("Authorization", f"Bearer {SECRETS[name]}") for name in ("shop", "club")]
    assert (await rig.client.get("/api/v1/lists", headers=fields)).status_code == 401


async def test_the_scheme_is_written_in_any_case(rig: Rig) -> None:
    headers = {"Authorization": f"bearer {SECRETS['shop']}"}
    assert (await rig.client.get("/api/v1/lists", headers=headers)).status_code == 200


async def test_a_revoked_key_stops_at_once(rig: Rig) -> None:
    assert (await rig.get("/lists")).status_code == 200
    key = next(k for k in rig.store.directory.api_keys.values() if k.name == "shop")
    await rig.store.registry.revoke_api_key(key.id)
    assert (await rig.get("/lists")).status_code == 401


async def test_what_is_not_there_is_one_answer(rig: Rig) -> None:
    unknown = await rig.get("/nowhere")
    assert unknown.status_code == 404
    for path in ("/lists/none/notices", "/lists/post/notices", "/quarantine/x.1", "/hooks/x/y"):
        assert (await rig.get(path)).content == unknown.content


async def test_a_wrong_method_is_told_the_right_ones(rig: Rig) -> None:
    answer = await rig.ask("PATCH", "/consents")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert answer.json()["type"] == "urn:consent-relay:problem:method-not-allowed"


async def test_wrong_keys_are_limited_by_network_and_right_ones_are_not(tmp_path: Path) -> None:
    async with api_rig(tmp_path, invalid_keys_per_minute=3) as rig:
        answers = [(await rig.get("/lists", "revoked")).status_code for _ in range(5)]
        assert answers == [401, 401, 401, 429, 429]
        late = await rig.get("/lists", None)
        assert int(late.headers["retry-after"]) > 0
        assert (await rig.get("/lists")).status_code == 200
        rig.clock.advance(60)
        assert (await rig.get("/lists", None)).status_code == 401


async def test_each_key_has_its_own_rate(tmp_path: Path) -> None:
    async with api_rig(tmp_path, requests_per_minute=3) as rig:
        assert [(await rig.get("/lists")).status_code for _ in range(4)] == [200, 200, 200, 429]
        limited = await rig.get("/nowhere")
        assert limited.status_code == 429
        assert limited.json()["type"] == "urn:consent-relay:problem:too-many-requests"
        assert 0 < int(limited.headers["retry-after"]) <= 60
        assert (await rig.get("/lists", "club")).status_code == 200
        rig.clock.advance(int(limited.headers["retry-after"]))
        assert (await rig.get("/lists")).status_code == 200


async def test_a_bug_is_an_id_and_tells_nothing_of_the_request(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*given: object, **more: object) -> None:
        raise RuntimeError("anna@people.test could not be found")

    monkeypatch.setattr(rig.store.consents, "acts", broken)
    with caplog.at_level(logging.DEBUG):
        answer = await rig.get("/consents", params={"address": "anna@people.test"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "anna" not in answer.text
    logged = [record.getMessage() for record in caplog.records if record.name == "relay.api"]
    (line,) = logged
    assert "RuntimeError in broken:" in line
    assert line.split("id ")[1].split(":")[0] in answer.json()["detail"]
    ours = [record.getMessage() for record in caplog.records if record.name in NAMES]
    assert "anna" not in "".join(ours)
