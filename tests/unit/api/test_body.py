"""Bodies that mean one thing only, and end."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay.api.body import MAX_BODY
from tests.support.api_rig import Rig

JSON = {"Content-Type": "application/json"}


NO_JSON = (
    (b"", "well-formed"),
    (b"{", "well-formed"),
    (b'{"address": NaN}', "well-formed"),
    (b'{"address": 1e999}', "well-formed"),
    (b'{"address": -Infinity}', "well-formed"),
    (b'{"address": "a@b.test", "address": "c@d.test"}', "ambiguous"),
    (b'{"address": "\\ud800@b.test"}', "surrogate"),
    (b'{"\\udfff": 1}', "surrogate"),
    (b'{"address": "\xff"}', "UTF-8"),
    (b"[" * 100_000 + b"]" * 100_000, "deeply"),
    (b'{"address": ' + b"9" * 5_000 + b"}", "well-formed"),
)


async def test_what_is_no_json(rig: Rig) -> None:
    for body, why in NO_JSON:
        answer = await rig.ask("POST", "/optouts", content=body, headers=JSON)
        assert answer.status_code == 400, body[:50]
        assert answer.headers["content-type"] == "application/problem+json"
        assert why in answer.json()["detail"], body[:50]


async def test_only_json_is_taken(rig: Rig) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", None):
        headers = {"Content-Type": kind} if kind is not None else {}
        answer = await rig.ask("POST", "/optouts", content=b"{}", headers=headers)
        assert answer.status_code == 415, kind


async def test_a_body_has_an_end(rig: Rig) -> None:
    whole = b'{"address": "' + b"a" * MAX_BODY + b'"}'
    announced = await rig.ask("POST", "/optouts", content=whole, headers=JSON)
    assert announced.status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 65_536):
            yield whole[start : start + 65_536]

    streamed = await rig.ask("POST", "/optouts", content=pieces(), headers=JSON)
    assert streamed.status_code == 413
    assert "1,000,000 octets" in streamed.json()["detail"]


async def test_another_shape_is_named(rig: Rig) -> None:
    for value in ("[]", '"text"', "1", "null", '{"address": 1}', '{"address": null}', "{}"):
        answer = await rig.ask("POST", "/optouts", content=value, headers=JSON)
        assert answer.status_code == 422, value
        assert answer.json()["errors"], value


async def test_errors_point_at_their_place(rig: Rig) -> None:
    wanted = {"address": "a@b.test", "more/~here": 1, "list": "NOT A SLUG"}
    answer = await rig.post_to("/optouts", wanted)
    pointers = {item["pointer"] for item in answer.json()["errors"]}
    assert pointers == {"#/more~1~0here", "#/list"}
    query = await rig.get("/events", params={"limit": 501})
    assert [item["parameter"] for item in query.json()["errors"]] == ["limit"]


async def test_no_value_makes_a_second_line(rig: Rig) -> None:
    body = {
        "address": "anna@people.test",
        "ip": "192.0.2.1",
        "form_url": "https://shop.test/form",
        "locale": "nl",
    }
    for bad in ("\r\nX: 1", "\n", "\0", "\x1b[2J", "\u2028", "\x85", "\x0b"):
        for member in body:
            wanted = {**body, member: body[member] + bad}
            answer = await rig.post_to("/lists/news/subscriptions", wanted)
            assert answer.status_code == 422, (member, bad)
    assert not rig.mails


async def test_an_address_with_a_zone_is_no_address(rig: Rig) -> None:
    body = {"address": "a@people.test", "ip": "fe80::1%\r\n", "form_url": "https://shop.test/"}
    assert (await rig.post_to("/lists/news/subscriptions", body)).status_code == 422
