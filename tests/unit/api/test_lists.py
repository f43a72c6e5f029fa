"""Lists, notices, and sign-ups from the tenant's own forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from relay.model import Kind, MailingList, TenantState
from tests.support.api_rig import FORM, Rig

SIGN_UP = {
    "address": "anna@people.test",
    "ip": "192.0.2.1",
    "form_url": FORM,
    "user_agent": "Browser",
    "locale": "nl",
}
WORDS = "Mail me the weekly news of Shop BV."


async def events(rig: Rig, kind: str) -> list[dict[str, Any]]:
    found = (await rig.get("/events")).json()["events"]
    return [event for event in found if event["type"] == kind]


async def test_a_sign_up_is_pending_and_tells_no_more(rig: Rig) -> None:
    answer = await rig.post_to("/lists/news/subscriptions", SIGN_UP)
    assert (answer.status_code, answer.json()) == (202, {"state": "pending"})
    (mail,) = rig.mails
    assert b"/c/v1." in mail
    (event,) = await events(rig, "consent.pending")
    assert event["address"] == "anna@people.test"
    assert event["data"]["evidence"]["form_url"] == FORM
    record = await rig.get("/consents", params={"address": "anna@people.test"})
    assert {s["list"]: s["state"] for s in record.json()["standings"]}["news"] == "pending"
    for answer in (record, await rig.get("/events")):
        assert "v1." not in answer.text
        assert "mailed" not in answer.text


async def test_known_unknown_capped_and_gone_get_the_same_answer(rig: Rig) -> None:
    await rig.consent("known@people.test")
    await rig.post_to("/optouts", {"address": "gone@people.test"})
    await rig.post_to("/lists/news/subscriptions", {**SIGN_UP, "address": "capped@people.test"})
    answers = [
        await rig.post_to("/lists/news/subscriptions", {**SIGN_UP, "address": f"{who}@people.test"})
        for who in ("known", "gone", "capped", "new")
    ]
    assert {(a.status_code, a.content) for a in answers} == {(202, b'{"state":"pending"}')}


async def test_a_notice_may_be_the_words_or_the_id_of_a_version(rig: Rig) -> None:
    made = await rig.post_to("/lists/news/notices", {"question": WORDS, "locale": "en-GB"})
    assert made.status_code == 201
    assert made.json()["question"] == WORDS
    assert made.json()["party"] == "Shop BV"
    for notice, who in ((made.json()["id"], "anna"), (WORDS, "bert")):
        body = {**SIGN_UP, "address": f"{who}@people.test", "notice": notice, "locale": "en"}
        assert (await rig.post_to("/lists/news/subscriptions", body)).status_code == 202
    shown = {event["data"]["evidence"]["notice"] for event in await events(rig, "consent.pending")}
    assert shown == {made.json()["id"]}
    listed = (await rig.get("/lists/news/notices")).json()
    assert WORDS in [notice["question"] for notice in listed["notices"]]
    assert listed["next"] is None


async def test_notices_come_in_pages(rig: Rig) -> None:
    for number in range(3):
        await rig.post_to("/lists/news/notices", {"question": f"{WORDS} {number}"})
    seen: list[int] = []
    after: dict[str, str] = {}
    while True:
        page = (await rig.get("/lists/news/notices", params={"limit": 2, **after})).json()
        seen += [notice["version"] for notice in page["notices"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) >= 3


async def test_a_vague_third_party_is_refused_with_the_reason(rig: Rig) -> None:
    vague = "Mail me news of Shop BV and its selected partners."
    notice = await rig.post_to("/lists/news/notices", {"question": vague})
    sign_up = await rig.post_to("/lists/news/subscriptions", {**SIGN_UP, "notice": vague})
    for answer, pointer in ((notice, "#/question"), (sign_up, "#/notice")):
        assert answer.status_code == 422
        (item,) = answer.json()["errors"]
        assert item["pointer"] == pointer
        assert "selected partners" in item["detail"]
    assert not rig.mails


async def test_what_cannot_be_signed_up_to(rig: Rig) -> None:
    registry = rig.store.registry
    receipts = MailingList(0, rig.shop.id, "receipts", Kind.TRANSACTIONAL, "Receipts", "1/day")
    await registry.add_list(receipts)
    post = await rig.post_to("/lists/post/notices", {"question": "Mail me."}, "club")
    for path, body, status in (
        ("/lists/receipts/subscriptions", SIGN_UP, 409),
        ("/lists/post/subscriptions", SIGN_UP, 404),
        ("/lists/news/subscriptions", {**SIGN_UP, "notice": post.json()["id"]}, 422),
        ("/lists/news/subscriptions", {**SIGN_UP, "address": "anna@localhost"}, 422),
    ):
        assert (await rig.post_to(path, body)).status_code == status, path


async def test_without_a_sender_domain_nobody_can_sign_up(rig: Rig) -> None:
    await rig.store.registry.remove_domain("shop.test")
    answer = await rig.post_to("/lists/news/subscriptions", SIGN_UP)
    assert answer.status_code == 409
    assert "no sender domain" in answer.json()["detail"]
    assert not rig.mails


async def test_a_network_that_asks_for_too_many_is_told_so(rig: Rig) -> None:
    answers = [
        await rig.post_to("/lists/news/subscriptions", {**SIGN_UP, "address": f"p{n}@people.test"})
        for n in range(rig.settings.opt_in.addresses_per_network + 1)
    ]
    assert [a.status_code for a in answers][-2:] == [202, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
    elsewhere = {**SIGN_UP, "address": "z@people.test", "ip": "198.51.100.1"}
    assert (await rig.post_to("/lists/news/subscriptions", elsewhere)).status_code == 202


async def test_a_suspended_tenant_reads_and_takes_opt_outs_no_more(rig: Rig) -> None:
    await rig.store.registry.change_tenant(replace(rig.shop, state=TenantState.SUSPENDED))
    for path, body in (
        ("/lists/news/subscriptions", SIGN_UP),
        ("/lists/news/notices", {"question": WORDS}),
        ("/consents", {"basis": "approved", "list": "news", "token": "a.b.c"}),
        ("/webhooks", {"url": "https://shop.example/x"}),
    ):
        answer = await rig.post_to(path, body)
        assert answer.status_code == 403, path
        assert answer.json()["type"].endswith(":suspended")
    assert (await rig.post_to("/optouts", {"address": "anna@people.test"})).status_code == 200
    for path in ("/lists", "/events", "/quarantine", "/consents?address=anna@people.test"):
        assert (await rig.get(path)).status_code == 200, path


async def test_lists_come_in_pages_and_are_ones_own(rig: Rig) -> None:
    for slug in ("alpha", "zeta"):
        await rig.store.registry.add_list(replace(rig.news, slug=slug))
    first = (await rig.get("/lists", params={"limit": 2})).json()
    rest = (await rig.get("/lists", params={"limit": 2, "after": first["next"]})).json()
    slugs = [one["slug"] for one in (*first["lists"], *rest["lists"])]
    assert (slugs, rest["next"]) == (["alpha", "news", "zeta"], None)
    for cursor in ("x", "!!", "WzFd", "bnVsbA", ""):
        assert (await rig.get("/lists", params={"after": cursor})).status_code == 422, cursor
