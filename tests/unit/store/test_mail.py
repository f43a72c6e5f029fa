"""Bodies and copies."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from relay.model import Action, Address, CopyState, Finding, Kind, Reason
from relay.ports import CopyChange, DiskFull, NewEvent, StoreTrouble, Waiting
from relay.store import Store
from relay.store.mail.usage import utc_day
from relay.store.sqlite.journal import Journal
from relay.store.sqlite.transaction import Transaction
from tests.support.clock import FakeClock
from tests.unit.store.samples import copy, message, open_store

BIG = b"0123456789abcdef\r\n" * 600_000  # 10.8 MB


def ended(number: str, seq: int = 1, state: CopyState = CopyState.SENT) -> CopyChange:
    return CopyChange(number, seq, state, 0.0, 1, "250 2.0.0 ok")


def body_files(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "bodies").rglob("*") if path.is_file()]


async def test_what_was_accepted_is_there_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock)
    finding = Finding("base/r1", Action.QUARANTINE, Reason.NO_CONSENT, "dätail", ("A2", "B5"))
    odd = Address('"A B"@OK.test', "A B", "ok.test", "a b@ok.test", "ab@ok.test")
    given = replace(message("m", n=2), smtputf8=True, list_id=4, mail_from="")
    copies = [
        replace(
            copy("m", 1, CopyState.HELD, reason=Reason.NO_CONSENT, rule="base/r1"),
            recipient=odd,
            findings=(finding,),
            consent_event=7,
            expires_at=99.5,
        ),
        copy("m", 2, next_at=5.25, attempts=3, last_reply="451 later"),
    ]
    await store.mail.accept(given, b"hello", copies, [], 0)
    await store.close()
    store = await open_store(tmp_path, clock)
    assert await store.mail.message("m") == given
    assert await store.mail.body("m") == b"hello"
    assert await store.mail.copies("m", [2, 1]) == copies[::-1]
    assert await store.mail.copies("m", [2, 9]) == copies[1:]
    assert [w async for w in store.mail.waiting()] == [
        Waiting("m", 2, 1, "ok.test", Kind.COMMERCIAL, 5.25)
    ]
    await store.close()


async def test_just_accepted_mail_is_not_read_back(store: Store) -> None:
    given, one = message("m"), copy("m")
    await store.mail.accept(given, b"hello", [one], [], 0)
    for reader in store._readers:
        await reader.close()
    assert await store.mail.message("m") is given
    assert await store.mail.body("m") == b"hello"
    assert await store.mail.copies("m", [1]) == [one]


async def test_a_change_shows_at_once_although_the_copy_was_remembered(store: Store) -> None:
    await store.mail.accept(message("m", n=2), b"hello", [copy("m", 1), copy("m", 2)], [], 0)
    await store.mail.change(
        [CopyChange("m", 2, CopyState.WAITING, 77.0, 1, "451 4.0.0 later", Reason.RATE)]
    )
    first, second = await store.mail.copies("m", [1, 2])
    assert first == copy("m", 1)
    assert (second.next_at, second.attempts, second.reason) == (77.0, 1, Reason.RATE)
    assert second.last_reply == "451 4.0.0 later"


async def test_content_lives_as_long_as_a_copy_does(store: Store) -> None:
    copies = [copy("m", 1), copy("m", 2, CopyState.HELD), copy("m", 3, CopyState.DROPPED)]
    await store.mail.accept(message("m", n=3), b"hello", copies, [], 0)
    assert store.mail.usage(1) == (2, 5)
    await store.mail.change([ended("m", 1)])
    assert store.mail.usage(1) == (1, 5)
    assert await store.mail.body("m") == b"hello"
    await store.mail.change([ended("m", 2, CopyState.DELETED)])
    assert store.mail.usage(1) == (0, 0)
    store.mail._recent.forget("m")
    with pytest.raises(KeyError):
        await store.mail.body("m")
    kept = await store.mail.message("m")
    assert kept is not None
    assert kept.header == b""
    states = [found.state for found in await store.mail.copies("m", [1, 2, 3])]
    assert states == [CopyState.SENT, CopyState.DELETED, CopyState.DROPPED]


async def test_mail_of_which_nothing_lives_has_no_content(store: Store, tmp_path: Path) -> None:
    copies = [copy("m", 1, CopyState.DROPPED), copy("m", 2, CopyState.REJECTED)]
    await store.mail.accept(message("m", size=len(BIG), n=2), BIG, copies, [], 0)
    assert store.mail.usage(1) == (0, 0)
    assert body_files(tmp_path / "data") == []
    with pytest.raises(KeyError):
        await store.mail.body("m")


async def test_a_copy_that_has_ended_is_never_changed_again(store: Store) -> None:
    await store.mail.accept(message("m"), b"hello", [copy("m")], [], 0)
    await store.mail.change([ended("m")])
    await store.mail.change([CopyChange("m", 1, CopyState.WAITING, 1.0, 9)])
    (found,) = await store.mail.copies("m", [1])
    assert (found.state, found.attempts) == (CopyState.SENT, 1)
    assert store.mail.usage(1) == (0, 0)


async def test_a_large_body_is_stored_once_for_a_thousand_recipients(
    store: Store, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    copies = [copy("m", seq) for seq in range(1, 1_001)]
    await store.mail.accept(message("m", size=len(BIG), n=1_000), BIG, copies, [], 0)
    (file,) = body_files(data_dir)
    assert file.stat().st_size == len(BIG)
    assert (data_dir / "store.db").stat().st_size < 1_000_000
    assert (data_dir / "store.db-wal").stat().st_size < 1_000_000
    assert store.mail.usage(1) == (1_000, len(BIG))
    store.mail._recent.forget("m")
    assert await store.mail.body("m") == BIG
    await store.mail.change([ended("m", seq) for seq in range(1, 1_000)])
    assert file.exists()
    await store.mail.change([ended("m", 1_000)])
    assert body_files(data_dir) == []
    assert store.mail.usage(1) == (0, 0)


async def test_a_large_body_is_synced_and_named_before_its_row(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def traced_fsync(file: int) -> None:
        order.append("sync " + os.readlink(f"/proc/self/fd/{file}").rpartition("/")[2])
        fsync(file)

    def traced_rename(self: Path, target: Path) -> Path:
        order.append("rename")
        return rename(self, target)

    monkeypatch.setattr("os.fsync", traced_fsync)
    monkeypatch.setattr(Path, "rename", traced_rename)
    commits = store.writer.commits
    commit = Transaction.commit

    def traced_commit(self: Transaction, journal: Journal) -> None:
        order.append("commit")
        commit(self, journal)

    monkeypatch.setattr(Transaction, "commit", traced_commit)
    await store.mail.accept(message("m", size=len(BIG)), BIG, [copy("m")], [], 0)
    assert store.writer.commits == commits + 1
    spread = store.files.path("m").parent.name
    assert order == ["sync bodies", "sync m.part", "rename", f"sync {spread}", "commit"]


async def test_no_room_for_a_body_file_is_disk_full_and_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFull):
        await store.mail.accept(message("m", size=len(BIG)), BIG, [copy("m")], [], 0)
    monkeypatch.undo()
    assert body_files(tmp_path / "data") == []
    assert await store.mail.message("m") is None


async def test_files_without_rows_go_after_an_hour(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock)
    await store.mail.accept(message("m", size=len(BIG)), BIG, [copy("m")], [], 0)
    await store.close()
    for name, age in (("young", 3_000), ("old", 4_000), ("old.part", 4_000)):
        path = tmp_path / "bodies" / "aa" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (clock.now() - age, clock.now() - age))
    store = await open_store(tmp_path, clock)
    assert sorted(path.name for path in body_files(tmp_path)) == ["m", "young"]
    await store.close()


async def test_a_row_without_its_file_is_an_alarm_and_no_crash(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = await open_store(tmp_path, clock)
    await store.mail.accept(message("m", size=len(BIG)), BIG, [copy("m")], [], 0)
    await store.close()
    (file,) = body_files(tmp_path)
    file.unlink()
    with caplog.at_level(logging.ERROR):
        store = await open_store(tmp_path, clock)
    assert "m: accepted mail has lost its body file" in caplog.text
    with pytest.raises(StoreTrouble):
        await store.mail.body("m")
    await store.close()


async def test_a_shortened_body_file_is_not_sent(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock)
    await store.mail.accept(message("m", size=len(BIG)), BIG, [copy("m")], [], 0)
    (file,) = body_files(tmp_path)
    os.truncate(file, 100)
    store.mail._recent.forget("m")
    with pytest.raises(StoreTrouble, match="damaged"):
        await store.mail.body("m")
    await store.close()


@pytest.mark.parametrize("number", ["../x", "a/b", "", ".hidden", "nul\0"])
async def test_an_id_that_is_no_file_name_is_refused(store: Store, number: str) -> None:
    with pytest.raises(ValueError, match="file name"):
        await store.mail.accept(message(number, size=len(BIG)), BIG, [copy(number)], [], 0)


async def test_quotas_are_exact_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock, large_body=50)
    for number in range(20):
        size = 10 * (number + 1)
        copies = [copy(f"m{number}", 1), copy(f"m{number}", 2, CopyState.HELD)]
        given = replace(message(f"m{number}", size=size, n=2), tenant_id=1 + number % 2)
        await store.mail.accept(given, b"x" * size, copies, [], number % 3)
    for number in range(0, 20, 3):
        await store.mail.change([ended(f"m{number}", 1)])
        if number % 2:
            await store.mail.change([ended(f"m{number}", 2, CopyState.EXPIRED)])
    today = utc_day(clock.now())
    before = [(store.mail.usage(t), store.mail.personal_today(t, today)) for t in (1, 2, 3)]
    await store.close()
    store = await open_store(tmp_path, clock, large_body=50)
    after = [(store.mail.usage(t), store.mail.personal_today(t, today)) for t in (1, 2, 3)]
    assert after == before
    assert sum(copies for (copies, _), _ in after) == 40 - 7 - 3
    assert sum(personal for _, personal in after) == sum(number % 3 for number in range(20))
    assert store.mail.personal_today(1, today + 1) == 0
    await store.close()


async def test_a_refused_accept_counts_nothing(store: Store, clock: FakeClock) -> None:
    await store.mail.accept(message("m"), b"hello", [copy("m")], [], 1)
    with pytest.raises(StoreTrouble):
        await store.mail.accept(message("m"), b"hello", [copy("m")], [], 1)
    assert store.mail.usage(1) == (1, 5)
    assert store.mail.personal_today(1, utc_day(clock.now())) == 1
    assert (await store.ledger.verify()).ok


async def test_a_refused_accept_leaves_no_event(store: Store) -> None:
    event = NewEvent(1, "note", 1.0)
    await store.mail.accept(message("m"), b"hello", [copy("m")], [event], 0)
    await asyncio.gather(
        store.mail.accept(message("m"), b"hello", [copy("m")], [event], 0),
        store.mail.accept(message("n"), b"hello", [copy("n")], [event], 0),
        return_exceptions=True,
    )
    result = await store.ledger.verify()
    assert (result.ok, result.events) == (True, 2)


async def test_held_and_spooled_are_listed_with_what_a_person_needs(store: Store) -> None:
    held = replace(
        copy("a", 1, CopyState.HELD, reason=Reason.NO_CONSENT),
        findings=(Finding("r/1", Action.QUARANTINE, Reason.NO_CONSENT),),
    )
    await store.mail.accept(message("a", n=2, at=20.0), b"hello", [held, copy("a", 2)], [], 0)
    other = copy("b", 1, CopyState.HELD, reason=Reason.UNMARKED_BULK)
    await store.mail.accept(replace(message("b", at=10.0), tenant_id=2), b"hello", [other], [], 0)
    assert [record.id for record in await store.mail.held()] == ["b.1", "a.1"]
    (record,) = await store.mail.held(tenant_id=1)
    assert (record.to, record.subject, record.reason) == (
        "person1@ok.test",
        "Hello",
        Reason.NO_CONSENT,
    )
    assert record.findings == held.findings
    assert [r.id for r in await store.mail.held(reason=Reason.UNMARKED_BULK)] == ["b.1"]
    assert [r.id for r in await store.mail.spooled()] == ["a.2"]
    assert await store.mail.spooled(tenant_id=2) == ()
    assert await store.mail.record("a.1") == record
    for unknown in ("a.9", "a", "zzz.1", "a.x", "a.99999999999"):
        assert await store.mail.record(unknown) is None
    counts = await store.mail.counts()
    assert (counts.waiting, counts.oldest_waiting_at, counts.held) == (1, 20.0, {1: 1, 2: 1})


async def test_a_release_puts_the_copy_back_under_another_kind(store: Store) -> None:
    held = copy("m", 1, CopyState.HELD, reason=Reason.NO_CONSENT)
    await store.mail.accept(message("m"), b"hello", [held], [], 0)
    release = CopyChange(
        "m", 1, CopyState.WAITING, 50.0, 0, released_kind=Kind.PERSONAL, expires_at=500.0
    )
    await store.mail.change([release])
    await store.mail.change([CopyChange("m", 1, CopyState.WAITING, 60.0, 1)])
    (found,) = await store.mail.copies("m", [1])
    assert (found.state, found.reason) == (CopyState.WAITING, None)
    assert (found.released_kind, found.expires_at) == (Kind.PERSONAL, 500.0)
    (waiting,) = [w async for w in store.mail.waiting()]
    assert waiting.kind is Kind.PERSONAL
    assert store.mail.usage(1) == (1, 5)


async def test_held_mail_expires_and_old_records_go(store: Store) -> None:
    for number, at in (("old", 100.0), ("new", 200.0)):
        held = replace(
            copy(number, 1, CopyState.HELD, reason=Reason.NO_CONSENT), expires_at=at + 50.0
        )
        await store.mail.accept(message(number, at=at), b"hello", [held], [], 0)
    await store.mail.accept(message("waits", at=100.0), b"hello", [copy("waits")], [], 0)
    assert [record.id for record in await store.mail.expire_held(150.0)] == ["old.1"]
    assert await store.mail.expire_held(150.0) == ()
    record = await store.mail.record("old.1")
    assert record is not None
    assert (record.state, record.reason) == (CopyState.EXPIRED, Reason.NO_CONSENT)
    assert await store.mail.purge_records(before=100.0) == 0
    assert await store.mail.purge_records(before=150.0) == 1
    assert await store.mail.record("old.1") is None
    assert await store.mail.record("waits.1") is not None
    assert store.mail.usage(1) == (2, 10)


async def test_held_copies_are_counted_per_tenant(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock)
    copies = [copy("m", 1, CopyState.HELD), copy("m", 2, CopyState.HELD), copy("m", 3)]
    await store.mail.accept(message("m", n=3), b"hello", copies, [], 0)
    assert (await store.mail.counts()).held == {1: 2}
    await store.mail.change([CopyChange("m", 3, CopyState.HELD, 0.0, 0)])
    assert (await store.mail.counts()).held == {1: 3}
    await store.mail.change([CopyChange("m", 1, CopyState.WAITING, 0.0, 0)])
    await store.mail.change([ended("m", 2, CopyState.DELETED)])
    assert (await store.mail.counts()).held == {1: 1}
    await store.close()
    store = await open_store(tmp_path, clock)
    assert (await store.mail.counts()).held == {1: 1}
    assert [record.id for record in await store.mail.held_since(message("m").at)] == ["m.3"]
    assert await store.mail.held_since(message("m").at + 1) == ()
    await store.close()
