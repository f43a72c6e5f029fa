"""One person's record, the feed of changes, opt-outs and links."""

from __future__ import annotations

from typing import Any

from relay.transform.token import Purpose, read
from tests.support.api_rig import Rig

ANNA = {"address": "anna@people.test"}


async def feed(rig: Rig, key: str = "shop", limit: int = 2) -> list[dict[str, Any]]:
    """Everything, page by page, as polling software reads it."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = (await rig.get("/events", key, params={"limit": limit, **after})).json()
        found += page["events"]
        after = {"after": page["next"]}
        if not page["more"]:
            return found


async def test_an_opt_out_is_in_force_with_the_answer(rig: Rig) -> None:
    await rig.consent("anna@people.test")
    rig.clock.advance(1)
    answer = await rig.post_to("/optouts", {**ANNA, "list": "news"})
    assert answer.json() == {"recorded": True, "scope": "list", "event": 2}
    again = await rig.post_to("/optouts", {**ANNA, "list": "news"})
    assert again.json() == {"recorded": False, "scope": "list", "event": 2}
    record = (await rig.get("/consents", params=ANNA)).json()
    assert {s["list"]: s["state"] for s in record["standings"]} == {
        None: "absent",
        "news": "withdrawn",
    }
    assert [s["kind"] for s in record["standings"]] == [None, "commercial"]
    assert [line["type"] for line in record["timeline"]] == ["consent.granted", "optout"]
    assert rig.optouts == [("shop", "api")]


async def test_an_opt_out_of_another_spelling_counts(rig: Rig) -> None:
    await rig.consent("anna+shop@people.test")
    await rig.post_to("/optouts", {**ANNA, "list": "news"})
    record = await rig.get("/consents", params={"address": "anna+shop@people.test"})
    states = {s["list"]: s["state"] for s in record.json()["standings"]}
    assert states["news"] == "withdrawn"
    assert [line["exact"] for line in record.json()["timeline"]] == [True, False]


async def test_opt_outs_name_only_own_lists_and_addresses(rig: Rig) -> None:
    other = await rig.post_to("/optouts", {**ANNA, "list": "post"})
    assert (other.status_code, other.content) == (404, (await rig.get("/nowhere")).content)
    assert (await rig.post_to("/optouts", {"address": "no one"})).status_code == 422
    assert await feed(rig) == []


async def test_a_timeline_comes_in_pages(rig: Rig) -> None:
    for _ in range(5):
        await rig.consent("anna@people.test")
    seen: list[int] = []
    after: dict[str, str] = {}
    while True:
        page = (await rig.get("/consents", params={**ANNA, "limit": 2, **after})).json()
        seen += [line["event"] for line in page["timeline"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == [1, 2, 3, 4, 5]


async def test_the_feed_gives_each_change_once_while_more_come(rig: Rig) -> None:
    seen: list[str] = []
    after: dict[str, str] = {}
    for number in range(12):
        await rig.consent(f"p{number}@people.test")
        await rig.consent(f"x{number}@people.test", rig.club, rig.post)
        if number % 3 == 0:
            page = (await rig.get("/events", params={"limit": 2, **after})).json()
            seen += [event["address"] for event in page["events"]]
            after = {"after": page["next"]}
    while True:
        page = (await rig.get("/events", params={"limit": 2, **after})).json()
        seen += [event["address"] for event in page["events"]]
        after = {"after": page["next"]}
        if not page["more"]:
            break
    assert seen == [f"p{number}@people.test" for number in range(12)]
    empty = (await rig.get("/events", params=after)).json()
    assert (empty["events"], empty["next"], empty["more"]) == ([], after["after"], False)
    await rig.consent("late@people.test")
    (late,) = (await rig.get("/events", params=after)).json()["events"]
    assert late["address"] == "late@people.test"


async def test_numbers_and_cursors_tell_nothing_of_other_tenants(rig: Rig) -> None:
    await rig.consent("anna@people.test")
    before = (await rig.get("/events")).content
    for number in range(20):
        await rig.consent(f"x{number}@people.test", rig.club, rig.post)
    assert (await rig.get("/events")).content == before
    await rig.post_to("/optouts", ANNA)
    assert [event["event"] for event in await feed(rig)] == [1, 2]


async def test_mail_is_not_in_the_feed_and_does_not_stop_it(rig: Rig) -> None:
    await rig.consent("anna@people.test")
    copy = await rig.hold("m1")
    await rig.post_to(f"/quarantine/{copy}/delete")
    await rig.consent("bert@people.test")
    assert [event["type"] for event in await feed(rig, limit=1)] == ["consent.granted"] * 2


async def test_a_cursor_of_another_history_is_refused(rig: Rig) -> None:
    await rig.consent("anna@people.test")
    await rig.consent("bert@people.test", rig.club, rig.post)
    cursor = (await rig.get("/events", "club")).json()["next"]
    answer = await rig.get("/events", params={"after": cursor})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "after"
    for strange in ("WzEsIiJd", "WzksImFiY2QiXQ", "WzEsInp6Il0", "Wy0xLCIiXQ", "WzEuNSwiIl0"):
        assert (await rig.get("/events", params={"after": strange})).status_code == 422, strange


async def test_links_stop_mail_to_the_address(rig: Rig) -> None:
    wanted = {"list": "news", "addresses": ["anna@people.test", "no one", "bert@people.test"]}
    answer = await rig.post_to("/links", wanted)
    first, bad, second = answer.json()["links"]
    assert bad["url"] is None
    assert "mail address" in bad["problem"]
    for link, who in ((first, "anna"), (second, "bert")):
        base, _, token = link["url"].partition("/u/")
        said = read(token, rig.keys.tokens, Purpose.UNSUBSCRIBE)
        assert base == "https://relay.test"
        assert said.keys == rig.person(f"{who}@people.test")
        assert (said.tenant_id, said.list_id) == (rig.shop.id, rig.news.id)
        assert said.issue_day == int(rig.clock.now() // 86_400)


async def test_links_are_for_few_at_a_time_and_own_lists(rig: Rig) -> None:
    most = {"list": "news", "addresses": ["anna@people.test"] * 1_000}
    assert len((await rig.post_to("/links", most)).json()["links"]) == 1_000
    many = {"list": "news", "addresses": ["anna@people.test"] * 1_001}
    assert (await rig.post_to("/links", many)).status_code == 422
    other = {"list": "post", "addresses": ["anna@people.test"]}
    assert (await rig.post_to("/links", other)).status_code == 404


async def test_an_address_is_known_to_those_alone_who_have_it_from_the_person(rig: Rig) -> None:
    await rig.consent("anna@people.test", rig.club, rig.post)
    await rig.post_to("/optouts", ANNA)
    (event,) = await feed(rig)
    assert (event["type"], event["address"]) == ("optout", None)
    (event,) = await feed(rig, "club")
    assert event["address"] == "anna@people.test"


async def test_an_erased_person_is_nobody(rig: Rig) -> None:
    await rig.consent("anna@people.test")
    await rig.consent("anna@people.test", rig.club, rig.post)
    answer = await rig.post_to("/erasures", ANNA)
    assert answer.status_code == 200
    assert "anna" not in answer.text
    assert "anna" not in (await rig.get("/events")).text
    (erasure,) = [event for event in await feed(rig) if event["type"] == "erasure"]
    assert "kept" not in erasure["data"], "it names lists and brands by ids that count for all"
    record = (await rig.get("/consents", params=ANNA)).json()
    assert {s["list"]: s["state"] for s in record["standings"]}["news"] == "withdrawn"
    others = await rig.get("/consents", "club", params=ANNA)
    assert {s["list"]: s["state"] for s in others.json()["standings"]}["post"] == "granted"
