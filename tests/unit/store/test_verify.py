"""What `ledger verify` looks at besides the hashes, and what it does not mistake for a fault."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.model import Basis
from relay.ports import NewEvent
from relay.settings import Store as StoreSettings
from relay.store import Store
from relay.store.ledger.verify import VerifyResult
from tests.support.clock import FakeClock
from tests.unit.store.samples import open_store, person
from tests.unit.store.story import ANN, SHOP, Story, told


@pytest.fixture
async def story(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Story]:
    opened = await told(tmp_path / "data", clock)
    yield opened
    await opened.store.close()


@pytest.fixture
def raw(story: Story, tmp_path: Path) -> sqlite3.Connection:
    return sqlite3.connect(tmp_path / "data" / "store.db", isolation_level=None)


async def broken(story: Story, raw: sqlite3.Connection, tenant: int | None = None) -> str:
    """Where and why; the outside connection is closed before."""
    raw.close()
    result = await story.store.ledger.verify(tenant)
    assert not result.ok
    assert result.first_broken is not None
    chain, seq, why = result.first_broken
    return f"{chain}/{seq}: {why}"


async def test_an_erasure_is_no_fault(story: Story) -> None:
    result = await story.store.ledger.verify()
    assert (result.ok, result.erased) == (True, 3)
    assert (await story.store.ledger.verify(SHOP)).ok


async def test_content_that_no_erasure_took_is_missed(
    story: Story, raw: sqlite3.Connection
) -> None:
    raw.execute("DELETE FROM event_data WHERE event_id = ?", (story.ids["ann"],))
    assert (await broken(story, raw)).startswith("1/4: its content is gone (4 are")


@pytest.mark.parametrize("column", ["json", "salt"])
async def test_content_that_was_emptied_is_not_erased(
    story: Story, raw: sqlite3.Connection, column: str
) -> None:
    empty = "''" if column == "json" else "x''"
    raw.execute(f"UPDATE event_data SET {column} = {empty} WHERE event_id = ?", (story.ids["ann"],))
    assert await broken(story, raw) == "1/4: its content was changed"


async def test_the_word_about_no_person_cannot_be_erased(
    story: Story, raw: sqlite3.Connection
) -> None:
    raw.execute("DELETE FROM event_data WHERE event_id = ?", (story.ids["file"],))
    assert "about no person" in await broken(story, raw)


async def test_a_tail_cut_while_the_relay_runs_shows_before_any_head_is_signed(
    story: Story, raw: sqlite3.Connection
) -> None:
    await story.delivered(ANN, None)
    await story.delivered(ANN, None)
    raw.execute("DELETE FROM event_data WHERE event_id = (SELECT max(id) FROM events)")
    raw.execute("DELETE FROM events WHERE id = (SELECT max(id) FROM events)")
    assert await broken(story, raw, SHOP) == "1/20: events up to 20 were cut off"


async def test_an_event_that_another_process_appended_shows(
    story: Story, raw: sqlite3.Connection
) -> None:
    await story.store.ledger.record([NewEvent(7, "note", 1.0)])
    raw.execute("UPDATE events SET tenant_id = 8 WHERE tenant_id = 7")
    assert not (await story.store.ledger.verify(8)).ok
    raw.execute("UPDATE events SET tenant_id = 7 WHERE tenant_id = 8")
    assert (await story.store.ledger.verify()).ok
    raw.close()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("DELETE FROM consents WHERE event_id = {ann}", "1/4: the consent on file"),
        ("UPDATE consents SET list_id = 2 WHERE event_id = {ann}", "1/4: the consent on file"),
        ("UPDATE consents SET automated = 0 WHERE event_id = {ann}", "1/4: the consent on file"),
        ("DELETE FROM suppressions WHERE event_id = {out}", "1/14: the opt-out or block"),
        ("UPDATE suppressions SET wide = 'x' WHERE event_id = {out}", "1/14: the opt-out or block"),
        ("UPDATE suppressions SET expires_at = 1 WHERE state = 'complained'", "the opt-out or"),
        ("DELETE FROM suppressions WHERE import_id = 2 AND id % 2", "what is in force by it"),
        ("DELETE FROM suppressions WHERE detail = 'page'", "it left the block of event 17 in"),
        (
            "UPDATE suppressions SET expires_at = 1 WHERE detail = 'page'",
            "1/18: it left the block of event 17 in force, which is gone or was changed",
        ),
        (
            "INSERT INTO suppressions (wide, tenant_id, state, at, event_id, detail) SELECT 'aa',"
            " tenant_id, state, at, event_id, detail FROM suppressions WHERE detail = 'page'",
            "1/17: a block is in force that no erasure left so",
        ),
        ("DELETE FROM erasures", "0/2: the person that it erased no longer counts as erased"),
        ("UPDATE erasures SET wide = 'aa'", "no longer counts as erased"),
        ("INSERT INTO erasures VALUES ('aa', 1, 1.0, 18, '[]', NULL)", "no event recorded it"),
        ("DELETE FROM notice_versions", "1/1: the words that were shown are gone"),
        (
            "UPDATE notice_versions SET json = replace(json, 'Mag', 'Moet')",
            "1/1: the words that were shown were changed",
        ),
        ("DELETE FROM suppressions WHERE tenant_id IS NULL", "the block that it put is gone"),
        ("UPDATE consents SET basis = 'approved' WHERE import_id = 1", "what is in force by it"),
        (
            "INSERT INTO consents (exact, wide, tenant_id, state, basis, own_act, at, automated)"
            " VALUES ('aa', 'aa', 1, 'granted', 'confirmed', 1, 1.0, 0)",
            "never recorded",
        ),
        (
            "INSERT INTO consents (exact, wide, tenant_id, state, basis, own_act, at, automated,"
            " event_id) VALUES ('aa', 'aa', 1, 'granted', 'confirmed', 1, 1.0, 0, {dora})",
            "a consent is on file that was erased",
        ),
        (
            "INSERT INTO consents (exact, wide, tenant_id, list_id, state, basis, own_act, at,"
            " automated, import_id) VALUES ('aa', 'aa', 1, 1, 'granted', 'attested', 0, 1.0, 0, 1)",
            "not in import 1",
        ),
    ],
)
async def test_what_is_in_force_is_what_the_ledger_says(
    story: Story, raw: sqlite3.Connection, change: str, why: str
) -> None:
    done = raw.execute(change.format(**story.ids))
    assert done.rowcount > 0
    assert why in await broken(story, raw)


async def test_when_a_consent_was_last_used_is_no_part_of_the_ledger(
    story: Story, raw: sqlite3.Connection
) -> None:
    raw.execute("UPDATE consents SET used_at = 5.0")
    raw.close()
    assert (await story.store.ledger.verify()).ok


async def test_an_import_under_way_is_no_fault(store: Store) -> None:
    await store.imports.begin("consent", 1, at=1.0)
    assert (await store.ledger.verify()).ok


async def test_projections_made_anew_hold(story: Story) -> None:
    await story.store.consents.rebuild()
    assert (await story.store.ledger.verify()).first_broken is None


async def test_progress_is_told_and_pages_are_small(store: Store) -> None:
    await store.ledger.record([NewEvent(n % 3, "note", 1.0 + n) for n in range(2_500)])
    told_: list[tuple[int, int]] = []
    result = await store.ledger.verify(progress=lambda done, total: told_.append((done, total)))
    assert result.events == 2_500
    assert told_[0] == (500, 2_500)
    assert told_[-1] == (2_500, 2_500)


async def test_what_is_written_meanwhile_is_no_fault(story: Story) -> None:
    async def live() -> None:
        for number in range(30):
            who = person(f"new{number}@ok.test")
            await story.store.consents.grant(SHOP, who, basis=Basis.CONFIRMED, at=1.0, own_act=True)
            await story.store.consents.suppress_bounce(SHOP, who, at=2.0, evidence={})
            await story.store.consents.lift(SHOP, who, at=3.0, reason="back")

    async def check() -> list[VerifyResult]:
        return [await story.store.ledger.verify() for _ in range(20)]

    results, _ = await asyncio.gather(check(), live())
    assert [result.first_broken for result in results] == [None] * 20


async def test_a_copy_of_the_heads_convicts_a_store_whose_own_were_cut(
    tmp_path: Path, clock: FakeClock
) -> None:
    store = await open_store(tmp_path / "data", clock)
    for number in range(3):
        await store.ledger.record([NewEvent(1, "note", 1.0 + number)])
        await store.ledger.sign()
    await store.close()
    heads, shipped = tmp_path / "data" / "ledger-heads.jsonl", tmp_path / "shipped.jsonl"
    shipped.write_bytes(heads.read_bytes())
    # An insider cuts the last event, with its head, while the relay is stopped.
    raw = sqlite3.connect(tmp_path / "data" / "store.db", isolation_level=None)
    raw.execute("DELETE FROM event_data WHERE event_id = 3")
    raw.execute("DELETE FROM events WHERE id = 3")
    raw.close()
    heads.write_bytes(b"".join(heads.read_bytes().splitlines(keepends=True)[:-1]))
    store = await open_store(tmp_path / "data", clock)
    assert (await store.ledger.verify()).ok
    found = await store.ledger.verify(heads=shipped)
    assert found.first_broken == (1, 3, "events up to 3 were cut off")
    await store.close()


async def test_the_copy_that_the_settings_name_is_looked_at_too(
    tmp_path: Path, clock: FakeClock
) -> None:
    settings = StoreSettings(min_free_bytes=0, heads_copy=tmp_path / "copy.jsonl")
    store = await Store.open(tmp_path / "data", settings=settings, clock=clock, pepper=b"p" * 32)
    await store.ledger.record([NewEvent(1, "note", 1.0)])
    await store.close()
    copy, heads = tmp_path / "copy.jsonl", tmp_path / "data" / "ledger-heads.jsonl"
    assert copy.read_bytes() == heads.read_bytes()
    store = await Store.open(tmp_path / "data", settings=settings, clock=clock, pepper=b"p" * 32)
    assert (await store.ledger.verify()).ok
    copy.write_bytes(copy.read_bytes().replace(b'"n":1', b'"n":2'))
    found = (await store.ledger.verify()).first_broken
    assert found is not None
    assert found[2].startswith("copy.jsonl: line 1 is not signed")
    await store.close()
