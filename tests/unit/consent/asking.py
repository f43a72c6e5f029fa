"""People who sign up, on a real store with real letters, and a clock that stands still."""

from __future__ import annotations

import email
import email.policy
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.consent.letters import Letters
from relay.consent.opt_in import OptIn
from relay.decide.address import parse_address
from relay.decide.standing import standing
from relay.egress import dsn
from relay.model import (
    Address,
    Client,
    Copy,
    CopyState,
    Kind,
    MailingList,
    Outcome,
    Party,
    Receipt,
    SenderDomain,
    Standing,
    StoredMessage,
    SubjectKeys,
    Tenant,
    Verdict,
)
from relay.pipeline.assess import Assessor
from relay.pipeline.generated import Generated
from relay.ports import StoreTrouble
from relay.rulebooks import Rulebooks
from relay.settings import Operator, Settings
from relay.settings import OptIn as OptInSettings
from relay.settings import Store as StoreSettings
from relay.store.store import Store
from relay.transform.token import TokenKeys
from relay.web.asking import Asked, SignUpRequest
from tests.support.clock import FakeClock

PEPPER = b"p" * 32
TOKENS = TokenKeys({"k1": b"t" * 32}, "k1")
RULEBOOKS = Rulebooks.read()
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
FORM = "https://relay.test/s/shop/news"
_TOKEN = re.compile(r"https://relay\.test/c/(v1\.[A-Za-z0-9._-]+)")


class Silent:
    """A witness who says nothing."""

    def accepted(
        self,
        message: StoredMessage,
        tenant: Tenant,
        client: Client | None,
        verdicts: tuple[Verdict, ...],
    ) -> None: ...

    def attempted(
        self,
        message: StoredMessage,
        tenant: Tenant,
        copy: Copy,
        receipt: Receipt,
        state: CopyState,
    ) -> None: ...

    def stopped(
        self, message: StoredMessage, tenant: Tenant, copy: Copy, verdict: Verdict
    ) -> None: ...

    def stage(self, name: str, seconds: float) -> None: ...

    def sent_after_optout(self, message: StoredMessage, copy: Copy) -> None: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail that our queue has taken."""

    id: str
    tenant: str
    to: str
    content: bytes

    @property
    def token(self) -> str:
        (token,) = set(_TOKEN.findall(self.text("plain")))
        return str(token)

    def text(self, subtype: str) -> str:
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        part = message.get_body((subtype,))
        assert part is not None
        return str(part.get_content())

    def header(self, name: str) -> str:
        return str(email.message_from_bytes(self.content, policy=email.policy.default)[name])


class People:
    """Tenants ``shop`` and ``club``, their lists, and everybody who signs up."""

    def __init__(self, store: Store, clock: FakeClock, opt_in: OptInSettings) -> None:
        self.store = store
        self.clock = clock
        self.letters: list[Letter] = []
        self.trouble: StoreTrouble | None = None
        self.pauses: list[float] = []
        self.seen: Counter[tuple[str, str]] = Counter()
        self.ids = iter(f"generated{number}" for number in range(100_000))
        self.settings = Settings(
            hostname="relay.test",
            http={"public_url": "https://relay.test"},  # type: ignore[arg-type]
            operator=Operator(name="Host", contact="postmaster@host.test"),
            opt_in=opt_in,
        )
        self.generated = Generated(
            assessor=Assessor(
                directory=lambda: store.directory,
                book=store.consents,
                policy=RULEBOOKS.policy,
                pepper=PEPPER,
                settings=self.settings,
            ),
            mail=store.mail,
            writer=dsn,
            witness=Silent(),
            offer=lambda items, generation: None,
            new_id=lambda: next(self.ids),
            settings=self.settings,
            clock=clock,
        )
        self.opt_in = OptIn(
            store=store,
            post=self.post,
            letters=Letters(self.settings, clock),
            token_keys=TOKENS,
            settings=self.settings,
            clock=clock,
            new_id=lambda: next(self.ids),
            seen=self.count,
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def count(self, tenant: str, event: str) -> None:
        self.seen[tenant, event] += 1

    async def post(self, unique: str, tenant: Tenant, recipient: Address, content: bytes) -> bool:
        if self.trouble is not None:
            raise self.trouble
        taken = await self.generated.post(unique, tenant, recipient, content)
        if taken:
            self.letters.append(Letter(unique, tenant.slug, recipient.wire, content))
        return taken

    async def settle_in(self) -> None:
        registry = self.store.registry
        self.shop = await registry.add_tenant(
            Tenant(0, "shop", Party("Shop Ltd", "Main Street 1", "owner@shop.test", "12345678"))
        )
        self.club = await registry.add_tenant(
            Tenant(0, "club", Party("Club", "Lane 2", "board@contact.test"))
        )
        await registry.add_domain(SenderDomain(self.shop.id, "shop.test", "s1"))
        await registry.add_domain(SenderDomain(self.club.id, "club.test", "s1"))
        self.news = await self.add_list("news", "News about bicycles")
        self.deals = await self.add_list("deals", "Deals")
        self.clubnews = await self.add_list("news", "Club news", self.club)

    async def add_firm(self, slug: str, name: str = "Firm Ltd", purpose: str = "News") -> None:
        """One more tenant, with a list ``news``."""
        party = Party(name, "Lane 3", f"owner@{slug}.test")
        tenant = await self.store.registry.add_tenant(Tenant(0, slug, party))
        await self.store.registry.add_domain(SenderDomain(tenant.id, f"{slug}.test", "s1"))
        await self.add_list("news", purpose, tenant)

    async def add_list(
        self, slug: str, purpose: str, tenant: Tenant | None = None, **fields: Any
    ) -> MailingList:
        owner = tenant or self.shop
        values: dict[str, Any] = {"kind": Kind.COMMERCIAL, **fields}
        kind = values.pop("kind")
        return await self.store.registry.add_list(
            MailingList(0, owner.id, slug, kind, purpose, "1/week", **values)
        )

    async def ask(
        self,
        address: str = "jane@people.test",
        *,
        tenant: str = "shop",
        mailing_list: str = "news",
        ip: str = "192.0.2.1",
        **fields: Any,
    ) -> Asked:
        values: dict[str, Any] = {
            "notice": None,
            "language": "en",
            "user_agent": BROWSER,
            "form_url": FORM,
            "act": "ticked the box and pressed the button",
            **fields,
        }
        return await self.opt_in.ask(
            SignUpRequest(
                tenant=tenant, mailing_list=mailing_list, address=address, ip=ip, **values
            )
        )

    async def letter(self, address: str = "jane@people.test", **fields: Any) -> Letter:
        """Ask, and have the mail delivered."""
        before = len(self.letters)
        assert await self.ask(address, **fields) is Asked.TAKEN
        assert len(self.letters) == before + 1
        await self.delivered(self.letters[-1])
        return self.letters[-1]

    async def delivered(self, letter: Letter, outcome: Outcome = Outcome.DELIVERED) -> None:
        code = {Outcome.DELIVERED: 250, Outcome.DEFERRED: 451, Outcome.REFUSED: 550}[outcome]
        enhanced = f"{code // 100}.0.0"
        text = f"{code} {enhanced} queued"  # the whole reply, as the upstream gave it
        receipt = Receipt(outcome, code, enhanced, text, "up.test[192.0.2.9]:25")
        await self.opt_in.mailed(letter.id, receipt)

    async def press(self, token: str, *, ip: str = "198.51.100.7", agent: str = BROWSER) -> bool:
        """Open the page, read, and press the button; whether the answer was that it worked."""
        self.clock.advance(60)
        if await self.opt_in.fetch(token, ip=ip, user_agent=agent) is None:
            return False
        self.clock.advance(5)
        page = await self.opt_in.confirm(token, ip=ip, user_agent=agent)
        return page is not None and page.confirmed

    async def standing(
        self, address: str = "jane@people.test", mailing_list: MailingList | None = None
    ) -> Standing:
        wanted = mailing_list or self.news
        (acts,) = await self.store.consents.acts(wanted.tenant_id, [keys(address)])
        return standing(acts, tenant_id=wanted.tenant_id, mailing_list=wanted, now=self.clock.now())

    async def events(self, tenant: Tenant | None = None) -> list[tuple[str, Any]]:
        """Types and data of a tenant's chain."""
        exported = self.store.ledger.export((tenant or self.shop).id)
        return [(str(event["type"]), event["data"]) async for event in exported]

    async def types(self, tenant: Tenant | None = None) -> list[str]:
        return [kind for kind, _ in await self.events(tenant) if kind != "notice.version"]


def keys(address: str) -> SubjectKeys:
    from relay.decide.keys import subject_keys

    return subject_keys(PEPPER, parse_address(address))


async def open_people(data_dir: Path, clock: FakeClock | None = None, **opt_in: Any) -> People:
    time = clock or FakeClock()
    store = await Store.open(
        data_dir,
        settings=StoreSettings(min_free_bytes=0),
        clock=time,
        pepper=PEPPER,
        reserve_bytes=4_096,
    )
    people = People(store, time, OptInSettings(**opt_in))
    await people.settle_in()
    return people
