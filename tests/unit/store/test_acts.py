"""The one query per message: what it lists one by one, what it folds together, what it marks."""

from __future__ import annotations

from relay.decide.standing import last_sign
from relay.model import Act, Automation, Basis, StandingState
from relay.ports import NewEvent
from relay.store import ImportRow, Store
from relay.store.sqlite.transaction import Transaction
from tests.unit.store.samples import person

WHO = person("a@ok.test")
TAGGED = person("a+x@ok.test", wide="a@ok.test")
WEEK = 7 * 86_400.0


async def acts(store: Store, tenant: int = 1) -> list[Act]:
    ((*found,),) = await store.consents.acts(tenant, [WHO])
    return found


async def brought(store: Store, kind: str = "consent", at: float = 5.0, **scope: int) -> int:
    """An import of one person, collected at ``at``; returns its event."""
    number = await store.imports.begin(kind, 1, at=99.0, **scope)  # type: ignore[arg-type]
    await store.imports.stage(number, [ImportRow(1, WHO, "a@ok.test", at, Basis.ATTESTED)])
    return (await store.imports.commit(number)).event_id


async def left(store: Store, at: float = 50.0, **scope: int) -> int:
    return await store.consents.withdraw(1, TAGGED, at=at, channel="link", **scope)  # type: ignore[arg-type]


async def used(store: Store, at: float, consent: int | None, **scope: int) -> None:
    """Mail for a list left under a consent."""
    data = {"copy": "m.1", "message_id": "m", "brand": None, "list": None, **scope}
    event = NewEvent(1, "copy.delivered", at, WHO, {**data, "consent": consent, "rulebooks": "d"})
    await store.ledger.record([event])


def marked(found: list[Act]) -> list[tuple[int | None, bool]]:
    return [(act.list_id, act.after_optout) for act in found if act.state is StandingState.GRANTED]


async def test_what_came_after_an_opt_out_is_marked_whatever_its_scope_and_date(
    store: Store,
) -> None:
    await brought(store, list_id=3)
    await left(store, list_id=9)
    await brought(store, list_id=4, at=1.0)
    await store.consents.grant(1, WHO, basis=Basis.CONFIRMED, at=60.0, own_act=True, list_id=5)
    await store.consents.grant(2, WHO, basis=Basis.ATTESTED, at=60.0, list_id=3)
    assert sorted(marked(await acts(store))) == [(3, False), (4, True), (5, True)]
    assert marked(await acts(store, 2)) == [(3, False)]


async def test_a_complaint_counts_like_an_opt_out_and_a_bounce_does_not(store: Store) -> None:
    await store.consents.suppress_bounce(1, WHO, at=1.0, evidence={})
    await store.consents.suppress_operator(WHO, at=1.0, reason="test")
    await brought(store, list_id=3)
    await store.consents.complain(1, WHO, at=2.0)
    await brought(store, list_id=4)
    assert sorted(marked(await acts(store))) == [(3, False), (4, True)]


async def test_an_imported_opt_out_counts_from_its_commit_on(store: Store) -> None:
    number = await store.imports.begin("optout", 1, at=9.0)
    await store.imports.stage(number, [ImportRow(1, TAGGED, "a+x@ok.test", 1.0)])
    await brought(store, list_id=3)
    assert marked(await acts(store)) == [(3, False)]
    await store.imports.commit(number)
    await brought(store, list_id=4)
    assert sorted(marked(await acts(store))) == [(3, False), (4, True)]


async def test_a_weekly_import_neither_silences_an_older_consent_nor_revives_anybody(
    store: Store,
) -> None:
    """The list is the same, only the opt-out lies between them."""
    before = await brought(store, list_id=3)
    await left(store, list_id=9)
    for week in range(4):
        await brought(store, list_id=3, at=60.0 + week)
    found = [act for act in await acts(store) if act.state is StandingState.GRANTED]
    assert [(act.event_id, act.after_optout) for act in found if not act.after_optout] == [
        (before, False)
    ]
    assert len(found) == 2


async def test_imports_again_and_again_are_one_act(store: Store) -> None:
    for week in range(5):
        await brought(store, list_id=3, at=float(week))
        await brought(store, kind="optout", at=float(10 - week))
    found = await acts(store)
    (optout,) = [act for act in found if act.state is StandingState.WITHDRAWN]
    # the latest time and the latest event: whoever comes back did so after all of them
    assert (optout.at, optout.event_id) == (10.0, 10)
    assert sorted(marked(found)) == [(3, False), (3, True)]


async def test_an_imported_opt_out_told_again_counts_since_it_was_told_first(
    store: Store,
) -> None:
    """The file that comes every week does not send away who came back between."""
    first = await brought(store, "optout", list_id=3)
    back = await store.consents.grant(
        1, WHO, basis=Basis.CONFIRMED, at=6.0, own_act=True, list_id=3
    )
    await brought(store, "optout", list_id=3)
    (block,) = [act for act in await acts(store) if act.state is StandingState.WITHDRAWN]
    assert (block.at, block.event_id) == (5.0, first)
    later = await brought(store, "optout", at=7.0, list_id=3)
    await brought(store, "optout", list_id=3)
    (block,) = [act for act in await acts(store) if act.state is StandingState.WITHDRAWN]
    assert (block.at, block.event_id) == (7.0, later)
    assert later > back


async def test_own_acts_are_listed_one_by_one(store: Store) -> None:
    """A clock set back: the later one by the ledger has the earlier time."""
    for at in (9.0, 5.0):
        await store.consents.grant(1, WHO, basis=Basis.CONFIRMED, at=at, own_act=True)
        await left(store, at=at + 1)
    assert [act.at for act in await acts(store)] == [5.0, 6.0, 9.0, 10.0]


async def test_marks_of_a_machine(store: Store) -> None:
    await store.consents.grant(1, WHO, basis=Basis.CONFIRMED, at=1.0, own_act=True)
    await store.consents.grant(
        1, WHO, basis=Basis.CONFIRMED, at=2.0, own_act=True, automated=["no-page-fetch"]
    )
    assert [act.automated for act in await acts(store)] == [Automation.NO, Automation.CERTAIN]
    (_, said) = await store.consents.show(WHO)
    assert said.data["automated"] == ["no-page-fetch"]


async def test_a_delivery_marks_every_consent_that_covered_it(store: Store) -> None:
    wanted = {None: 70.0, (2, None): 70.0, (2, 3): 70.0, (2, 4): None, (5, None): None}
    consent = 0
    for scope in wanted:
        brand, list_ = scope or (None, None)
        consent = await store.consents.grant(
            1, WHO, basis=Basis.CONFIRMED, at=1.0, brand_id=brand, list_id=list_
        )
    await store.consents.grant(2, WHO, basis=Basis.CONFIRMED, at=1.0)
    await store.consents.grant(1, WHO, basis=Basis.CONFIRMED, at=1.0, pending=True)
    generation = store.consents.generation
    await used(store, 70.0, consent, brand=2, list=3)
    seen = {
        (act.brand_id, act.list_id) if act.brand_id else None: act.used_at
        for act in await acts(store)
        if act.state is StandingState.GRANTED
    }
    assert seen == wanted
    assert [act.used_at for act in await acts(store) if act.state is StandingState.PENDING] == [
        None
    ]
    assert [act.used_at for act in await acts(store, 2)] == [None]
    assert store.consents.generation == generation


async def test_use_is_noted_once_a_week_and_only_under_a_consent(store: Store) -> None:
    consent = await store.consents.grant(1, WHO, basis=Basis.CONFIRMED, at=1.0)
    noted = []
    for at, under in ((5.0, None), (10.0, consent), (9.0 + WEEK, consent), (10.0 + WEEK, consent)):
        await used(store, at, under)
        noted += [act.used_at for act in await acts(store)]
    assert noted == [None, 10.0, 10.0, 10.0 + WEEK]


async def test_a_fresh_import_does_not_hide_that_the_consent_is_in_use(store: Store) -> None:
    first = await brought(store, list_id=3)
    await used(store, 99.0 + WEEK, first, list=3)
    await brought(store, list_id=3)
    (act,) = await acts(store)
    assert (act.event_id, act.used_at) == (first, 99.0 + WEEK)


async def test_disuse_before_it_came_on_record_is_not_ours_to_know(store: Store) -> None:
    await brought(store, at=5.0, list_id=3)
    assert [last_sign(act) for act in await acts(store)] == [99.0]
    number = await store.imports.begin("consent", 1, at=99.0 + 9 * WEEK, list_id=3)
    await store.imports.stage(number, [ImportRow(1, WHO, "a@ok.test", 5.0, Basis.ATTESTED)])
    await store.imports.commit(number)
    assert [last_sign(act) for act in await acts(store)] == [99.0], "imported again is no use"


async def test_rebuilding_gives_the_same_use_and_marks(store: Store) -> None:
    first = await brought(store, list_id=3)
    staged = await store.imports.begin("consent", 1, at=9.0, list_id=3)
    await store.imports.stage(staged, [ImportRow(1, WHO, "a@ok.test", 2.0, Basis.ATTESTED)])
    for at in (100.0, 200.0, 300.0 + WEEK):
        await used(store, at, first, list=3)
    await store.imports.commit(staged)
    await store.consents.grant(
        1, WHO, basis=Basis.CONFIRMED, at=2.0, own_act=True, automated=["fast"], list_id=3
    )
    await used(store, 400.0 + WEEK, first, list=3)

    def rows(tx: Transaction) -> list[object]:
        return tx.raw.execute(
            "SELECT event_id, import_id, automated, used_at FROM consents ORDER BY 1, 2"
        ).fetchall()

    before = await store.writer.write(rows)
    assert [row[3] for row in before] == [300.0 + WEEK, 400.0 + WEEK, 400.0 + WEEK]  # type: ignore[index]
    await store.consents.rebuild()
    assert await store.writer.write(rows) == before


async def test_the_last_event_is_what_is_in_force(store: Store) -> None:
    seen = [store.consents.last_event]
    seen.append(await store.consents.grant(1, WHO, basis=Basis.CONFIRMED, at=1.0))
    assert store.consents.last_event == seen[-1]
    await used(store, 2.0, seen[-1])
    assert store.consents.last_event == seen[-1]
    seen.append(await brought(store))
    assert store.consents.last_event == seen[-1]
    assert seen == sorted(set(seen))
