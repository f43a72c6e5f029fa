"""Away and back again, without forgetting an opt-out."""

from __future__ import annotations

import sqlite3
import stat
import tarfile
from pathlib import Path

import pytest

from relay.model import Basis, StandingState
from relay.ports import NewEvent, StoreTrouble
from relay.settings import Store as StoreSettings
from relay.store import ImportRow, Store, restore
from relay.store.erasure.erasure import Person
from tests.support.clock import FakeClock
from tests.unit.store.samples import copy, message, open_store, person, tenant
from tests.unit.store.story import ANN, BEN, SHOP, told

SETTINGS = StoreSettings(min_free_bytes=0)
BIG = b"x" * 300_000


async def test_opt_outs_made_after_the_backup_still_block(
    store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / "data" / "keys" / "pepper").write_bytes(b"p" * 32)
    await store.registry.add_tenant(tenant())
    await store.mail.accept(message("m", size=len(BIG)), BIG, [copy("m")], [], 0)
    early, late, bounced = (person(f"{name}@ok.test") for name in ("early", "late", "bounced"))
    for who in (early, late):
        await store.consents.grant(1, who, basis=Basis.CONFIRMED, at=1.0, list_id=3)
    await store.consents.withdraw(1, early, at=2.0, channel="link", list_id=3)
    archive = tmp_path / "backup.tar"
    await store.backup(archive)
    await store.consents.withdraw(1, late, at=3.0, channel="link", list_id=3)
    await store.consents.suppress_bounce(1, bounced, at=4.0, evidence={})
    await store.consents.lift(1, bounced, at=5.0, reason="back")
    for number, (kind, committed) in enumerate((("kept", True), ("dropped", False))):
        batch = await store.imports.begin("optout", 1, at=6.0, list_id=3)
        who = person(f"{kind}@ok.test")
        await store.imports.stage(batch, [ImportRow(number + 1, who, "", 6.0)])
        await (store.imports.commit if committed else store.imports.abort)(batch)
    await store.close()

    target = tmp_path / "again"
    journal = tmp_path / "data" / "optouts.jsonl"
    result = await restore(archive, target, settings=SETTINGS, clock=clock, journal=journal)
    assert result.replayed == 4
    again = await open_store(target, clock)
    people = [early, late, bounced, person("kept@ok.test"), person("dropped@ok.test")]
    acts = await again.consents.acts(1, people)
    blocked = [any(a.state is StandingState.WITHDRAWN for a in found) for found in acts]
    assert blocked == [True, True, False, True, False]
    assert acts[2] == ()
    assert acts[1][-1].list_id == 3
    assert again.directory.tenant("shop") is not None
    assert await again.mail.body("m") == BIG
    assert (target / "keys" / "pepper").read_bytes() == b"p" * 32
    assert (await again.ledger.verify()).ok
    types = [row["type"] async for row in again.ledger.export(1)]
    assert types[3:] == ["ledger.discontinuity", "optout", "bounce", "suppression.lifted", "optout"]
    await again.close()

    # What was replayed is in the new journal too: a second loss forgets nothing either.
    third = tmp_path / "third"
    second = await restore(
        archive, third, settings=SETTINGS, clock=clock, journal=target / "optouts.jsonl"
    )
    assert second.replayed == 4


async def test_nothing_is_replayed_twice(store: Store, tmp_path: Path, clock: FakeClock) -> None:
    await store.consents.withdraw(1, person("a@ok.test"), at=2.0, channel="link")
    batch = await store.imports.begin("optout", 1, at=6.0)
    await store.imports.stage(batch, [ImportRow(1, person("b@ok.test"), "", 6.0)])
    await store.imports.commit(batch)
    await store.backup(tmp_path / "backup.tar")
    journal = tmp_path / "data" / "optouts.jsonl"
    result = await restore(
        tmp_path / "backup.tar", tmp_path / "again", settings=SETTINGS, clock=clock, journal=journal
    )
    assert result.replayed == 0


async def test_only_an_empty_directory_is_restored_into(
    store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    await store.backup(tmp_path / "backup.tar")
    target = tmp_path / "again"
    target.mkdir()
    (target / "something").write_text("mine")
    with pytest.raises(StoreTrouble, match="not empty"):
        await restore(tmp_path / "backup.tar", target, settings=SETTINGS, clock=clock)
    assert [path.name for path in target.iterdir()] == ["something"]


async def test_what_is_no_backup_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "junk").write_bytes(b"junk" * 1_000)
    with pytest.raises(StoreTrouble, match="cannot be restored"):
        await restore(tmp_path / "junk", tmp_path / "again", settings=SETTINGS, clock=clock)
    with pytest.raises(StoreTrouble, match="cannot be restored"):
        await restore(tmp_path / "none", tmp_path / "again2", settings=SETTINGS, clock=clock)


async def test_a_backup_is_private_and_overwrites_nothing(store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "backup.tar"
    await store.backup(archive)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        await store.backup(archive)
    assert not (tmp_path / "backup.tar.part").exists()


async def test_bodies_that_go_during_a_backup_are_kept_for_it(store: Store, tmp_path: Path) -> None:
    await store.mail.accept(message("m", size=len(BIG)), BIG, [copy("m")], [], 0)
    path = store.files.path("m")
    with store.files.pinned():
        store.files.remove(["m"])
        assert path.exists()
    assert not path.exists()


async def test_a_restored_store_says_what_is_known_of_the_gap(
    tmp_path: Path, clock: FakeClock
) -> None:
    story = await told(tmp_path / "data", clock)
    archive = tmp_path / "backup.tar"
    await story.store.backup(archive)
    (before,) = [head for t, head in story.store.ledger.signatures.latest().items() if t == SHOP]
    for _ in range(3):
        await story.delivered(ANN, None)
        await story.chapter()
    lost = story.store.ledger.signatures.latest()[SHOP]
    await story.store.close()
    target, heads = tmp_path / "again", tmp_path / "data" / "ledger-heads.jsonl"
    await restore(archive, target, settings=SETTINGS, clock=clock, heads=heads)
    # What the lost store signed stays on record: nothing is taken out of the file.
    assert (target / "ledger-heads.jsonl").read_bytes().startswith(heads.read_bytes())

    again = await open_store(target, clock)
    result = await again.ledger.verify()
    assert result.first_broken is None
    gaps = {one.tenant_id: one for one in result.discontinuities}
    assert set(gaps) == {0, SHOP, 2}
    assert gaps[SHOP].said["last"] == {"seq": before.seq, "hash": before.hash.hex()}
    assert gaps[SHOP].said["lost"] == {"seq": lost.seq, "hash": lost.hash.hex()}
    assert gaps[2].said["lost"] is None
    assert gaps[SHOP].seq == before.seq + 1
    assert abs(float(str(gaps[SHOP].said["backup_at"])) - archive.stat().st_mtime) < 60
    # Life goes on over the numbers that were lost, and what is cut now shows as ever.
    for _ in range(5):
        await again.ledger.record([NewEvent(SHOP, "note", 1.0)])
    await again.ledger.sign()
    assert (await again.ledger.verify()).first_broken is None
    await again.close()
    raw = sqlite3.connect(target / "store.db", isolation_level=None)
    raw.execute("DELETE FROM event_data WHERE event_id = (SELECT max(id) FROM events)")
    raw.execute("DELETE FROM events WHERE id = (SELECT max(id) FROM events)")
    raw.close()
    again = await open_store(target, clock)
    found = (await again.ledger.verify()).first_broken
    assert found is not None
    assert "cut off" in found[2]
    await again.close()


async def test_a_store_put_back_without_restore_is_found_out(
    tmp_path: Path, clock: FakeClock
) -> None:
    story = await told(tmp_path / "data", clock)
    await story.store.backup(tmp_path / "backup.tar")
    await story.delivered(ANN, None)
    await story.store.close()
    with tarfile.open(tmp_path / "backup.tar") as tar:
        tar.extract("store.db", tmp_path / "data", filter="data")
    for name in ("store.db-wal", "store.db-shm"):
        (tmp_path / "data" / name).unlink(missing_ok=True)
    store = await open_store(tmp_path / "data", clock)
    found = (await store.ledger.verify()).first_broken
    assert found is not None
    assert "cut off" in found[2]
    await store.close()


async def test_a_person_erased_after_the_backup_is_erased_again(
    tmp_path: Path, clock: FakeClock
) -> None:
    story = await told(tmp_path / "data", clock)
    archive = tmp_path / "backup.tar"
    await story.store.backup(archive)
    person = Person.of(BEN, story.keys(BEN))
    found = await story.store.erasure.find(person, None)
    await story.store.erasure.remove(person, found, None, clock.now())
    await story.store.close()
    target = tmp_path / "again"
    journal = tmp_path / "data" / "optouts.jsonl"
    await restore(archive, target, settings=SETTINGS, clock=clock, journal=journal)
    again = await open_store(target, clock)
    types = [entry.type for entry in await again.consents.show(again.keys(BEN))]
    assert set(types) == {"consent.imported", "erasure"}
    assert (await again.ledger.verify()).first_broken is None
    await again.close()


async def test_who_came_back_after_an_erasure_stays_through_a_restore(
    store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    """The erasure took what the opt-out said: it is known by the row that it left in force."""
    who, kind = person("back@ok.test"), Basis.CONFIRMED
    await store.consents.grant(1, who, basis=kind, at=clock.now(), own_act=True, list_id=3)
    clock.advance(1)
    await store.consents.withdraw(1, who, at=clock.now(), channel="link", list_id=3)
    erased = Person(who)
    found = await store.erasure.find(erased, None)
    await store.erasure.remove(erased, found, None, clock.now())
    clock.advance(1)
    await store.consents.grant(1, who, basis=kind, at=clock.now(), own_act=True, list_id=3)
    await store.backup(tmp_path / "backup.tar")
    await store.close()
    journal = tmp_path / "data" / "optouts.jsonl"
    result = await restore(
        tmp_path / "backup.tar", tmp_path / "again", settings=SETTINGS, clock=clock, journal=journal
    )
    assert result.replayed == 0
    again = await open_store(tmp_path / "again", clock)
    (acts,) = await again.consents.acts(1, [who])
    newest = max(acts, key=lambda act: act.event_id)
    assert newest.state is StandingState.GRANTED
    assert (await again.ledger.verify()).ok
    await again.close()


async def test_opt_outs_of_one_moment_from_several_lists_are_all_replayed(
    store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    await store.backup(tmp_path / "backup.tar")
    for mailing_list in (3, 4):
        await store.consents.withdraw(
            1, person("a@ok.test"), at=2.0, channel="api", list_id=mailing_list
        )
    await store.close()
    journal = tmp_path / "data" / "optouts.jsonl"
    result = await restore(
        tmp_path / "backup.tar", tmp_path / "again", settings=SETTINGS, clock=clock, journal=journal
    )
    assert result.replayed == 2


@pytest.mark.parametrize("fraction", [0.0, 0.0004, 0.0006, 0.9999])
async def test_an_erasure_that_the_backup_knows_is_not_done_again(
    store: Store, tmp_path: Path, clock: FakeClock, fraction: float
) -> None:
    """Whatever the moment, down to the last digit: who has come back since would lose it all."""
    clock.set_wall(clock.now() + fraction)
    who = person("back@ok.test")
    await store.consents.grant(1, who, basis=Basis.CONFIRMED, at=clock.now(), own_act=True)
    found = await store.erasure.find(Person(who), None)
    await store.erasure.remove(Person(who), found, None, clock.now())
    clock.advance(1)
    await store.consents.grant(1, who, basis=Basis.CONFIRMED, at=clock.now(), own_act=True)
    await store.backup(tmp_path / "backup.tar")
    await store.close()
    journal = tmp_path / "data" / "optouts.jsonl"
    await restore(
        tmp_path / "backup.tar", tmp_path / "again", settings=SETTINGS, clock=clock, journal=journal
    )
    again = await open_store(tmp_path / "again", clock)
    (acts,) = await again.consents.acts(1, [who])
    assert [act.state for act in acts] == [StandingState.GRANTED]
    await again.close()


async def test_a_lift_that_was_erased_lifts_nothing_of_later(
    store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    who = person("sup@ok.test")
    await store.consents.suppress_operator(who, at=clock.now(), reason="asked")
    clock.advance(1)
    await store.consents.lift(None, who, at=clock.now(), reason="asked")
    found = await store.erasure.find(Person(who), None)
    await store.erasure.remove(Person(who), found, None, clock.now())
    clock.advance(1)
    await store.consents.suppress_operator(who, at=clock.now(), reason="again")
    await store.backup(tmp_path / "backup.tar")
    await store.close()
    journal = tmp_path / "data" / "optouts.jsonl"
    result = await restore(
        tmp_path / "backup.tar", tmp_path / "again", settings=SETTINGS, clock=clock, journal=journal
    )
    assert result.replayed == 0
    again = await open_store(tmp_path / "again", clock)
    (acts,) = await again.consents.acts(1, [who])
    assert [act.state for act in acts] == [StandingState.SUPPRESSED]
    await again.close()
