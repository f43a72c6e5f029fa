"""The API over real HTTP, on a real store: two tenants with a key each, and a revoked one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from relay.api.app import api_app
from relay.api.services import Services
from relay.consent.erasing import Erasing
from relay.consent.expiring import Expiring
from relay.consent.importing import Importing
from relay.consent.letters import Letters
from relay.consent.opt_in import OptIn
from relay.consent.recording import Recording
from relay.consent.terms import TermsDesk
from relay.consent.withdrawing import Withdrawing
from relay.decide.address import parse_address
from relay.decide.keys import subject_keys
from relay.ids import QueueIds
from relay.model import (
    Action,
    Address,
    ApiKey,
    Basis,
    Copy,
    CopyState,
    Finding,
    Kind,
    MailingList,
    Party,
    Reason,
    SenderDomain,
    StoredMessage,
    SubjectKeys,
    Tenant,
)
from relay.operate import keyfiles
from relay.operate.wiring import wire_judging
from relay.ports import Waiting
from relay.rulebooks import Rulebooks
from relay.settings import Api, Http, Operator, Settings
from relay.settings import Store as StoreSettings
from relay.store.store import Store
from relay.tasks import Tasks
from relay.web.server import WebServer
from tests.support.clock import FakeClock

RULEBOOKS = Rulebooks.read()
SECRETS = {"shop": "crk_shop", "club": "crk_club", "revoked": "crk_revoked"}
FORM = "https://shop.test/newsletter"


@dataclass
class Rig:
    """What tests work with."""

    url: str
    store: Store
    clock: FakeClock
    settings: Settings
    keys: keyfiles.Keys
    services: Services
    shop: Tenant
    club: Tenant
    news: MailingList
    post: MailingList
    client: httpx.AsyncClient
    offered: list[Waiting] = field(default_factory=list)
    optouts: list[tuple[str, str]] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    """Confirmation mails, as they were handed over."""

    async def ask(
        self, method: str, path: str, key: str | None = "shop", **more: Any
    ) -> httpx.Response:
        """One request to ``/api/v1`` + ``path`` with the key of that name."""
        headers = dict(more.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {SECRETS[key]}"
        return await self.client.request(method, f"/api/v1{path}", headers=headers, **more)

    async def get(self, path: str, key: str | None = "shop", **more: Any) -> httpx.Response:
        """GET."""
        return await self.ask("GET", path, key, **more)

    async def post_to(
        self, path: str, body: Any = None, key: str | None = "shop", **more: Any
    ) -> httpx.Response:
        """POST of JSON."""
        return await self.ask("POST", path, key, json=body, **more)

    def person(self, address: str) -> SubjectKeys:
        """The keys of an address."""
        return subject_keys(self.keys.pepper, parse_address(address))

    async def consent(
        self, address: str, tenant: Tenant | None = None, mailing_list: MailingList | None = None
    ) -> None:
        """A consent of basis approved."""
        await self.store.consents.grant(
            (tenant or self.shop).id,
            self.person(address),
            basis=Basis.APPROVED,
            at=self.clock.now(),
            list_id=(mailing_list or self.news).id,
            address=address,
            evidence={"ip": "192.0.2.1"},
        )

    async def hold(
        self, number: str, to: str = "anna@people.test", tenant: Tenant | None = None
    ) -> str:
        """A held newsletter; the id of its copy."""
        owner = tenant or self.shop
        mailing_list = self.news if owner is self.shop else self.post
        header = f"From: News <news@{owner.slug}.test>\r\nSubject: Hi\r\n\r\n".encode()
        message = StoredMessage(
            id=number,
            at=self.clock.now(),
            tenant_id=owner.id,
            list_id=mailing_list.id,
            kind=Kind.COMMERCIAL,
            declared=True,
            mail_from=f"bounces@{owner.slug}.test",
            header=header,
            body_hash=b"h" * 32,
            body_size=8,
            subject="Hi",
            from_address=f"news@{owner.slug}.test",
        )
        finding = Finding("strict-opt-in/no-consent", Action.QUARANTINE, Reason.NO_CONSENT)
        copy = Copy(
            number,
            1,
            parse_address(to),
            CopyState.HELD,
            reason=Reason.NO_CONSENT,
            rule=finding.rule,
            findings=(finding,),
            expires_at=self.clock.now() + 86_400,
        )
        await self.store.mail.accept(message, b"Secret\r\n", [copy], [], 0)
        return copy.id


@asynccontextmanager
async def api_rig(directory: Path, *, wait: float = 5.0, **api: int) -> AsyncIterator[Rig]:
    """Serve the API; ``api`` are settings of that section, ``wait`` is ``store.wait``."""
    data_dir = directory / "data"
    data_dir.mkdir(mode=0o700)
    keyfiles.make(data_dir)
    keys = keyfiles.load(data_dir)
    settings = Settings(
        hostname="relay.test",
        data_dir=data_dir,
        api=Api(**{"requests_per_minute": 1_000_000, "invalid_keys_per_minute": 1_000_000, **api}),
        http=Http(public_url="https://relay.test"),
        operator=Operator(name="Host", contact="postmaster@host.test"),
        store=StoreSettings(min_free_bytes=0, wait=wait),
    )
    clock, tasks = FakeClock(), Tasks()
    store = await Store.open(
        data_dir, settings=settings.store, clock=clock, pepper=keys.pepper, reserve_bytes=65_536
    )
    offered: list[Waiting] = []
    optouts: list[tuple[str, str]] = []
    judging = wire_judging(
        settings=settings,
        keys=keys,
        store=store,
        rulebooks=RULEBOOKS,
        clock=clock,
        offer=offered.extend,
    )
    desk = TermsDesk(store, clock, settings)
    withdrawing = Withdrawing(store, clock, lambda *told: optouts.append(told), lambda _: None)
    mails: list[bytes] = []

    async def post(unique: str, tenant: Tenant, to: Address, content: bytes) -> bool:
        mails.append(content)
        return True

    opt_in = OptIn(
        store=store,
        post=post,
        letters=Letters(settings, clock),
        token_keys=keys.tokens,
        settings=settings,
        clock=clock,
        new_id=QueueIds(clock),
        seen=lambda *told: None,
        pause=lambda seconds: asyncio.sleep(0),
    )
    services = Services(
        settings=settings,
        clock=clock,
        store=store,
        sign_ups=opt_in,
        withdrawing=withdrawing,
        recording=Recording(store, clock, keys.pepper, settings, desk),
        terms=desk,
        importing=Importing(store, clock, desk),
        erasing=Erasing(store=store, clock=clock, withdrawing=withdrawing),
        expiring=Expiring(store, RULEBOOKS.policy, clock),
        release=judging.review.release,
        token_keys=keys.tokens,
        pepper=keys.pepper,
    )
    server = WebServer(api_app(services), "127.0.0.1:0", tasks, "http.admin")
    try:
        shop, club = await _tenant(store, "shop"), await _tenant(store, "club")
        for name, tenant in (("shop", shop), ("club", club), ("revoked", shop)):
            digest = hashlib.sha256(SECRETS[name].encode()).digest()
            made = await store.registry.add_api_key(ApiKey(0, tenant.id, name, digest, clock.now()))
            if name == "revoked":
                await store.registry.revoke_api_key(made.id)
        news = await _list(store, shop, "news")
        post = await _list(store, club, "post")
        await server.start()
        url = f"http://{server.bound}"
        async with httpx.AsyncClient(base_url=url, verify=False, timeout=30) as client:
            yield Rig(
                url=url,
                store=store,
                clock=clock,
                settings=settings,
                keys=keys,
                services=services,
                shop=shop,
                club=club,
                news=news,
                post=post,
                client=client,
                offered=offered,
                optouts=optouts,
                mails=mails,
            )
    finally:
        await server.stop()
        await tasks.drain(5)
        await store.close()


async def _tenant(store: Store, slug: str) -> Tenant:
    party = Party(f"{slug.title()} BV", "Kade 1, Amsterdam", f"owner@{slug}.test", "12345678")
    tenant = await store.registry.add_tenant(Tenant(0, slug, party, attested_admitted=True))
    await store.registry.add_domain(SenderDomain(tenant.id, f"{slug}.test", "s1"))
    return tenant


async def _list(store: Store, tenant: Tenant, slug: str) -> MailingList:
    return await store.registry.add_list(
        MailingList(0, tenant.id, slug, Kind.COMMERCIAL, f"News of {tenant.slug}", "1/week")
    )
