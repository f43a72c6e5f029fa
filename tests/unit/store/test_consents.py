"""What is on record about people."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.model import Basis, CopyState, Kind, MailingList, ScopeLevel, StandingState
from relay.ports import NewEvent
from relay.store import ImportRow, Store, scope_of
from relay.store.sqlite.journal import read
from relay.store.sqlite.transaction import Transaction
from tests.support.clock import FakeClock
from tests.unit.store.samples import copy, message, open_store, person


async def test_acts_answers_for_all_recipients_in_order_with_one_statement(store: Store) -> None:
    yes, no, never = person("yes@ok.test"), person("no@ok.test"), person("never@ok.test")
    granted = await store.consents.grant(
        1, yes, basis=Basis.CONFIRMED, at=10.5, list_id=3, own_act=True, expires_at=99.0
    )
    left = await store.consents.withdraw(1, no, at=20.0, channel="link", brand_id=2)
    statements: list[str] = []
    await store.consents._glance.read(
        lambda session: session.raw.set_trace_callback(statements.append)
    )
    acts = await store.consents.acts(1, [no, never, yes, no])
    assert len(statements) == 1
    assert [len(found) for found in acts] == [1, 0, 1, 1]
    (consent,) = acts[2]
    assert (consent.state, consent.basis) == (StandingState.GRANTED, Basis.CONFIRMED)
    assert (consent.at, consent.expires_at, consent.event_id) == (10.5, 99.0, granted)
    assert (consent.tenant_id, consent.brand_id, consent.list_id) == (1, None, 3)
    assert consent.own_act
    (block,) = acts[0]
    assert (block.state, block.brand_id, block.event_id) == (StandingState.WITHDRAWN, 2, left)


async def test_the_statement_is_the_same_for_any_number_of_recipients(store: Store) -> None:
    keys = [person(f"p{number}@ok.test") for number in range(1_000)]
    for key in keys[::100]:
        await store.consents.grant(1, key, basis=Basis.ATTESTED, at=1.0)
    acts = await store.consents.acts(1, keys)
    assert [bool(found) for found in acts] == [number % 100 == 0 for number in range(1_000)]


async def test_consent_is_exact_and_opting_out_is_wide(store: Store) -> None:
    plain, tagged = person("a@ok.test"), person("a+x@ok.test", wide="a@ok.test")
    await store.consents.grant(1, tagged, basis=Basis.CONFIRMED, at=1.0)
    assert await store.consents.acts(1, [plain]) == [()]
    await store.consents.withdraw(1, plain, at=2.0, channel="link")
    (acts,) = await store.consents.acts(1, [tagged])
    assert [act.state for act in acts] == [StandingState.GRANTED, StandingState.WITHDRAWN]


async def test_tenants_do_not_see_each_other(store: Store) -> None:
    who = person("a@ok.test")
    await store.consents.grant(1, who, basis=Basis.CONFIRMED, at=1.0)
    await store.consents.withdraw(1, who, at=2.0, channel="link")
    await store.consents.complain(1, who, at=3.0)
    assert await store.consents.acts(2, [who]) == [()]
    await store.consents.suppress_operator(who, at=4.0, reason="court order")
    (acts,) = await store.consents.acts(2, [who])
    assert [(act.state, act.tenant_id) for act in acts] == [(StandingState.SUPPRESSED, None)]


async def test_an_opt_out_is_idempotent_until_the_person_comes_back(store: Store) -> None:
    who = person("a@ok.test")
    first = await store.consents.withdraw(1, who, at=5.0, channel="link", list_id=1)
    assert await store.consents.withdraw(1, who, at=6.0, channel="link", list_id=1) == first
    assert await store.consents.withdraw(1, who, at=6.0, channel="link", list_id=2) != first
    await store.consents.grant(1, who, basis=Basis.CONFIRMED, at=7.0, list_id=1, own_act=True)
    again = await store.consents.withdraw(1, who, at=8.0, channel="link", list_id=1)
    assert again != first
    (acts,) = await store.consents.acts(1, [who])
    assert max(act.at for act in acts if act.list_id == 1) == 8.0


async def test_an_opt_out_counts_anew_after_a_consent_under_another_spelling(store: Store) -> None:
    """Otherwise the spelling that came back could never leave again."""
    plain, tagged = person("a@ok.test"), person("a+x@ok.test", wide="a@ok.test")
    first = await store.consents.withdraw(1, plain, at=5.0, channel="link")
    await store.consents.grant(1, tagged, basis=Basis.CONFIRMED, at=6.0, own_act=True)
    second = await store.consents.withdraw(1, plain, at=7.0, channel="link")
    assert second != first
    assert await store.consents.withdraw(1, plain, at=8.0, channel="link") == second


async def test_no_fact_replaces_another(store: Store) -> None:
    who = person("a@ok.test")
    await store.consents.grant(1, who, basis=Basis.CONFIRMED, at=1.0, own_act=True)
    await store.consents.withdraw(1, who, at=2.0, channel="link")
    await store.consents.grant(1, who, basis=Basis.ATTESTED, at=3.0)
    await store.consents.grant(1, who, basis=Basis.ATTESTED, at=4.0)
    (acts,) = await store.consents.acts(1, [who])
    assert [(act.state.value, act.basis.value, act.at) for act in acts] == [
        ("granted", "confirmed", 1.0),
        ("withdrawn", "none", 2.0),
        ("granted", "attested", 4.0),
    ]


async def test_a_bounce_expires_and_can_be_lifted_and_an_opt_out_cannot(store: Store) -> None:
    who = person("a@ok.test")
    await store.consents.suppress_bounce(1, who, at=100.0, evidence={"reply": "550 5.1.1"})
    await store.consents.withdraw(1, who, at=101.0, channel="link")
    (acts,) = await store.consents.acts(1, [who])
    assert acts[0].expires_at == 100.0 + 90 * 86_400
    assert acts[0].detail == "bounce"
    await store.consents.lift(1, who, at=102.0, reason="mailbox is back")
    (acts,) = await store.consents.acts(1, [who])
    assert [act.state for act in acts] == [StandingState.WITHDRAWN]


async def test_every_change_grows_the_generation(store: Store) -> None:
    who, seen = person("a@ok.test"), [store.consents.generation]
    await store.consents.grant(1, who, basis=Basis.CONFIRMED, at=1.0)
    seen.append(store.consents.generation)
    await store.consents.withdraw(1, who, at=2.0, channel="link")
    seen.append(store.consents.generation)
    await store.consents.lift(1, who, at=3.0, reason="test")
    seen.append(store.consents.generation)
    assert seen == sorted(set(seen))
    await store.mail.accept(message("m"), b"hello", [copy("m")], [], 0)
    assert store.consents.generation == seen[-1]


async def test_an_opt_out_that_rides_with_mail_is_in_force(store: Store, tmp_path: Path) -> None:
    who = person("a@ok.test")
    event = NewEvent(1, "bounce", 5.0, who, {"expires_at": 9.0, "evidence": {}})
    await store.mail.accept(message("m"), b"hello", [copy("m")], [event], 0)
    (acts,) = await store.consents.acts(1, [who])
    assert [act.state for act in acts] == [StandingState.SUPPRESSED]
    assert len(list(read(tmp_path / "data" / "optouts.jsonl"))) == 1


async def test_the_journal_has_each_block_before_it_is_acknowledged(
    store: Store, tmp_path: Path
) -> None:
    who = person("secret@ok.test")
    await store.consents.grant(1, who, basis=Basis.CONFIRMED, at=1.0, address="secret@ok.test")
    await store.consents.withdraw(1, who, at=2.0, channel="link", list_id=4)
    journal = tmp_path / "data" / "optouts.jsonl"
    (record,) = read(journal)
    assert (record["wide"], record["tenant"], record["list"]) == (who.wide.hex(), 1, 4)
    assert b"secret" not in journal.read_bytes()


async def test_show_is_a_timeline_with_evidence(store: Store) -> None:
    who, tagged = person("a@ok.test"), person("a+x@ok.test", wide="a@ok.test")
    number = await store.imports.begin("consent", 1, at=50.0, brand_id=2, list_id=3, source_id=8)
    row = ImportRow(2, who, "a@ok.test", 3.0, Basis.ATTESTED, {"form": "shop"})
    await store.imports.stage(number, [row])
    await store.imports.commit(number)
    await store.consents.grant(2, tagged, basis=Basis.CONFIRMED, at=1.0, evidence={"ip": "::1"})
    await store.consents.withdraw(1, who, at=9.0, channel="link")
    entries = await store.consents.show(who)
    assert [(e.at, e.type, e.tenant_id, e.exact) for e in entries] == [
        (1.0, "consent.granted", 2, False),
        (3.0, "consent.imported", 1, True),
        (9.0, "optout", 1, True),
    ]
    assert entries[0].data["evidence"] == {"ip": "::1"}
    assert entries[1].data["evidence"] == {"form": "shop"}
    assert entries[1].data["source_id"] == 8
    assert (entries[1].data["brand"], entries[1].data["list"]) == (2, 3)
    assert [e.type for e in await store.consents.show(who, 2)] == ["consent.granted"]
    assert await store.consents.show(person("b@ok.test")) == ()


async def test_acts_survive_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    who = person("a@ok.test")
    store = await open_store(tmp_path, clock)
    await store.consents.withdraw(1, who, at=2.0, channel="link")
    before = await store.consents.acts(1, [who])
    await store.close()
    again = await open_store(tmp_path, clock)
    assert await again.consents.acts(1, [who]) == before
    await again.close()


def projections(tx: Transaction) -> list[object]:
    """All rows, but for their own ids."""
    return [
        sorted(map(repr, tx.raw.execute(f"SELECT {columns} FROM {table}")))
        for table, columns in (
            (
                "consents",
                "exact, wide, tenant_id, brand_id, list_id, state, basis, own_act, at,"
                " expires_at, event_id, import_id",
            ),
            (
                "suppressions",
                "wide, tenant_id, brand_id, list_id, state, at, expires_at, event_id,"
                " import_id, detail",
            ),
        )
    ]


async def test_the_projections_can_be_made_anew_from_the_ledger(store: Store) -> None:
    people = [person(f"p{number}@ok.test") for number in range(12)]
    for number, who in enumerate(people):
        at = number + 0.1234567
        await store.consents.grant(1, who, basis=Basis.CONFIRMED, at=at, own_act=True, brand_id=2)
        if number % 2:
            await store.consents.withdraw(1, who, at=at + 1, channel="link", list_id=number)
        if number % 3 == 0:
            await store.consents.suppress_bounce(1, who, at=at + 2, evidence={})
        if number % 6 == 0:
            await store.consents.lift(1, who, at=at + 3, reason="test")
    await store.consents.suppress_operator(people[0], at=5.0, reason="test")
    await store.consents.grant(2, people[1], basis=Basis.CONFIRMED, at=1.0, pending=True)
    for kind in ("consent", "optout"):
        number = await store.imports.begin(kind, 1, at=50.0, list_id=3)
        rows = [
            ImportRow(n, who, f"{n}@ok.test", 3.3, Basis.ATTESTED)
            for n, who in enumerate(people[3:7])
        ]
        await store.imports.stage(number, rows[:2])
        await store.imports.stage(number, rows[2:])
        await store.imports.commit(number)
    staged = await store.imports.begin("consent", 1, at=51.0)
    await store.imports.stage(staged, [ImportRow(1, people[0], "x@ok.test", 1.0, Basis.ATTESTED)])
    before = await store.writer.write(projections)
    acts = await store.consents.acts(1, people)
    generation = store.consents.generation
    await store.writer.write(
        lambda tx: tx.raw.execute("UPDATE suppressions SET at = 0, tenant_id = 7")
    )
    await store.consents.rebuild()
    assert await store.writer.write(projections) == before
    assert await store.consents.acts(1, people) == acts
    assert store.consents.generation > generation


@pytest.mark.parametrize(
    ("level", "scope"),
    [
        (ScopeLevel.LIST, (2, 5)),
        (ScopeLevel.BRAND, (2, None)),
        (ScopeLevel.TENANT, (None, None)),
    ],
)
def test_scope_of_a_list(level: ScopeLevel, scope: tuple[int | None, int | None]) -> None:
    given = MailingList(5, 1, "news", Kind.COMMERCIAL, "news", "1/week", 2, level)
    assert scope_of(given) == scope


async def test_a_drop_record_is_an_event_without_projection(store: Store) -> None:
    event = NewEvent(1, "copy.dropped", 5.0, person("a@ok.test"), {"copy": "m.1"})
    await store.mail.accept(message("m"), b"x", [copy("m", state=CopyState.DROPPED)], [event], 0)
    assert await store.consents.acts(1, [person("a@ok.test")]) == [()]
    assert (await store.ledger.verify()).events == 1


async def test_the_address_is_known_where_consent_came_with_it(store: Store) -> None:
    who = person("a@ok.test")
    assert await store.consents.address_of(who, None) is None
    await store.consents.grant(1, who, basis=Basis.CONFIRMED, at=1.0, address="A@ok.test")
    assert await store.consents.address_of(who, None) == "A@ok.test"
