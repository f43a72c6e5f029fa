"""The whole service layer in one process: two tenants, every door, and files that outlive it.

A real store, the services as the daemon wires them, the real web applications (called without
sockets) and the operator's commands; an upstream that remembers, and a clock that stands still.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.api.app import api_app
from relay.api.services import Services
from relay.consent.services import ConsentServices, wire_consent
from relay.consent.source_keys import write_keys
from relay.decide.address import parse_address
from relay.egress import dsn, retry
from relay.egress.signer import ThreadedSigner
from relay.model import (
    Accepted,
    Address,
    ApiKey,
    Brand,
    Client,
    Copy,
    CopyState,
    Credential,
    Kind,
    MailingList,
    Outcome,
    Party,
    Receipt,
    Refusal,
    ScopeLevel,
    SenderDomain,
    Source,
    StoredMessage,
    Submission,
    Tenant,
    Verdict,
)
from relay.operate import archive, keyfiles
from relay.operate.context import Context
from relay.operate.operations import OPERATIONS
from relay.operate.wiring import wire_judging
from relay.pipeline.accept import Acceptance
from relay.pipeline.deliver import Delivery
from relay.pipeline.generated import Generated
from relay.ports import Batch, Envelope, Waiting
from relay.rulebooks import Rulebooks
from relay.settings import Api, Http, Operator, OptIn, Settings
from relay.settings import Delivery as DeliverySettings
from relay.settings import Store as StoreSettings
from relay.store.store import Store
from relay.tasks import Tasks
from relay.throttle.gcra import GcraThrottle
from relay.throttle.spec import parse
from relay.transform.sign import generate_key
from relay.web.hooks import hook_routes
from relay.web.public import public_app
from relay.web.visitors import Visitors
from tests.support.clock import FakeClock

SLUGS = ("shop", "club")
MANY = 1_000_000
URL = "https://relay.test"
DKIM_KEY = generate_key()
FORM_KEY = Ed25519PrivateKey.generate()
RULEBOOKS = Rulebooks.read()
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
UNLIMITED = parse("1000000/second,burst=1000000")


@dataclass
class Upstream:
    """Takes everything, or, while ``down``, nothing yet."""

    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Sender, recipient and content of each copy taken."""
    down: bool = False

    async def send(self, envelope: Envelope, content: Sequence[bytes]) -> tuple[Receipt, ...]:
        """As ``relay.egress.upstream``."""
        fine = Receipt(Outcome.DELIVERED, 250, "2.0.0", "Ok", "up.test[127.0.0.1]:25")
        later = Receipt(Outcome.DEFERRED, 451, "4.3.0", "later", "up.test[127.0.0.1]:25")
        if self.down:
            return tuple(later for _ in envelope.recipients)
        octets = b"".join(content)
        self.sent += [(envelope.mail_from, one, octets) for one in envelope.recipients]
        return tuple(fine for _ in envelope.recipients)


@dataclass
class Watching:
    """Remembers what must never happen, and every verdict of acceptance."""

    after_optout: list[str] = field(default_factory=list)

    def accepted(
        self,
        message: StoredMessage,
        tenant: Tenant,
        client: Client | None,
        verdicts: Sequence[Verdict],
    ) -> None:
        """As ``relay.pipeline.witness.Witness``, also below."""

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

    def sent_after_optout(self, message: StoredMessage, copy: Copy) -> None:
        self.after_optout.append(copy.id)


class NothingCounted:
    """Takes every number and keeps none."""

    def optout(self, tenant: str, channel: str, count: int = 1) -> None: ...

    def optout_in_force(self, seconds: float) -> None: ...

    def confirmation(self, tenant: str, event: str) -> None: ...

    def complaint(self, tenant: str, source: str) -> None: ...

    def webhook(self, tenant: str, kind: str, result: str) -> None: ...


class AlwaysReady:
    """The health of the public pages."""

    def ready(self) -> tuple[bool, str]:
        """As ``relay.app.Relay``."""
        return True, "ready"


class WholeRelay:
    """One relay on the files of ``data_dir``; ``open``, ``close`` and ``restore`` as often as a
    test likes. What it posts of its own is told to ``posted`` with tenant, address and content."""

    def __init__(
        self,
        data_dir: Path,
        clock: FakeClock,
        posted: Callable[[Tenant, Address, bytes], None] = lambda tenant, to, content: None,
    ) -> None:
        self.clock = clock
        self.upstream = Upstream()
        self.witness = Watching()
        self.hooks: dict[str, str] = {}
        self._posted = posted
        self._numbers = (0.0, 0)
        self.settings = Settings(
            hostname="relay.test",
            data_dir=data_dir,
            http=Http(public_url=URL, invalid_tokens_per_minute=MANY),
            api=Api(requests_per_minute=MANY, invalid_keys_per_minute=MANY),
            operator=Operator(name="Host", contact="postmaster@host.test", domains=("host.test",)),
            opt_in=OptIn(
                mails_per_address_and_tenant=MANY,
                open_per_address=MANY,
                mails_per_address=MANY,
                addresses_per_network=MANY,
                mails_per_form=MANY,
                mails_per_tenant=MANY,
            ),
            delivery=DeliverySettings(retry=(60,), lifetime=300 * 86_400),
            store=StoreSettings(min_free_bytes=0),
        )

    async def make(self) -> None:
        """Keys, and the two tenants; leaves it open."""
        self.settings.data_dir.mkdir(mode=0o700, parents=True)
        keyfiles.make(self.settings.data_dir)
        for slug in SLUGS:
            keyfiles.write_secret(
                keyfiles.dkim_file(self.settings.data_dir, f"{slug}.test", "s1"), DKIM_KEY
            )
        await self.open()
        registry = self.store.registry
        pem = write_keys([FORM_KEY.public_key()])
        await registry.add_source(Source(0, "form", approved=True, public_key=pem))
        await registry.add_source(Source(0, "paper", approved=False))
        for slug in SLUGS:
            party = Party(f"{slug.title()} BV", "Kade 1, Amsterdam", f"me@contact{slug}.test")
            # The operator takes this tenant's word, so that only opt-outs stand in the way.
            tenant = await registry.add_tenant(Tenant(0, slug, party, attested_admitted=True))
            await registry.add_domain(SenderDomain(tenant.id, f"{slug}.test", "s1"))
            await registry.add_credential(
                Credential(0, slug, tenant.id, secret_hash=hashlib.sha256(slug.encode()).digest())
            )
            digest = hashlib.sha256(f"crk_{slug}".encode()).digest()
            await registry.add_api_key(ApiKey(0, tenant.id, "all", digest, self.clock.now()))
            brand = await registry.add_brand(Brand(0, tenant.id, "house", f"{slug.title()} House"))
            for name, scope, owner in (
                ("news", ScopeLevel.LIST, brand.id),
                ("tips", ScopeLevel.BRAND, brand.id),
                ("deals", ScopeLevel.TENANT, None),
            ):
                await self.add_list(tenant, name, scope, owner)
            await self.add_list(tenant, "receipts", ScopeLevel.LIST, None, Kind.TRANSACTIONAL)
            hook = await self.api(slug, "POST", "/hooks", {"name": "own", "format": "generic"})
            self.hooks[slug] = hook.json()["url"].removeprefix(URL)

    async def add_list(
        self,
        tenant: Tenant,
        slug: str,
        scope: ScopeLevel,
        brand: int | None,
        kind: Kind = Kind.COMMERCIAL,
    ) -> MailingList:
        """One more list, whose slug says whose it is."""
        return await self.store.registry.add_list(
            MailingList(
                *(0, tenant.id, f"{tenant.slug}-{slug}", kind, f"What {tenant.slug} has"),
                *("1/day", brand, scope),
            )
        )

    # --- life -------------------------------------------------------------------------------

    async def open(self) -> None:
        """Wire everything, as ``relay.app`` does, and take in what waits."""
        settings, clock = self.settings, self.clock
        self.keys = keys = keyfiles.load(settings.data_dir)
        self.store = store = await Store.open(
            settings.data_dir,
            settings=settings.store,
            clock=clock,
            pepper=keys.pepper,
            reserve_bytes=4_096,
        )
        self.waiting: list[Waiting] = []
        self.tasks = tasks = Tasks()
        self.signer = ThreadedSigner(keyfiles.dkim_directory(settings.data_dir), clock)
        throttle = GcraThrottle(lambda _: UNLIMITED, lambda _, __: UNLIMITED)
        judging = wire_judging(
            settings=settings,
            keys=keys,
            store=store,
            rulebooks=RULEBOOKS,
            clock=clock,
            offer=lambda items: self._offer(items, -1),
        )
        self.assessor = judging.assessor
        generated = Generated(
            assessor=judging.assessor,
            mail=store.mail,
            writer=dsn,
            witness=self.witness,
            offer=self._offer,
            new_id=self._new_id,
            settings=settings,
            clock=clock,
        )

        async def post(unique: str, tenant: Tenant, recipient: Address, content: bytes) -> bool:
            taken = await generated.post(unique, tenant, recipient, content)
            if taken:
                self._posted(tenant, recipient, content)
            return taken

        self.acceptance = Acceptance(
            directory=lambda: store.directory,
            free_bytes=lambda: 10**12,
            settings=settings,
            assessor=judging.assessor,
            mail=store.mail,
            throttle=throttle,
            generated=generated,
            witness=self.witness,
            offer=self._offer,
            on_held=lambda tenant, copy_id, subject, reason: None,
            clock=clock,
        )
        self.consent: ConsentServices = wire_consent(
            settings=settings,
            store=store,
            rulebooks=RULEBOOKS,
            token_keys=keys.tokens,
            pepper=keys.pepper,
            post=post,
            new_id=self._new_id,
            counts=NothingCounted(),
            clock=clock,
            tasks=tasks,
            pause=lambda seconds: asyncio.sleep(0),
        )
        self.delivery = Delivery(
            directory=lambda: store.directory,
            assessor=judging.assessor,
            generation=lambda: store.consents.generation,
            mail=store.mail,
            signer=self.signer,
            upstream=self.upstream,
            after=lambda receipt, copy, now: retry.after(
                receipt, copy, now, settings.delivery.retry
            ),
            generated=generated,
            witness=self.witness,
            on_held=lambda tenant, copy_id, subject, reason: None,
            on_ours=self.consent.opt_in.mailed,
            token_keys=keys.tokens,
            pepper=keys.pepper,
            settings=settings,
            clock=clock,
        )
        self.context = Context(
            settings=settings,
            clock=clock,
            keys=keys,
            store=store,
            rulebooks=RULEBOOKS,
            release=judging.review.release,
            explain=judging.review.explain,
            wake=lambda ids: None,
            erasing=self.consent.erasing,
        )
        self._public = _client(
            public_app(
                optouts=self.consent.links,
                signups=self.consent.opt_in,
                confirmations=self.consent.opt_in,
                own_records=self.consent.own_records,
                health=AlwaysReady(),
                settings=settings,
                clock=clock,
                extra=hook_routes(self.consent.receiving, Visitors(settings, clock)),
            )
        )
        self._admin = _client(
            api_app(
                Services(
                    settings=settings,
                    clock=clock,
                    store=store,
                    sign_ups=self.consent.opt_in,
                    withdrawing=self.consent.withdrawing,
                    recording=self.consent.recording,
                    terms=self.consent.terms,
                    importing=self.consent.importing,
                    expiring=self.consent.expiring,
                    erasing=self.consent.erasing,
                    release=judging.review.release,
                    token_keys=keys.tokens,
                    pepper=keys.pepper,
                )
            )
        )
        async for waiting in store.mail.waiting():
            self.waiting.append(waiting)

    async def close(self) -> None:
        """Stop as at the end of a process: nothing but the files remains."""
        await self._public.aclose()
        await self._admin.aclose()
        await self.tasks.drain(5)
        await self.signer.close()
        await self.store.close()

    async def backup(self, file: Path) -> None:
        """``consent-relay backup``."""
        made = await OPERATIONS.call(self.context, "backup", {})
        assert isinstance(made, dict)
        archive.move_into_place(Path(str(made["file"])), file)

    async def restore(self, file: Path) -> None:
        """Stop, ``consent-relay restore``, start."""
        await self.close()
        await archive.restore(self.settings, file, self.clock)
        await self.open()

    # --- doors ------------------------------------------------------------------------------

    async def page(self, path: str, form: str | None = None, **fields: str) -> httpx.Response:
        """One request to the public pages: GET, or POST of a form."""
        headers = {"User-Agent": BROWSER, **fields}
        if form is None:
            return await self._public.get(path, headers=headers)
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        return await self._public.post(path, content=form, headers=headers)

    async def api(
        self, tenant: str, method: str, path: str, body: Any = None, **more: Any
    ) -> httpx.Response:
        """One request to ``/api/v1`` with the tenant's key."""
        if body is not None:
            more["json"] = body
        headers = {"Authorization": f"Bearer crk_{tenant}", **more.pop("headers", {})}
        return await self._admin.request(method, f"/api/v1{path}", headers=headers, **more)

    async def command(self, name: str, **parameters: Any) -> Any:
        """One operation of the command line."""
        return await OPERATIONS.call(self.context, name, parameters)

    async def submit(
        self, tenant: str, mailing_list: str, recipients: Sequence[Address], *, name: str
    ) -> Accepted | Refusal:
        """A message at the SMTP door; ``name`` is its id and subject."""
        header = (
            f"From: {tenant} <news@{tenant}.test>\r\nTo: someone\r\nSubject: {name}\r\n"
            f"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{name}@{tenant}.test>\r\n"
            f"X-Consent-List: {mailing_list}\r\n\r\n"
        ).encode()
        credentials = self.store.directory.credentials.values()
        credential = next(one for one in credentials if one.username == tenant)
        return await self.acceptance.accept(
            Submission(
                id=name,
                at=self.clock.now(),
                client=Client("192.0.2.1", 1234, "web.test", "smtp", credential=credential),
                mail_from=parse_address(f"bounces@{tenant}.test"),
                recipients=tuple(recipients),
                header=header,
                body=b"Hello.\r\n",
            )
        )

    async def deliver(self) -> None:
        """Attempt everything that waits, once."""
        offered, self.waiting = self.waiting, []
        for item in offered:
            self.waiting += await self.delivery.attempt(Batch((item,)))

    def signed(self, tenant: str, mailing_list: str, address: str, at: float, jti: str) -> str:
        """A consent that the approved form signs (``POST /consents``)."""
        claims = {
            "iss": "form",
            "sub": address,
            "aud": URL,
            "tenant": tenant,
            "list": mailing_list,
            "iat": int(at),
            "jti": jti,
            "act": "tick",
            "form_url": f"https://{tenant}.test/join",
            "ip": "192.0.2.7",
            "user_agent": "Browser/1.0",
            "notice": "News of ours, once a week. We give your address to nobody.",
        }
        return jwt.encode(claims, FORM_KEY, algorithm="EdDSA")

    # --- inside -----------------------------------------------------------------------------

    def _offer(self, items: Sequence[Waiting], generation: int) -> None:
        self.waiting += items
        if items:
            self.delivery.judged(items[0].message_id, generation)

    def _new_id(self) -> str:
        """Told by the time alone, so that it is the same whatever another tenant did before."""
        at, number = self._numbers
        self._numbers = (at, number + 1) if at == self.clock.now() else (self.clock.now(), 0)
        return f"g{self._numbers[0]:.0f}x{self._numbers[1]}"


def _client(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=("192.0.2.9", 4321))
    return httpx.AsyncClient(transport=transport, base_url=URL)


def unsubscribe_path(content: bytes) -> str:
    """The path of the link in a commercial copy that left."""
    found = re.search(rb"List-Unsubscribe: <https://relay\.test(/u/[^>]+)>", content)
    assert found is not None, content
    return found[1].decode()
