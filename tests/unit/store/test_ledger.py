"""The ledger: chained, verifiable, and signed outside the database."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from relay.ports import NewEvent, StoreTrouble
from relay.store import Store
from relay.store.ledger.chain import chain_hash
from tests.support.clock import FakeClock
from tests.unit.store.samples import open_store, person


def event(tenant: int = 1, number: int = 0) -> NewEvent:
    return NewEvent(tenant, "optout", 1.5 + number, person("a@ok.test"), {"n": number})


def note(tenant: int, number: int) -> NewEvent:
    return NewEvent(tenant, "note", 1.5 + number, None, {"n": number})


async def test_each_tenant_has_a_chain_of_its_own_from_the_first_event(store: Store) -> None:
    ids = await store.ledger.record([note(1, 0), note(2, 1), note(1, 2), note(0, 3)])
    assert ids == [1, 2, 3, 4]
    chain = [row async for row in store.ledger.export(1)]
    assert [(row["seq"], row["data"]) for row in chain] == [(1, {"n": 0}), (2, {"n": 2})]
    assert chain[0]["prev"] == "00" * 32
    assert chain[1]["prev"] == chain[0]["hash"]
    assert (await store.ledger.verify()).events == 4
    assert (await store.ledger.verify(2)).events == 1


async def test_an_export_can_be_checked_by_anyone(store: Store) -> None:
    await store.ledger.record([event()])
    (row,) = [row async for row in store.ledger.export(1)]
    said = {"id": row["id"], "subject": row["subject"], "data": row["data"]}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert text == row["content"]
    commit = hashlib.sha256(bytes.fromhex(str(row["salt"])) + text.encode()).digest()
    assert commit.hex() == row["commit"]
    numbers = b"".join(n.to_bytes(8, "big") for n in (1, 1, 1_500))
    chained = b"\x00" + numbers + (6).to_bytes(2, "big") + b"optout" + commit + bytes(32)
    assert hashlib.sha256(chained).hexdigest() == row["hash"]
    assert chain_hash(1, 1, 1_500, "optout", commit, bytes(32)).hex() == row["hash"]


async def test_a_rolled_back_event_leaves_no_gap(store: Store) -> None:
    def bad(tx):  # type: ignore[no-untyped-def]
        store.ledger.append(tx, [note(1, 0), note(3, 0)])
        raise ValueError

    await store.ledger.record([note(1, 1)])
    with pytest.raises(ValueError):  # noqa: PT011
        await store.writer.write(bad)
    assert await store.ledger.record([note(1, 2)]) == [2]
    result = await store.ledger.verify()
    assert (result.ok, result.events) == (True, 2)


async def test_the_chain_goes_on_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    for number in range(3):
        store = await open_store(tmp_path, clock)
        await store.ledger.record([note(1, number)])
        await store.close()
    store = await open_store(tmp_path, clock)
    assert (await store.ledger.verify()).ok
    assert [row["seq"] async for row in store.ledger.export(1)] == [1, 2, 3]
    await store.close()


async def test_long_chains_are_read_in_pages(store: Store) -> None:
    await store.ledger.record([note(n % 3, n) for n in range(2_500)])
    result = await store.ledger.verify()
    assert (result.ok, result.events) == (True, 2_500)


async def test_a_cut_tail_shows_against_the_signed_heads(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock)
    await store.ledger.record([note(1, n) for n in range(5)])
    await store.close()
    cut(tmp_path, 3)
    store = await open_store(tmp_path, clock)
    result = await store.ledger.verify()
    assert not result.ok
    assert result.first_broken == (1, 4, "events up to 5 were cut off")
    assert (await store.ledger.verify(2)).ok
    await store.close()


async def test_a_chain_forged_anew_shows_against_the_signed_heads(
    tmp_path: Path, clock: FakeClock
) -> None:
    store = await open_store(tmp_path / "a", clock)
    await store.ledger.record([note(1, 1)])
    await store.close()
    other = await open_store(tmp_path / "b", clock)
    await other.ledger.record([note(1, 2)])
    await other.close()
    (tmp_path / "b" / "store.db").rename(tmp_path / "a" / "store.db")
    store = await open_store(tmp_path / "a", clock)
    result = await store.ledger.verify()
    assert result.first_broken == (1, 1, "it is not the event whose hash was signed")
    await store.close()


async def test_forged_heads_do_not_pass(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock)
    await store.ledger.record([note(1, 1)])
    await store.close()
    heads = tmp_path / "ledger-heads.jsonl"
    heads.write_text(heads.read_text().replace('"1":[1,', '"1":[2,'))
    store = await open_store(tmp_path, clock)
    result = await store.ledger.verify()
    assert not result.ok
    assert "not signed by this relay" in str(result.first_broken)
    await store.close()


async def test_a_key_that_is_no_key_is_named(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "ledger.pem").write_text("nonsense")
    with pytest.raises(StoreTrouble, match=r"ledger\.pem"):
        await open_store(tmp_path, clock)


async def test_sign_covers_every_event_until_now(store: Store, clock: FakeClock) -> None:
    await store.ledger.record([note(1, 0)])
    await store.ledger.record([note(1, 1), note(2, 0)])
    assert {t: head.seq for t, head in store.ledger.signatures.latest().items()} == {1: 1}
    await store.ledger.sign()
    assert {t: head.seq for t, head in store.ledger.signatures.latest().items()} == {1: 2, 2: 1}
    end = store.ledger.signatures.end
    await store.ledger.sign()
    assert store.ledger.signatures.end == end


async def test_what_a_crash_left_unsigned_is_signed_after_the_start(
    tmp_path: Path, clock: FakeClock
) -> None:
    store = await open_store(tmp_path, clock)
    await store.ledger.record([note(1, 0)])
    heads = (tmp_path / "ledger-heads.jsonl").read_bytes()
    await store.ledger.record([note(1, 1), note(2, 0)])
    await store.close()
    (tmp_path / "ledger-heads.jsonl").write_bytes(heads)
    store = await open_store(tmp_path, clock)
    await store.writer.write(lambda _: None)  # the writer has done what is due between two writes
    assert {t: head.seq for t, head in store.ledger.signatures.latest().items()} == {1: 2, 2: 1}
    await store.close()


async def test_a_cut_tail_is_an_alarm_at_the_start_and_is_not_signed(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = await open_store(tmp_path, clock)
    await store.ledger.record([note(1, n) for n in range(5)])
    await store.close()
    cut(tmp_path, 3)
    store = await open_store(tmp_path, clock)
    end = store.ledger.signatures.end
    assert "chain 1 ends with event 3, and event 5 was signed" in caplog.text
    await store.close()
    assert store.ledger.signatures.end == end


def cut(data_dir: Path, last: int) -> None:
    raw = sqlite3.connect(data_dir / "store.db")
    raw.execute("DELETE FROM event_data WHERE event_id > ?", (last,))
    raw.execute("DELETE FROM events WHERE id > ?", (last,))
    raw.commit()
    raw.close()
