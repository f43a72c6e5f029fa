"""A ledger with every sort of event in it, short enough to be changed a thousand times."""

from __future__ import annotations

from pathlib import Path

from relay.decide.address import parse_address
from relay.decide.notice import Notice, digest
from relay.model import Address, Basis, SubjectKeys
from relay.ports import Json, NewEvent
from relay.store import ImportRow, Store
from relay.store.erasure.erasure import Person
from tests.support.clock import FakeClock
from tests.unit.store.samples import newsletter, open_store, tenant

SHOP, CLUB = 1, 2
NEWS, OFFERS = 1, 2
ANN, BEN, CARL, DORA, EVE, FAY = (
    parse_address(f"{name}@person.test") for name in ("ann", "ben", "carl", "dora", "eve", "fay")
)
NOTICE = Notice(
    "nl",
    "nieuws",
    "1/week",
    "Shop",
    "Shop BV",
    "Straat 1, Stad",
    "",
    "info@shop.test",
    "",
    "Mag “dit”?",
)


class Story:
    """Tells it, with a signed head after each chapter."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.ids: dict[str, int] = {}

    def keys(self, who: Address) -> SubjectKeys:
        return self.store.keys(who)

    async def chapter(self) -> None:
        """A head is signed, and time goes by."""
        await self.store.ledger.sign()
        self.clock.advance(3_600)

    async def event(
        self, tenant_id: int, kind: str, who: Address | None, data: dict[str, Json]
    ) -> int:
        keys = self.keys(who) if who is not None else None
        new = NewEvent(tenant_id, kind, self.clock.now(), keys, data)
        (number,) = await self.store.ledger.record([new])
        return number

    async def delivered(self, who: Address, consent: int | None, list_id: int = NEWS) -> int:
        """A mail reached somebody."""
        return await self.event(
            SHOP,
            "copy.delivered",
            who,
            {
                "copy": "M.1",
                "message_id": "<m@shop.test>",
                "brand": None,
                "list": list_id,
                "consent": consent,
                "rulebooks": "d" * 16,
            },
        )

    async def granted(self, who: Address, *, list_id: int | None = NEWS) -> int:
        """Somebody confirmed."""
        return await self.store.consents.grant(
            SHOP,
            self.keys(who),
            basis=Basis.CONFIRMED,
            at=self.clock.now(),
            list_id=list_id,
            own_act=True,
            expires_at=self.clock.now() + 9e7,
            automated=["quick"],
            address=who.wire,
            evidence={"signup": {"ip": "::1", "notice": 1, "notice_digest": digest(NOTICE)}},
        )

    async def imported(self, kind: str, people: list[Address], list_id: int | None = NEWS) -> int:
        """A file was taken."""
        number = await self.store.imports.begin(
            kind,  # type: ignore[arg-type]
            SHOP,
            at=self.clock.now() + 0.000_123,
            list_id=list_id,
            source_id=1,
        )
        basis = Basis.ATTESTED if kind == "consent" else Basis.NONE
        rows = [
            ImportRow(line, self.keys(who), who.wire, self.clock.now() - 9.5, basis, {"form": "ë"})
            for line, who in enumerate(people, 2)
        ]
        await self.store.imports.stage(number, rows)
        return (await self.store.imports.commit(number)).event_id

    async def tell(self) -> None:
        """All of it."""
        store, ids, now = self.store, self.ids, self.clock.now
        await store.registry.add_tenant(tenant("shop"))
        await store.registry.add_tenant(tenant("club"))
        await store.registry.add_list(newsletter(SHOP, "news"))
        await store.registry.add_list(newsletter(SHOP, "offers"))
        await store.notice_versions.ensure(SHOP, NEWS, NOTICE, at=now())
        ids["pending"] = await store.consents.grant(
            SHOP,
            self.keys(ANN),
            basis=Basis.CONFIRMED,
            at=now(),
            list_id=NEWS,
            pending=True,
            evidence={"notice": 1, "notice_digest": digest(NOTICE)},
        )
        await self.event(
            SHOP,
            "confirmation.mailed",
            ANN,
            {"signup": ids["pending"], "message_id": "<c@relay.test>", "reply": "250 Ok"},
        )
        ids["ann"] = await self.granted(ANN)
        await self.chapter()
        ids["file"] = await self.imported("consent", [BEN, CARL, DORA])
        ids["dora"] = await self.granted(DORA)
        ids["sent"] = await self.delivered(ANN, ids["ann"])
        await self.delivered(BEN, ids["file"])
        await self.delivered(DORA, ids["dora"])
        await self.chapter()
        await store.consents.suppress_bounce(SHOP, self.keys(BEN), at=now(), evidence={"code": 550})
        await store.consents.lift(SHOP, self.keys(BEN), at=now(), reason="back")
        await store.consents.suppress_bounce(SHOP, self.keys(EVE), at=now(), evidence={"code": 551})
        await store.consents.complain(SHOP, self.keys(CARL), at=now())
        await store.consents.suppress_operator(self.keys(EVE), at=now(), reason="asked")
        await store.consents.withdraw(CLUB, self.keys(ANN), at=now(), channel="link")
        ids["out"] = await store.consents.withdraw(
            SHOP, self.keys(ANN), at=now(), channel="one-click", list_id=NEWS
        )
        await self.imported("optout", [FAY, DORA], None)
        await self.event(SHOP, "terms.accepted", None, {"list": NEWS, "accepted_by": "J. Smith"})
        await self.chapter()
        await store.consents.withdraw(SHOP, self.keys(DORA), at=now(), channel="page")
        person = Person.of(DORA, self.keys(DORA))
        found = await store.erasure.find(person, None)
        await store.erasure.remove(person, found, None, now())
        await self.chapter()


async def told(data_dir: Path, clock: FakeClock) -> Story:
    """A store with the story told."""
    story = Story(await open_store(data_dir, clock), clock)
    await story.tell()
    return story
