"""Signed heads: when they are written, and what no accident and no hand can do to their file."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from relay.ports import NewEvent
from relay.store import Store
from relay.store.ledger.chain import Head, merkle_path, merkle_root
from relay.store.ledger.head_file import HeadFile
from relay.store.ledger.heads import EVERY_EVENTS, Heads, Unsigned, read_line
from relay.verify_bundle import root_of
from tests.support.clock import FakeClock
from tests.support.eventually import eventually_async
from tests.unit.store.samples import open_store

AT = 1_800_000_000.0
ONE = {1: Head(1, b"h" * 32)}


def note(tenant: int = 1) -> NewEvent:
    return NewEvent(tenant, "note", 1.5)


def lines(data_dir: Path) -> list[dict[str, object]]:
    text = (data_dir / "ledger-heads.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


async def test_heads_are_signed_when_due(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    async def written() -> int:
        await store.writer.write(lambda _: None)  # the writer has finished what came before
        return len(lines(tmp_path / "data")) - 1

    assert lines(tmp_path / "data")[0]["heads"] == {}, "that nothing is there yet is signed too"
    await store.ledger.record([note()])
    assert await written() == 1
    await store.ledger.record([note()])
    assert await written() == 1
    clock.advance(61)
    await store.ledger.record([note()])
    assert await written() == 2
    await store.ledger.record([note() for _ in range(EVERY_EVENTS)])
    assert await written() == 3


async def test_the_last_event_before_a_silence_is_signed_too(
    store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    await store.ledger.sign()
    await store.ledger.record([note()])
    await store.ledger.record([note(2)])
    clock.advance(61)
    await eventually_async(
        lambda: any("2" in line["heads"] for line in lines(tmp_path / "data")),  # type: ignore[operator]
        "nothing is written any more, and the head is signed",
    )
    count = len(lines(tmp_path / "data"))
    clock.advance(3_600)
    await store.close()
    assert len(lines(tmp_path / "data")) == count


async def test_heads_that_could_not_be_written_stay_due(
    store: Store, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: HeadFile, line: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(HeadFile, "append", full)
        await store.ledger.record([note()])
        await store.writer.write(lambda _: None)
    assert [line["heads"] for line in lines(tmp_path / "data")] == [{}]
    clock.advance(61)
    await store.writer.write(lambda _: None)
    await store.writer.write(lambda _: None)
    assert [line["heads"] for line in lines(tmp_path / "data")[1:]] == [
        {"1": [1, lines(tmp_path / "data")[1]["heads"]["1"][1]]}  # type: ignore[index]
    ]


def test_each_line_names_the_one_before_and_the_key(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    for _ in range(3):
        assert heads.write(ONE, AT)
    raw = heads.path.read_bytes().splitlines()
    said = lines(tmp_path)
    assert [line["n"] for line in said] == [1, 2, 3]
    assert [line["prev"] for line in said] == [
        "00" * 32,
        *(hashlib.sha256(line).hexdigest() for line in raw[:2]),
    ]
    assert {line["key"] for line in said} == {heads.public.fingerprint}
    heads.close()


def test_the_fingerprint_is_what_openssl_makes_of_the_key(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    heads.close()
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"],
        input=heads.public.pem.encode(),
        capture_output=True,
        check=True,
    ).stdout
    assert hashlib.sha256(der).hexdigest() == heads.public.fingerprint


def test_the_count_goes_on_after_a_restart(tmp_path: Path) -> None:
    for _ in range(3):
        heads = Heads(tmp_path)
        heads.write(ONE, AT)
        heads.close()
    assert [line["n"] for line in lines(tmp_path)] == [1, 2, 3]


def test_half_a_line_keeps_its_place_and_the_next_one_vouches_for_it(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    heads.write(ONE, AT)
    heads.write(ONE, AT)
    heads.close()
    whole = heads.path.read_bytes()
    heads.path.write_bytes(whole[:-200])
    heads = Heads(tmp_path)
    assert (heads.end.lines, heads.end.torn) == (2, True)
    heads.write(ONE, AT)
    heads.close()
    half, last = heads.path.read_bytes().splitlines()[1:]
    said = json.loads(last)
    assert (said["n"], said["torn"], said["prev"]) == (3, True, hashlib.sha256(half).hexdigest())


def test_a_line_that_only_lost_its_line_feed_is_whole(tmp_path: Path) -> None:
    heads = Heads(tmp_path)
    heads.write(ONE, AT)
    heads.close()
    heads.path.write_bytes(heads.path.read_bytes()[:-1])
    heads = Heads(tmp_path)
    assert (heads.end.lines, heads.end.torn) == (1, False)
    heads.write(ONE, AT)
    heads.close()
    assert [line["n"] for line in lines(tmp_path)] == [1, 2]


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = HeadFile(tmp_path / "file")
    file.append(b"one")
    before = (file.path.read_bytes(), file.end)

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("relay.store.ledger.head_file.os.fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        file.append(b"two")
    assert (file.path.read_bytes(), file.end) == before
    file.close()


async def test_half_a_line_is_no_fault_and_anything_else_is(
    tmp_path: Path, clock: FakeClock
) -> None:
    store = await open_store(tmp_path, clock)
    await store.ledger.record([note()])
    await store.ledger.sign()
    await store.close()
    heads = tmp_path / "ledger-heads.jsonl"
    with heads.open("ab") as file:
        file.write(b'{"at":18000')
    store = await open_store(tmp_path, clock)
    assert (await store.ledger.verify()).ok
    await store.ledger.record([note()])
    await store.ledger.sign()
    assert (await store.ledger.verify()).ok
    await store.close()
    heads.write_bytes(heads.read_bytes().replace(b'{"at":18000\n', b'{"at":18001\n'))
    store = await open_store(tmp_path, clock)
    found = (await store.ledger.verify()).first_broken
    assert found is not None
    assert "line 4 does not follow" in found[2]
    await store.close()


async def test_a_lost_file_of_heads_is_on_record_for_ever(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock)
    await store.ledger.record([note(), note(), note(2)])
    await store.close()
    (tmp_path / "ledger-heads.jsonl").unlink()
    for _ in range(2):
        store = await open_store(tmp_path, clock)
        result = await store.ledger.verify()
        assert result.ok
        assert [
            (one.tenant_id, one.seq, one.said["why"], one.said["last"]["seq"])  # type: ignore[index, call-overload]
            for one in result.discontinuities
        ] == [(1, 3, "signed heads missing", 2), (2, 2, "signed heads missing", 1)]
        await store.close()


@pytest.mark.parametrize("what", [b'"at"', b'"key"', b'"n"', b'"root"', b'"1"', b"}"])
def test_no_part_of_a_line_can_be_changed(tmp_path: Path, what: bytes) -> None:
    heads = Heads(tmp_path)
    heads.write(ONE, AT)
    heads.close()
    raw = heads.path.read_bytes().strip()
    assert read_line(raw, heads.public).heads == ONE
    at = raw.index(what) + len(what) + 1
    for changed in (raw[:at] + b"7" + raw[at + 1 :], raw[:at] + b" " + raw[at:], raw[:at]):
        if changed != raw:
            with pytest.raises(Unsigned):
                read_line(changed, heads.public)


def test_a_line_of_another_key_is_called_so(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    mine, other = Heads(tmp_path / "a"), Heads(tmp_path / "b")
    other.write(ONE, AT)
    with pytest.raises(Unsigned, match="another key"):
        read_line(other.path.read_bytes().strip(), mine.public)
    mine.close()
    other.close()


async def test_a_lost_key_is_said_at_the_start(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = await open_store(tmp_path / "data", clock)
    await store.ledger.record([note()])
    await store.close()
    (tmp_path / "data" / "keys" / "ledger.pem").unlink()
    store = await open_store(tmp_path / "data", clock)
    assert "the last line is signed with another key" in caplog.text
    assert not (await store.ledger.verify()).ok
    await store.close()


async def test_a_line_of_brackets_is_no_line_and_stops_nothing(
    tmp_path: Path, clock: FakeClock
) -> None:
    store = await open_store(tmp_path / "data", clock)
    await store.close()
    heads, brackets = tmp_path / "data" / "ledger-heads.jsonl", b"[" * 100_000
    heads.write_bytes(heads.read_bytes() + brackets + b"\n")
    store = await open_store(tmp_path / "data", clock)
    found = await store.ledger.verify()
    assert found.first_broken is not None
    assert "line 2 is not signed" in found.first_broken[2]
    await store.close()
    heads.write_bytes(heads.read_bytes().rstrip(b"\n"))
    assert HeadFile(heads).end.torn


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 33])
def test_each_leaf_of_a_tree_leads_to_its_head(size: int) -> None:
    leaves = [bytes([n]) for n in range(size)]
    root = merkle_root(leaves)
    for index in range(size):
        path = [(side, node.hex()) for side, node in merkle_path(index, leaves)]
        assert root_of(leaves[index], path) == root


def test_trees_are_those_of_rfc_9162() -> None:
    """The test vectors that implementations of Certificate Transparency share (RFC 6962 trees)."""
    leaves = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243")]
    assert merkle_root([]).hex() == hashlib.sha256(b"").hexdigest()
    assert merkle_root(leaves[:1]).hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert merkle_root(leaves[:3]).hex() == (
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    )
    assert merkle_root(leaves).hex() == (
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"
    )
