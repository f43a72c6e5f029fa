"""Systems that collect consent: they have a key and sign; and a store that knows them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.consent.recording import Recording
from relay.consent.source_keys import write_keys
from relay.consent.terms import TermsDesk
from relay.decide.address import parse_address
from relay.decide.standing import standing
from relay.model import MailingList, Source, StandingState, SubjectKeys, Tenant
from relay.settings import Http, Settings
from relay.store import Store
from tests.support.clock import FakeClock
from tests.unit.store.samples import PEPPER, newsletter, open_store, tenant

URL = "https://mail.example"


@dataclass
class Collector:
    """A form that signs what people tick."""

    slug: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def pem(self) -> str:
        return write_keys([self.key.public_key()])

    def claims(self, clock: FakeClock, **changed: Any) -> dict[str, Any]:
        """A consent of ann to shop/news, given a minute ago; None leaves a claim out."""
        claims = {
            "iss": self.slug,
            "sub": "Ann@example.org",
            "aud": URL,
            "tenant": "shop",
            "list": "news",
            "iat": int(clock.now()) - 60,
            "jti": "n-1",
            "act": "tick",
            "form_url": "https://shop.example/join",
            "ip": "192.0.2.7",
            "user_agent": "Browser/1.0",
            "notice": "News of the shop, once a week. We give your address to nobody.",
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, clock: FakeClock, **changed: Any) -> str:
        return jwt.encode(self.claims(clock, **changed), self.key, algorithm="EdDSA")


@dataclass
class House:
    """A store with two tenants and three sources, and the services on it."""

    store: Store
    clock: FakeClock
    settings: Settings
    shop: Tenant
    club: Tenant
    news: MailingList
    sale: MailingList
    post: MailingList
    form: Collector
    till: Collector
    desk: TermsDesk
    recording: Recording

    def keys(self, address: str) -> SubjectKeys:
        return self.store.keys(parse_address(address))

    async def state(self, address: str, mailing_list: MailingList | None = None) -> StandingState:
        """Where a person stands with a list, shop/news unless told."""
        wanted = mailing_list or self.news
        (acts,) = await self.store.consents.acts(wanted.tenant_id, [self.keys(address)])
        return standing(
            acts, tenant_id=wanted.tenant_id, mailing_list=wanted, now=self.clock.now()
        ).state

    async def chain(self, owner: Tenant | None = None) -> list[dict[str, Any]]:
        """The tenant's events."""
        found = self.store.ledger.export((owner or self.shop).id)
        return [dict(event) async for event in found]


@asynccontextmanager
async def house(directory: Path, clock: FakeClock, **operator: Any) -> AsyncIterator[House]:
    """An open house; opened again in the same directory it is the same one."""
    store = await open_store(directory, clock)
    settings = Settings(hostname="mx.mail.example", http=Http(public_url=URL))
    settings = settings.model_copy(
        update={"operator": settings.operator.model_copy(update=operator)}
    )
    form, till = Collector("form"), Collector("till")
    registry = store.registry
    if store.directory.tenant("shop") is None:
        for slug in ("shop", "club"):
            await registry.add_tenant(tenant(slug))
        shop, club = (store.directory.tenant(slug) for slug in ("shop", "club"))
        assert shop is not None
        assert club is not None
        for owner, slug in ((shop, "news"), (shop, "sale"), (club, "post")):
            await registry.add_list(newsletter(owner.id, slug))
        await registry.add_source(Source(0, "paper", approved=False, public_key=form.pem))
        await registry.add_source(Source(0, "mute", approved=True))
        for collector in (form, till):
            await registry.add_source(Source(0, collector.slug, True, collector.pem))
    else:
        for collector in (form, till):
            known = store.directory.sources[collector.slug]
            await registry.change_source(replace(known, public_key=collector.pem))
    desk = TermsDesk(store, clock, settings)
    recording = Recording(store, clock, PEPPER, settings, desk)
    tenants, lists = (
        {found.slug: found for found in some.values()}
        for some in (store.directory.tenants, store.directory.lists)
    )
    try:
        yield House(
            store=store,
            clock=clock,
            settings=settings,
            shop=tenants["shop"],  # type: ignore[arg-type]
            club=tenants["club"],  # type: ignore[arg-type]
            news=lists["news"],  # type: ignore[arg-type]
            sale=lists["sale"],  # type: ignore[arg-type]
            post=lists["post"],  # type: ignore[arg-type]
            form=form,
            till=till,
            desk=desk,
            recording=recording,
        )
    finally:
        await store.close()
