"""Random histories of two tenants: nothing that a tenant does brings mail back to a person who
left; the person's own later word does. A real store, the shipped rulebooks, and a model that says
the rule in another way."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from relay.decide.address import parse_address
from relay.decide.facts import read_message
from relay.decide.keys import subject_keys
from relay.model import (
    Action,
    Address,
    Basis,
    Brand,
    Classification,
    Kind,
    MailingList,
    Party,
    ScopeLevel,
    SenderDomain,
    Standing,
    Tenant,
    Verdict,
)
from relay.pipeline.assess import Assessor
from relay.ports import NewEvent
from relay.rulebooks import Rulebooks
from relay.settings import Operator, Settings
from relay.settings import Store as StoreSettings
from relay.store import ImportRow, Store, scope_of
from tests.support.clock import FakeClock

PEPPER = b"p" * 32
RULEBOOKS = Rulebooks.read()
PEOPLE = [parse_address(f"{name}@people.test") for name in ("anna", "anna+shop", "bob")]
SLOTS = 3
"""Lists of a tenant: consent asked for the list, for its brand, for the tenant."""
CLOCK_SET = {"clock back": -3_600, "clock far back": -200_000, "clock ahead": 200_000}
"""Seconds by which somebody sets the wall clock."""
LEVELS = (ScopeLevel.LIST, ScopeLevel.BRAND, ScopeLevel.TENANT)

Scope: TypeAlias = tuple[int | None, int | None]
Word: TypeAlias = Literal["own", "signed", "others", "no"]
Seen: TypeAlias = dict[tuple[str, int, str], tuple[Standing, Verdict]]


@dataclass(frozen=True)
class Step:
    """One thing that somebody does; what of it applies depends on ``what``."""

    what: str
    tenant: int
    person: int
    slot: int
    level: ScopeLevel
    ago: int
    """Days before now that an import says of itself."""


STEPS = st.builds(
    Step,
    what=st.sampled_from(
        [
            *("confirm", "signed", "attest", "import", "import"),
            *("ask", "optout", "optout", "optout import", "complain"),
            *("recreate", "rebrand", "mail", "rebuild", "later"),
            *CLOCK_SET,
        ]
    ),
    tenant=st.integers(0, 1),
    person=st.integers(0, len(PEOPLE) - 1),
    slot=st.integers(0, SLOTS - 1),
    level=st.sampled_from(LEVELS),
    ago=st.sampled_from([0, 1, 90]),
)


@dataclass(frozen=True)
class Said:
    """One line of the model's own record."""

    number: int
    at: float
    word: Word
    tenant: int
    person: Address
    scope: Scope

    def covers(self, mailing_list: MailingList) -> bool:
        brand, list_ = self.scope
        if list_ is not None:
            return list_ == mailing_list.id
        return brand is None or brand == mailing_list.brand_id


@dataclass
class Model:
    """Who may get what, from the order of what was said alone."""

    said: list[Said] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def note(self, at: float, word: Word, tenant: int, person: Address, scope: Scope) -> None:
        self.said.append(Said(next(self.numbers), at, word, tenant, person, scope))

    def may(self, tenant: int, person: Address, mailing_list: MailingList) -> bool:
        here = [one for one in self.said if one.tenant == tenant]
        left = [one for one in here if one.word == "no" and one.person.wide == person.wide]
        stops = [one for one in left if one.covers(mailing_list)]
        yes = [
            one
            for one in here
            if one.word != "no" and one.person.exact == person.exact and one.covers(mailing_list)
        ]
        if stops:
            # What a source dates must be later by that date as well.
            return any(
                one.word in ("own", "signed")
                and all(
                    one.number > stop.number and (one.word == "own" or one.at >= stop.at)
                    for stop in stops
                )
                for one in yes
            )
        return any(
            one.word != "others" or all(one.number < leaving.number for leaving in left)
            for one in yes
        )


class World:
    """Two tenants with lists, on a real store."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.model = Model()
        self.names = count()
        self.tenants: list[Tenant] = []
        self.lists: list[list[MailingList]] = []
        self.receipts: list[MailingList] = []
        self.gone: list[MailingList] = []
        self.assessor = Assessor(
            directory=lambda: store.directory,
            book=store.consents,
            policy=RULEBOOKS.policy,
            pepper=PEPPER,
            settings=Settings(
                hostname="relay.test",
                operator=Operator(name="Host", contact="postmaster@host.test"),
            ),
        )

    async def build(self) -> None:
        for number in range(2):
            # The operator takes this tenant's word, so that only opt-outs stand in the way.
            tenant = await self.store.registry.add_tenant(
                Tenant(
                    *(0, f"shop{number}", Party("Shop", "Street 1", f"me@contact{number}.test")),
                    attested_admitted=True,
                )
            )
            self.tenants.append(tenant)
            domain = SenderDomain(tenant.id, f"shop{number}.test", "s1")
            await self.store.registry.add_domain(domain)
            brand = await self.brand(tenant)
            self.lists.append(
                [
                    await self.mailing_list(tenant, level, brand if slot < 2 else None)
                    for slot, level in enumerate(LEVELS)
                ]
            )
            self.receipts.append(
                await self.mailing_list(tenant, ScopeLevel.LIST, None, Kind.TRANSACTIONAL)
            )

    async def brand(self, tenant: Tenant) -> int:
        name = f"brand{next(self.names)}"
        return (await self.store.registry.add_brand(Brand(0, tenant.id, name, name))).id

    async def mailing_list(
        self, tenant: Tenant, level: ScopeLevel, brand: int | None, kind: Kind = Kind.COMMERCIAL
    ) -> MailingList:
        return await self.store.registry.add_list(
            MailingList(
                *(0, tenant.id, f"list{next(self.names)}", kind, "News", "1/week", brand, level)
            )
        )

    async def act(self, step: Step) -> None:
        consents, now = self.store.consents, self.clock.now()
        tenant, person = self.tenants[step.tenant], PEOPLE[step.person]
        mailing_list = self.lists[step.tenant][step.slot]
        keys, asked = subject_keys(PEPPER, person), scope_of(mailing_list)
        match step.what:
            case "confirm" | "signed" | "attest" as what:
                basis = {"confirm": Basis.CONFIRMED, "signed": Basis.APPROVED}.get(
                    what, Basis.ATTESTED
                )
                own = what != "attest"
                await consents.grant(
                    *(tenant.id, keys),
                    basis=basis,
                    at=now,
                    brand_id=asked[0],
                    list_id=asked[1],
                    own_act=own,
                    address=person.wire,
                )
                word: Word = {"confirm": "own", "signed": "signed"}.get(what, "others")
                self.model.note(now, word, tenant.id, person, asked)
            case "ask":
                await consents.grant(
                    *(tenant.id, keys),
                    basis=Basis.CONFIRMED,
                    at=now,
                    brand_id=asked[0],
                    list_id=asked[1],
                    pending=True,
                    expires_at=now + 86_400,
                )
            case "import":
                await self.bring(step, "consent", asked)
            case "optout import":
                await self.bring(step, "optout", self.at_level(mailing_list, step.level))
            case "optout":
                scope = self.at_level(mailing_list, step.level)
                await consents.withdraw(
                    *(tenant.id, keys),
                    at=now,
                    channel="link",
                    brand_id=scope[0],
                    list_id=scope[1],
                )
                self.model.note(now, "no", tenant.id, person, scope)
            case "complain":
                await consents.complain(tenant.id, keys, at=now)
                self.model.note(now, "no", tenant.id, person, (None, None))
            case "recreate" | "rebrand" as what:
                brand = mailing_list.brand_id
                if what == "rebrand" and brand is not None:
                    brand = await self.brand(tenant)
                self.gone.append(mailing_list)
                self.lists[step.tenant][step.slot] = await self.mailing_list(
                    tenant, mailing_list.consent_scope, brand
                )
            case "mail":
                await self.mail(tenant, person, mailing_list)
            case "rebuild":
                await consents.rebuild()
            case "later":
                self.clock.advance(86_400)
            case what if what in CLOCK_SET:
                self.clock.set_wall(now + CLOCK_SET[what])

    @staticmethod
    def at_level(mailing_list: MailingList, level: ScopeLevel) -> Scope:
        if level is ScopeLevel.LIST:
            return mailing_list.brand_id, mailing_list.id
        return (mailing_list.brand_id if level is ScopeLevel.BRAND else None), None

    async def bring(self, step: Step, kind: Literal["consent", "optout"], scope: Scope) -> None:
        """Everybody, or all but one; the same people again and again."""
        tenant = self.tenants[step.tenant]
        at = self.clock.now() - step.ago * 86_400
        people = [person for person in PEOPLE if person is not PEOPLE[step.person]]
        basis = Basis.APPROVED if step.ago else Basis.ATTESTED
        number = await self.store.imports.begin(
            kind, tenant.id, at=self.clock.now(), brand_id=scope[0], list_id=scope[1]
        )
        rows = [
            ImportRow(line, subject_keys(PEPPER, person), person.wire, at, basis)
            for line, person in enumerate(people)
        ]
        await self.store.imports.stage(number, rows)
        await self.store.imports.commit(number)
        for person in people:
            self.model.note(at, "others" if kind == "consent" else "no", tenant.id, person, scope)

    async def mail(self, tenant: Tenant, person: Address, mailing_list: MailingList) -> None:
        """A copy leaves, if it may."""
        ((_, verdict),) = await self.judged(tenant, mailing_list, [person])
        if verdict.action is Action.DELIVER:
            data = {"brand": mailing_list.brand_id, "list": mailing_list.id}
            keys, now = subject_keys(PEPPER, person), self.clock.now()
            bound = {**data, "consent": verdict.consent_event, "rulebooks": verdict.digest}
            await self.store.ledger.record(
                [NewEvent(tenant.id, "copy.delivered", now, keys, bound)]
            )

    async def judged(
        self, tenant: Tenant, mailing_list: MailingList, people: list[Address]
    ) -> list[tuple[Standing, Verdict]]:
        header = f"From: News <news@{tenant.slug}.test>\r\nSubject: Hi\r\n\r\n".encode()
        assessment = await self.assessor.assess(
            tenant,
            read_message(header, "relay.test"),
            Classification(mailing_list.kind, True, (), mailing_list),
            parse_address(f"news@{tenant.slug}.test"),
            people,
            now=self.clock.now(),
        )
        return list(zip(assessment.standings, assessment.verdicts, strict=True))

    async def everybody(self, tenant: int) -> Seen:
        """How every list of a tenant, those that are gone too, stands with every person."""
        owner = self.tenants[tenant]
        gone = [one for one in self.gone if one.tenant_id == owner.id]
        seen: Seen = {}
        for one in (*self.lists[tenant], *gone, self.receipts[tenant]):
            found = await self.judged(owner, one, PEOPLE)
            seen |= {
                (one.kind.value, one.id, person.wire): of_person
                for person, of_person in zip(PEOPLE, found, strict=True)
            }
        return seen


def check(world: World, tenant: int, seen: Seen) -> None:
    """Mail passes exactly where the model says so; receipts always."""
    directory = world.store.directory
    for (kind, list_id, wire), (_, verdict) in seen.items():
        if kind == Kind.TRANSACTIONAL:
            assert verdict.action is Action.DELIVER, (wire, verdict)
            continue
        mailing_list = directory.lists[list_id]
        may = world.model.may(world.tenants[tenant].id, parse_address(wire), mailing_list)
        assert (verdict.action is Action.DELIVER) == may, (wire, mailing_list, verdict)


async def play(history: list[Step], directory: Path) -> None:
    clock = FakeClock()
    store = await Store.open(
        directory,
        settings=StoreSettings(min_free_bytes=0),
        clock=clock,
        pepper=PEPPER,
        reserve_bytes=4_096,
    )
    try:
        world = World(store, clock)
        await world.build()
        before = [await world.everybody(tenant) for tenant in range(2)]
        for step in history:
            await world.act(step)
            after = [await world.everybody(tenant) for tenant in range(2)]
            for tenant in range(2):
                check(world, tenant, after[tenant])
            if step.what != "later" and step.what not in CLOCK_SET:
                other = 1 - step.tenant
                assert after[other] == before[other]
            if step.what == "rebuild":
                assert after == before
            before = after
        if any(one.word == "no" for one in world.model.said):
            back = [seen for seen in before[0].values() if seen[1].action is Action.DELIVER]
            event(f"after opt-outs {'some' if len(back) > len(PEOPLE) else 'no'} mail passes")
    finally:
        await store.close()


@contextmanager
def new_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "data"


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=10, max_size=24))
def test_only_a_persons_own_word_brings_mail_back(history: list[Step]) -> None:
    with new_directory() as directory:
        asyncio.run(play(history, directory))
