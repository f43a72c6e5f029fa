"""Bundles: whole, in pieces that fit memory, and covered by a signed head to the last event."""

from __future__ import annotations

import json
from pathlib import Path

from relay.consent.proving import PIECE, Proving
from relay.ports import NewEvent
from tests.support.clock import FakeClock
from tests.unit.store.samples import tenant
from tests.unit.store.story import ANN, BEN, CLUB, DORA, SHOP, told


async def test_a_bundle_is_one_json_document_in_pieces(tmp_path: Path) -> None:
    story = await told(tmp_path, FakeClock())
    await story.store.ledger.record(
        [NewEvent(SHOP, "note", 1.0, None, {"n": n}) for n in range(999)]
    )
    owner = story.store.directory.tenant("shop")
    assert owner is not None
    proving = Proving(story.store, story.clock, "relay.test")
    pieces = [piece async for piece in proving.ledger(owner)]
    assert len(pieces) > 4
    assert max(map(len, pieces)) < PIECE + 10_000
    document = json.loads("".join(pieces))
    (shown,) = document["tenants"]
    assert (document["kind"], document["relay"], document["person"]) == (
        "ledger",
        "relay.test",
        None,
    )
    assert shown["party"]["name"] == "Shop"
    assert [link["seq"] for link in shown["runs"][0]] == list(range(1, 1_018))
    # The newest event is covered: what had no signed head yet was signed first.
    assert shown["heads"][-1]["head"][1] == 1_017
    await story.store.close()


async def test_a_chain_without_events_is_a_bundle_too(tmp_path: Path) -> None:
    story = await told(tmp_path, FakeClock())
    owner = await story.store.registry.add_tenant(tenant("new"))
    proving = Proving(story.store, story.clock, "relay.test")
    document = json.loads("".join([piece async for piece in proving.ledger(owner)]))
    assert document["tenants"][0]["runs"] == []
    await story.store.close()


async def test_a_persons_bundle_is_kept_to_a_tenant(tmp_path: Path) -> None:
    story = await told(tmp_path, FakeClock())
    proving = Proving(story.store, story.clock, "relay.test")

    async def tenants(slug: str | None) -> list[int]:
        owner = story.store.directory.tenant(slug) if slug else None
        text = "".join([piece async for piece in proving.person(ANN, story.keys(ANN), owner)])
        return [one["id"] for one in json.loads(text)["tenants"]]

    assert await tenants(None) == [SHOP, CLUB]
    assert await tenants("club") == [CLUB]
    await story.store.close()


async def test_only_the_persons_rows_of_an_import_are_shown(tmp_path: Path) -> None:
    story = await told(tmp_path, FakeClock())
    proving = Proving(story.store, story.clock, "relay.test")
    for who, shown in ((BEN, [4, 2, 2]), (DORA, [2, 2, 2])):
        text = "".join([piece async for piece in proving.person(who, story.keys(who))])
        shop = next(t for t in json.loads(text)["tenants"] if t["id"] == SHOP)
        file = next(link for run in shop["runs"] for link in run if "rows" in link)
        assert [len(row) for row in file["rows"]] == shown
    await story.store.close()
