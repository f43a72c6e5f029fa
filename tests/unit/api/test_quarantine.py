"""Held mail, seen and judged again by its tenant."""

from __future__ import annotations

from tests.support.api_rig import Rig


async def test_pages_are_in_order_and_whole(rig: Rig) -> None:
    ids = [await rig.hold(f"m{number}", f"p{number}@people.test") for number in range(5)]
    await rig.hold("other", tenant=rig.club)
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await rig.get("/quarantine", params={"limit": 2, **after})).json()
        seen += [copy["id"] for copy in page["copies"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == ids


async def test_the_reason_filters(rig: Rig) -> None:
    await rig.hold("m1")
    for reason, count in (("no-consent", 1), ("withdrawn", 0)):
        page = (await rig.get("/quarantine", params={"reason": reason})).json()
        assert len(page["copies"]) == count
    assert (await rig.get("/quarantine", params={"reason": "because"})).status_code == 422


async def test_one_copy_is_shown_without_its_body(rig: Rig) -> None:
    copy = await rig.hold("m1")
    shown = await rig.get(f"/quarantine/{copy}")
    assert shown.json()["findings"][0]["rule"] == "strict-opt-in/no-consent"
    assert "Subject: Hi" in shown.json()["header"]
    assert "Secret" not in shown.text


async def test_a_release_judges_again(rig: Rig) -> None:
    copy = await rig.hold("m1")
    held = (await rig.post_to(f"/quarantine/{copy}/release")).json()
    assert not held["released"]
    still = await rig.get(f"/quarantine/{copy}")
    assert still.status_code == 200


async def test_no_release_passes_an_opt_out_or_takes_a_kind(rig: Rig) -> None:
    copy = await rig.hold("m1")
    await rig.consent("anna@people.test")
    rig.clock.advance(1)
    await rig.post_to("/optouts", {"address": "anna@people.test"})
    answer = await rig.post_to(f"/quarantine/{copy}/release", {"kind": "transactional"})
    assert (answer.json()["released"], answer.json()["reason"]) == (False, "withdrawn")


async def test_a_deleted_copy_is_gone(rig: Rig) -> None:
    copy = await rig.hold("m1")
    assert (await rig.post_to(f"/quarantine/{copy}/delete")).json() == {"id": copy}
    for path in (f"/quarantine/{copy}/delete", f"/quarantine/{copy}/release"):
        assert (await rig.post_to(path)).status_code == 404
    assert (await rig.get(f"/quarantine/{copy}")).status_code == 404
