"""After an erasure no file of the store names the person, and everything else works on."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.consent.erasing import Erased, Erasing
from relay.consent.withdrawing import Withdrawing
from relay.decide.address import parse_address
from relay.decide.standing import standing
from relay.model import Address, Basis, CopyState, Kind, StandingState, StoredMessage, SubjectKeys
from relay.ports import CopyChange, StoreTrouble
from relay.settings import Store as StoreSettings
from relay.store import ImportRow, Store, restore
from relay.store.backup import write_backup
from relay.store.idempotency import Answered
from relay.store.sqlite.transaction import Transaction
from tests.support.clock import FakeClock
from tests.support.residue import traces
from tests.unit.store.samples import copy, newsletter, open_store, tenant

JANE = parse_address("Jane.Quixotic@person.test")
TAGGED = parse_address("jane.quixotic+News@person.test")
OTHER = parse_address("somebody@else.test")
TEXTS = ("jane.quixotic@person.test", "jane.quixotic+news@person.test", "jane.quixotic")


class House:
    """A store with one person in every corner of it, and somebody else beside."""

    def __init__(self, data_dir: Path, clock: FakeClock) -> None:
        self.data_dir = data_dir
        self.clock = clock
        self.store: Store
        self.settled = 0
        self.opted_out: list[tuple[str, str]] = []

    async def open(self) -> None:
        self.store = await open_store(self.data_dir, self.clock, large_body=8_000)

    def erasing(self, vacuum_below: int | None = 64 * 1024 * 1024) -> Erasing:
        async def settle() -> None:
            self.settled += 1

        withdrawing = Withdrawing(
            self.store,
            self.clock,
            lambda *told: self.opted_out.append(told),  # type: ignore[arg-type]
            lambda seconds: None,
        )
        return Erasing(
            store=self.store,
            clock=self.clock,
            withdrawing=withdrawing,
            settle=settle,
            vacuum_below=vacuum_below,
        )

    async def erase(self, who: Address = JANE, tenant_id: int | None = None) -> Erased:
        return await self.erasing().erase(who, tenant_id=tenant_id)

    def keys(self, who: Address = JANE) -> SubjectKeys:
        return self.store.keys(who)

    async def state(self, who: Address = JANE, tenant_id: int = 1) -> StandingState:
        (acts,) = await self.store.consents.acts(tenant_id, [self.keys(who)])
        news = next(m for m in self.store.directory.lists.values() if m.tenant_id == tenant_id)
        now = self.clock.now()
        return standing(acts, tenant_id=tenant_id, mailing_list=news, now=now).state

    async def take(self, tenant_id: int, *people: Address, kind: str = "consent") -> int:
        """An import; how many rows were without effect."""
        number = await self.store.imports.begin(
            kind,  # type: ignore[arg-type]
            tenant_id,
            at=self.clock.now(),
        )
        rows = [
            ImportRow(
                line,
                self.keys(who),
                who.exact,
                self.clock.now() - 5,
                Basis.ATTESTED if kind == "consent" else Basis.NONE,
                {"note": f"typed by {who.wire}", "ip": "192.0.2.7"},
            )
            for line, who in enumerate(people, 2)
        ]
        await self.store.imports.stage(number, rows)
        return (await self.store.imports.commit(number)).opted_out

    async def mail(
        self, number: str, body: bytes, *copies: tuple[Address, CopyState], subject: str = ""
    ) -> None:
        to = b", ".join(who.wire.encode() for who, _ in copies)
        message = StoredMessage(
            id=number,
            at=self.clock.now(),
            tenant_id=1,
            list_id=None,
            kind=Kind.TRANSACTIONAL,
            declared=True,
            mail_from="office@shop.test",
            header=b"From: office@shop.test\r\nTo: " + to + b"\r\n\r\n",
            body_hash=b"h" * 32,
            body_size=len(body),
            subject=subject or f"For {copies[0][0].wire}",
            from_address="office@shop.test",
            recipient_count=len(copies),
        )
        rows = [
            replace(
                copy(number, seq, state, expires_at=self.clock.now() + 100 * seq), recipient=who
            )
            for seq, (who, state) in enumerate(copies, 1)
        ]
        await self.store.mail.accept(message, body, rows, (), 0)

    async def fill(self) -> None:
        """Put the person on record everywhere."""
        store = self.store
        for slug in ("shop", "club"):
            added = await store.registry.add_tenant(tenant(slug))
            await store.registry.add_list(newsletter(added.id))
        await store.webhooks.add(1, "https://shop.test/hook", at=self.clock.now())
        assert await self.take(1, JANE, OTHER) == 0
        for who in (JANE, TAGGED, OTHER):
            await store.consents.grant(
                1,
                self.keys(who),
                basis=Basis.CONFIRMED,
                at=self.clock.now(),
                own_act=True,
                address=who.wire,
                evidence={"signup": {"form_url": f"https://shop.test/?mail={who.wire}"}},
            )
        await store.consents.grant(
            2, self.keys(), basis=Basis.ATTESTED, at=self.clock.now(), address=JANE.wire
        )
        held, waiting = CopyState.HELD, CopyState.WAITING
        plain = b"Dear jane.quixotic@person.test\r\n"
        await self.mail("m1", plain, (JANE, held))
        await self.mail("m2", base64.b64encode(plain), (TAGGED, waiting))
        await self.mail("m3", plain * 300, (JANE, waiting))
        await self.mail("m4", plain.replace(b"@", b"=40"), (JANE, waiting))
        await self.end("m4", 1, "550 5.1.1 <jane.quixotic@person.test> is unknown")
        await self.mail("m5", plain * 200, (OTHER, waiting), (JANE, waiting))
        await self.end("m5", 2, "250 ok")
        await self.mail("m6", b"x", (OTHER, waiting))
        await self.end("m6", 1, "550 ask jane.quixotic@person.test")
        await store.idempotency.keep(
            1, "k1", Answered("hash", 200, '{"address": "jane.quixotic@person.test"}'), 5.0
        )

    async def end(self, number: str, seq: int, reply: str) -> None:
        state = CopyState.SENT if reply.startswith("2") else CopyState.BOUNCED
        await self.store.mail.change([CopyChange(number, seq, state, 0.0, 1, reply)])

    async def flush(self) -> None:
        """Have the database on disk too, as SQLite does now and then."""
        await self.store.writer.write(
            lambda tx: tx.after(lambda: tx.raw.execute("PRAGMA wal_checkpoint").fetchone())
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def house(tmp_path: Path, clock: FakeClock) -> AsyncIterator[House]:
    made = House(tmp_path / "data", clock)
    await made.open()
    await made.fill()
    await made.flush()
    yield made
    await made.store.close()


async def test_no_file_names_the_person_afterwards(house: House) -> None:
    before = traces(house.data_dir, *TEXTS)
    assert {"store.db", "store.db-wal"} <= before.keys()
    assert any(name.startswith("bodies/") for name in before)
    kinds = {form for forms in before.values() for form in forms}
    assert len(kinds) > 4, "the search knows more spellings than the plain one"
    # Somebody else still waits for a message that names the person.
    await house.end("m5", 1, "250 ok")
    house.clock.advance(10)
    done = await house.erase()
    assert traces(house.data_dir, *TEXTS) == {}
    assert traces(house.data_dir, OTHER.wire), "of others nothing is lost"
    assert (done.overwritten, done.problem, done.found_in) == (True, "", ())
    assert (done.opted_out, done.remaining_messages) == (2, 0)
    assert done.removed["consents"] == 4
    assert done.removed["addresses"] == 2
    assert (await house.store.ledger.verify()).ok
    assert house.settled == 1
    await house.store.close()
    await house.open()
    assert traces(house.data_dir, *TEXTS) == {}


async def test_opt_outs_go_on_and_so_does_everybody_else(house: House) -> None:
    await house.erase()
    for who in (JANE, TAGGED, parse_address("jane.quixotic+other@person.test")):
        assert await house.state(who) is StandingState.WITHDRAWN
    assert await house.state(JANE, 2) is StandingState.WITHDRAWN
    assert await house.state(OTHER) is StandingState.GRANTED
    assert await house.store.consents.address_of(house.keys(OTHER), None) == OTHER.wire
    assert list(await _states(house.store)) == [
        ("m5", 1, "waiting"),
        ("m6", 1, "bounced"),
    ]
    assert house.store.mail.usage(1)[0] == 1
    await house.store.consents.rebuild()
    assert await house.state() is StandingState.WITHDRAWN
    assert await house.state(OTHER) is StandingState.GRANTED


async def test_mail_that_others_wait_for_stays_and_is_named(house: House) -> None:
    done = await house.erase()
    assert done.remaining_messages == 1
    assert done.remaining_until == house.clock.now() + 100
    assert done.found_in == ("store.db",)
    await house.end("m5", 1, "250 ok")
    again = await house.erase()
    assert (again.remaining_messages, again.remaining_until, again.found_in) == (0, None, ())
    assert traces(house.data_dir, *TEXTS) == {}


async def test_what_such_mail_leaves_behind_is_overwritten_later(house: House) -> None:
    await house.erase()
    await house.end("m5", 1, "250 ok")
    await house.flush()
    assert traces(house.data_dir, *TEXTS).keys() >= {"store.db"}
    await house.erasing().finish()
    assert traces(house.data_dir, *TEXTS), "not before its time"
    house.clock.advance(3_600)
    assert await house.erasing().finish() is True
    assert traces(house.data_dir, *TEXTS) == {}
    house.clock.advance(3_600)
    assert not await house.store.erasure.unfinished(house.clock.now())


async def test_mail_to_others_is_known_however_it_names_the_person(house: House) -> None:
    """And what the list of mail says of it goes once it has left."""
    waiting = (OTHER, CopyState.WAITING)
    await house.end("m5", 1, "250 ok")
    hidden = base64.b64encode(b"It was Jane.Quixotic@person.test who asked.")
    await house.mail("m7", hidden, waiting, subject="About Jane.Quixotic@person.test")
    await house.mail("m8", b"jane=2Equixotic=40person.test jane.quixotic=40person.test", waiting)
    await house.mail("m9", hidden * 200, waiting)
    done = await house.erase()
    assert done.remaining_messages == 3
    for number in ("m7", "m8", "m9"):
        await house.end(number, 1, "451 not for jane.quixotic@person.test now")
        await house.end(number, 1, "250 ok")
    house.clock.advance(3_600)
    erasing = house.erasing()
    assert await erasing.finish() is True
    assert traces(house.data_dir, *TEXTS) == {}
    house.clock.advance(3_600)
    assert not await house.store.erasure.unfinished(house.clock.now())


async def test_what_left_while_it_was_erased_is_looked_after_once_more(house: House) -> None:
    """The report of a delivery that was under way names the person."""
    await house.end("m5", 1, "250 ok")
    await house.erase()
    await house.mail("dsn", b"jane.quixotic@person.test is unknown", (OTHER, CopyState.WAITING))
    await house.end("dsn", 1, "250 ok")
    await house.flush()
    erasing = house.erasing()
    house.clock.advance(3_600)
    assert await erasing.finish() is True
    assert traces(house.data_dir, *TEXTS) == {}
    house.clock.advance(3_600)
    assert not await house.store.erasure.unfinished(house.clock.now())


async def test_after_a_restart_unused_space_is_overwritten_too(house: House) -> None:
    """Nobody knows any more which addresses to look for."""
    await house.end("m5", 1, "250 ok")
    await house.erasing().erase(JANE, tenant_id=1)
    await house.erasing().erase(JANE, tenant_id=2)
    await house.store.close()
    _leave_in_unused_space(house.data_dir / "store.db", b"jane.quixotic@person.test")
    await house.open()
    assert await house.erasing().finish() is True
    assert traces(house.data_dir, *TEXTS) == {}


async def test_what_is_repeated_finds_nothing_left(house: House) -> None:
    first = await house.erase()
    events = (await house.store.ledger.verify()).events
    again = await house.erase(TAGGED)
    assert first.event_ids
    assert (again.opted_out, dict(again.removed), again.event_ids) == (0, {}, ())
    result = await house.store.ledger.verify()
    assert (result.ok, result.events) == (True, events)


async def test_nothing_is_put_on_record_again(house: House) -> None:
    await house.erase()
    await house.end("m5", 1, "250 ok")
    house.clock.advance(100)
    assert await house.take(1, TAGGED, OTHER) == 1
    assert await house.take(2, JANE) == 1
    assert await house.take(1, JANE, kind="optout") == 1
    await house.erase()
    assert traces(house.data_dir, *TEXTS) == {}
    assert await house.state(TAGGED) is StandingState.WITHDRAWN
    assert await house.state(JANE, 2) is StandingState.WITHDRAWN
    result = await house.store.ledger.verify()
    assert result.ok, result.first_broken
    await house.store.consents.rebuild()
    assert await house.state(TAGGED) is StandingState.WITHDRAWN


async def test_a_re_import_alone_stores_no_trace(house: House) -> None:
    await house.end("m5", 1, "250 ok")
    await house.erase()
    await house.take(1, TAGGED, JANE)
    await house.take(2, JANE, kind="optout")
    assert traces(house.data_dir, *TEXTS) == {}


async def test_a_person_unknown_before_is_kept_out_too(house: House) -> None:
    unknown = parse_address("never.seen@person.test")
    done = await house.erase(unknown)
    assert (done.opted_out, dict(done.removed), len(done.event_ids)) == (0, {}, 1)
    assert await house.take(1, unknown) == 1
    assert await house.state(unknown) is StandingState.ABSENT
    assert traces(house.data_dir, "never.seen") == {}


async def test_the_persons_own_confirmation_is_a_new_life(house: House) -> None:
    await house.erase()
    house.clock.advance(60)
    await house.store.consents.grant(
        1,
        house.keys(),
        basis=Basis.CONFIRMED,
        at=house.clock.now(),
        own_act=True,
        address=JANE.wire,
        list_id=1,
    )
    assert await house.state() is StandingState.GRANTED
    assert await house.store.consents.address_of(house.keys(), None) == JANE.wire
    assert not await house.store.writer.write(
        lambda tx: house.store.erasure.is_erased(tx, house.keys(), 1)
    )
    assert await house.store.writer.write(
        lambda tx: house.store.erasure.is_erased(tx, house.keys(), 2)
    ), "another tenant knows nothing of it"
    await house.erase()
    assert await house.state() is StandingState.WITHDRAWN
    assert await house.store.consents.address_of(house.keys(), None) is None


async def test_a_press_by_a_machine_is_no_new_life(house: House) -> None:
    who = parse_address("never.seen@person.test")
    await house.erase(who)
    house.clock.advance(60)
    await house.store.consents.grant(
        1,
        house.keys(who),
        basis=Basis.CONFIRMED,
        at=house.clock.now(),
        own_act=True,
        automated=["no-page-fetch"],
        list_id=1,
    )
    assert await house.take(1, who) == 1, "the erasure goes on keeping it out"


async def test_one_tenant_erases_what_is_its_own(house: House) -> None:
    done = await house.erase(JANE, 2)
    assert done.opted_out == 1
    assert await house.state(JANE, 2) is StandingState.WITHDRAWN
    assert await house.state(JANE, 1) is StandingState.GRANTED
    # As it was first given, by the import.
    assert await house.store.consents.address_of(house.keys(), None) == JANE.exact
    assert (done.remaining_messages, done.found_in) == (0, ())
    assert await house.take(2, JANE) == 1
    (one,) = [event async for event in house.store.ledger.export(2) if event["type"] == "erasure"]
    assert one["data"]["consents"] == 1  # type: ignore[index, call-overload]
    assert not [e async for e in house.store.ledger.export(1) if e["type"] == "erasure"]
    await house.end("m5", 1, "250 ok")
    erasing = house.erasing()
    last = await erasing.erase(JANE, tenant_id=1)
    assert await house.store.consents.address_of(house.keys(), None) is None
    assert (last.overwritten, last.found_in) == (False, ()), "a tenant cannot keep the disk busy"
    assert traces(house.data_dir, *TEXTS) != {}
    assert await erasing.finish() is True
    assert traces(house.data_dir, *TEXTS) == {}
    assert (await house.store.ledger.verify()).ok


async def test_an_erasure_does_not_tell_which_spellings_others_know(house: House) -> None:
    for number, guess in (("g1", TAGGED.wire), ("g2", "jane.quixotic+guess@person.test")):
        await house.mail(number, b"x", (OTHER, CopyState.WAITING), subject=f"Is it {guess}?")
        await house.end(number, 1, "250 ok")
        await house.store.writer.write(
            lambda tx, number=number: tx.raw.execute(  # type: ignore[misc]
                "UPDATE messages SET tenant_id = 2 WHERE id = ?", (number,)
            )
        )
    done = await house.erase(JANE, 2)
    assert "senders and subjects" not in done.removed
    everywhere = await house.erase(JANE)
    assert everywhere.removed["senders and subjects"] >= 1


async def test_a_stop_in_the_middle_is_finished_by_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise StoreTrouble("gone")

    await house.end("m5", 1, "250 ok")
    house.clock.advance(10)
    for step in ("remove", "find"):
        with monkeypatch.context() as patch:
            patch.setattr(house.store.erasure, step, broken)
            with pytest.raises(StoreTrouble):
                await house.erase()
        assert await house.state() is StandingState.WITHDRAWN, "the opt-out comes first"
    done = await house.erase()
    assert done.opted_out == 0
    assert traces(house.data_dir, *TEXTS) == {}
    assert (await house.store.ledger.verify()).ok


async def test_the_journals_hold_hashes_only(house: House) -> None:
    await house.erase()
    journal = (house.data_dir / "optouts.jsonl").read_text()
    assert house.keys().wide.hex() in journal
    assert '"type":"erasure"' in journal
    assert not {"optouts.jsonl", "ledger-heads.jsonl"} & traces(house.data_dir, *TEXTS).keys()


async def test_a_long_read_puts_off_the_end_and_housekeeping_comes_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.erasure.scrub.TRUNCATE_PAUSE", 0.0)
    await house.end("m5", 1, "250 ok")
    reader = sqlite3.connect(house.data_dir / "store.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    done = await house.erase()
    assert not done.overwritten
    assert "backup" in done.problem
    assert await house.erasing().finish() is False
    reader.execute("ROLLBACK")
    assert await house.erasing().finish() is True
    assert traces(house.data_dir, *TEXTS) == {}
    reader.close()


async def test_a_restored_backup_is_erased_anew(house: House, tmp_path: Path) -> None:

    archive = tmp_path / "before.tar"
    await house.mail("m7", b"x", (OTHER, CopyState.WAITING), subject=f"For {JANE.wire}")
    write_backup(house.data_dir, archive, house.store.files)
    house.clock.advance(10)
    for number in ("m5", "m7"):
        await house.end(number, 1, "250 ok")
    await house.erase()
    target = tmp_path / "restored"
    restored = await restore(
        archive,
        target,
        settings=StoreSettings(min_free_bytes=0, large_body=8_000),
        clock=house.clock,
        journal=house.data_dir / "optouts.jsonl",
    )
    assert restored.erased_again == 1
    assert not [name for name in traces(target, *TEXTS) if name.startswith("bodies/")]
    store = await open_store(target, house.clock)
    try:
        assert await store.consents.address_of(house.keys(), None) is None
        copies = await _states(store)
        assert [row for row in copies if row[0] not in ("m5", "m6", "m7")] == []
        assert await store.erasure.unfinished(house.clock.now())
        assert (await store.ledger.verify()).ok
        # Mail of others that the backup brought back is sent once more; then nothing is left.
        await store.mail.change(
            [CopyChange(name, 1, CopyState.SENT, 0.0, 1, "250 ok") for name in ("m5", "m7")]
        )
        house.clock.advance(3_600)
        again = House(target, house.clock)
        again.store = store
        assert await again.erasing().finish() is True
        assert traces(target, *TEXTS) == {}
    finally:
        await store.close()


async def test_unused_space_of_a_large_database_is_for_a_stopped_relay(house: House) -> None:
    await house.end("m5", 1, "250 ok")
    await house.erasing().erase(JANE, tenant_id=None)
    await house.store.close()
    _leave_in_unused_space(house.data_dir / "store.db", b"jane.quixotic@person.test")
    await house.open()
    left = await house.erasing(vacuum_below=0).erase(JANE, tenant_id=None)
    assert (left.overwritten, left.found_in) == (True, ("store.db",))
    done = await house.erasing(vacuum_below=None).erase(JANE, tenant_id=None)
    assert done.found_in == ()
    assert traces(house.data_dir, *TEXTS) == {}
    assert (await house.store.ledger.verify()).ok


def _leave_in_unused_space(database: Path, octets: bytes) -> None:
    """As SQLite does when it moves a row to the next page."""
    content = bytearray(database.read_bytes())
    size = int.from_bytes(content[16:18], "big")
    for start in range(size, len(content), size):
        cells = int.from_bytes(content[start + 3 : start + 5], "big")
        first, last = (
            start + 8 + 2 * cells,
            start + int.from_bytes(content[start + 5 : start + 7], "big"),
        )
        if content[start] == 13 and last - first > len(octets) + 20:
            content[first + 10 : first + 10 + len(octets)] = octets
            database.write_bytes(content)
            return
    raise AssertionError("no page with room")


async def _states(store: Store) -> list[tuple[str, int, str]]:
    def work(tx: Transaction) -> list[tuple[str, int, str]]:
        return tx.raw.execute("SELECT message_id, seq, state FROM copies").fetchall()

    return await store.writer.write(work)


async def test_software_that_does_not_answer_holds_up_no_other_erasure(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a tenant could keep all others, and the operator, from erasing anybody."""
    monkeypatch.setattr("relay.consent.erasing.SETTLE_SECONDS", 3_600.0)
    await house.take(1, JANE)
    told = asyncio.Event()

    async def silence() -> None:
        told.set()
        await asyncio.Event().wait()

    withdrawing = Withdrawing(house.store, house.clock, lambda *_: None, lambda seconds: None)
    erasing = Erasing(store=house.store, clock=house.clock, withdrawing=withdrawing, settle=silence)
    stuck = asyncio.ensure_future(erasing.erase(JANE, tenant_id=1))
    await told.wait()
    assert await house.state() is StandingState.WITHDRAWN
    async with asyncio.timeout(30):
        await erasing.erase(OTHER, tenant_id=2)
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
