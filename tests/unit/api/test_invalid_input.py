"""What is wrong with a request, in words that its sender can act on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api_rig import FORM, Rig

SIGN_UP: dict[str, Any] = {"address": "anna@people.test", "ip": "192.0.2.1", "form_url": FORM}


@pytest.mark.parametrize(
    ("wrong", "pointer", "detail"),
    [
        ({"address": None}, "#/address", "It must be a string."),
        ({"address": "anna"}, "#/address", "It is not a mail address: there is no @."),
        ({"address": "a\n@b.test"}, "#/address", "It must be one line without control characters."),
        ({"address": "anna@localhost"}, "#/address", "No confirmation can be mailed there"),
        ({"ip": "here"}, "#/ip", "It cannot be taken: 'here' does not appear to be an IPv4"),
        ({"form_url": "shop.test"}, "#/form_url", "It must be an address that begins with https"),
        ({"locale": "!"}, "#/locale", "It must be a language tag, such as nl or en-GB."),
        ({"notice": ""}, "#/notice", "It must be a whole number. Or: It must not be empty."),
        ({"notice": {"a": 1}}, "#/notice", "It must be a whole number. Or: It must be a string."),
        ({"notice": 7}, "#/notice", "It is not the id of a version of this list's notice."),
        ({"more/~": 1}, "#/more~1~0", "There is no member of this name here."),
    ],
)
async def test_the_place_and_what_is_wanted_are_named(
    rig: Rig, wrong: dict[str, object], pointer: str, detail: str
) -> None:
    answer = await rig.post_to("/lists/news/subscriptions", {**SIGN_UP, **wrong})
    assert answer.status_code == 422
    (item,) = answer.json()["errors"]
    assert item["pointer"] == pointer
    assert item["detail"].startswith(detail)


async def test_each_wrong_value_is_named_once(rig: Rig) -> None:
    answer = await rig.post_to("/lists/news/subscriptions", {"notice": [], "x": 1})
    pointers = [item["pointer"] for item in answer.json()["errors"]]
    assert sorted(pointers) == ["#/address", "#/form_url", "#/ip", "#/notice", "#/x"]


@pytest.mark.parametrize("body", ["[]", '"text"', "null", "5"])
async def test_a_body_is_an_object(rig: Rig, body: str) -> None:
    kind = {"Content-Type": "application/json"}
    answer = await rig.ask("POST", "/optouts", content=body, headers=kind)
    (item,) = answer.json()["errors"]
    assert (answer.status_code, item["pointer"]) == (422, "#")
    assert item["detail"] in ("It must be a JSON object.", "It is required.")


async def test_entries_are_counted_and_pointed_at(rig: Rig) -> None:
    none = await rig.post_to("/links", {"list": "news", "addresses": []})
    assert none.json()["errors"] == [{"detail": "It must not be empty.", "pointer": "#/addresses"}]
    number = await rig.post_to("/links", {"list": "news", "addresses": ["a@b.test", 5]})
    assert number.json()["errors"] == [
        {"detail": "It must be a string.", "pointer": "#/addresses/1"}
    ]


@pytest.mark.parametrize(
    ("params", "detail"),
    [
        ({"limit": "x"}, "It must be a whole number."),
        ({"limit": 0}, "It must be 1 or more."),
        ({"limit": 501}, "It must be 500 or less."),
        ({"limit": "9" * 5_000}, "It must be a smaller whole number."),
        ({"reason": "because"}, "It must be one of 'no-consent', 'pending'"),
    ],
)
async def test_parameters_are_named(rig: Rig, params: dict[str, Any], detail: str) -> None:
    answer = await rig.get("/quarantine", params=params)
    (item,) = answer.json()["errors"]
    assert item["parameter"] == next(iter(params))
    assert item["detail"].startswith(detail)


async def test_what_a_browser_says_of_itself_is_cut_to_one_line(rig: Rig) -> None:
    agent = "Mozilla/5.0\t(" + "x" * 900 + ")\r\nEvil: 1"
    answer = await rig.post_to("/lists/news/subscriptions", {**SIGN_UP, "user_agent": agent})
    assert answer.status_code == 202
    record = (await rig.get("/consents", params={"address": SIGN_UP["address"]})).json()
    kept = record["timeline"][0]["data"]["evidence"]["user_agent"]
    assert kept == ("Mozilla/5.0 (" + "x" * 900)[:300]


async def test_what_is_not_known_may_be_null_or_left_out(rig: Rig) -> None:
    unknown = {"user_agent": None, "notice": None, "locale": None}
    assert (await rig.post_to("/lists/news/subscriptions", SIGN_UP)).status_code == 202
    answer = await rig.post_to("/lists/news/subscriptions", {**SIGN_UP, **unknown})
    assert answer.status_code == 202
