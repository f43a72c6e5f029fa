"""The path on a real store, with a clock that stands still and an upstream that remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay.decide.address import parse_address
from relay.decide.keys import subject_keys
from relay.egress import dsn, retry
from relay.egress.signer import ThreadedSigner
from relay.model import (
    Accepted,
    Address,
    Basis,
    Client,
    Copy,
    CopyState,
    Credential,
    Kind,
    MailingList,
    Outcome,
    Party,
    Reason,
    Receipt,
    Refusal,
    SenderDomain,
    StoredMessage,
    SubjectKeys,
    Submission,
    Tenant,
    Verdict,
)
from relay.pipeline.accept import Acceptance
from relay.pipeline.assess import Assessor
from relay.pipeline.deliver import Delivery
from relay.pipeline.generated import Generated
from relay.pipeline.notices import Notices
from relay.pipeline.review import Review
from relay.ports import Batch, Envelope, Waiting
from relay.rulebooks import Rulebooks
from relay.settings import Delivery as DeliverySettings
from relay.settings import Operator, Settings
from relay.settings import Store as StoreSettings
from relay.store.store import Store
from relay.throttle.gcra import GcraThrottle
from relay.throttle.spec import parse
from relay.transform.sign import generate_key
from relay.transform.token import TokenKeys
from tests.support.clock import FakeClock

PEPPER = b"p" * 32
KEY = generate_key()
RULEBOOKS = Rulebooks.read()


@dataclass
class RecordingUpstream:
    """Takes everything unless told otherwise."""

    sent: list[tuple[Envelope, bytes]] = field(default_factory=list)
    receipts: dict[str, Receipt] = field(default_factory=dict)

    async def send(self, envelope: Envelope, content: Sequence[bytes]) -> tuple[Receipt, ...]:
        fine = Receipt(Outcome.DELIVERED, 250, "2.0.0", "Ok", "up.test[127.0.0.1]:25")
        answers = tuple(self.receipts.get(wire, fine) for wire in envelope.recipients)
        if any(answer.outcome is Outcome.DELIVERED for answer in answers):
            self.sent.append((envelope, b"".join(content)))
        return answers


@dataclass
class Seen:
    """A witness that remembers."""

    accepted_: list[tuple[str, tuple[Verdict, ...]]] = field(default_factory=list)
    attempts: list[tuple[str, CopyState]] = field(default_factory=list)
    stops: list[tuple[str, Verdict]] = field(default_factory=list)
    after_optout: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)

    def accepted(
        self,
        message: StoredMessage,
        tenant: Tenant,
        client: Client | None,
        verdicts: Sequence[Verdict],
    ) -> None:
        self.accepted_.append((message.id, tuple(verdicts)))

    def attempted(
        self,
        message: StoredMessage,
        tenant: Tenant,
        copy: Copy,
        receipt: Receipt,
        state: CopyState,
    ) -> None:
        self.attempts.append((copy.id, state))

    def stopped(self, message: StoredMessage, tenant: Tenant, copy: Copy, verdict: Verdict) -> None:
        self.stops.append((copy.id, verdict))

    def stage(self, name: str, seconds: float) -> None:
        self.stages.append(name)

    def sent_after_optout(self, message: StoredMessage, copy: Copy) -> None:
        self.after_optout.append(copy.id)


class House:
    """One tenant ``shop`` with a newsletter and receipts, and the whole path around it."""

    def __init__(self, store: Store, clock: FakeClock, keys_dir: Path, rate: str) -> None:
        self.store = store
        self.clock = clock
        self.settings = Settings(
            hostname="relay.test",
            operator=Operator(name="Host", contact="postmaster@host.test", domains=("host.test",)),
            delivery=DeliverySettings(lifetime=3_600, retry=(60,)),
            store=StoreSettings(min_free_bytes=0),
        )
        self.upstream = RecordingUpstream()
        self.seen = Seen()
        self.waiting: list[Waiting] = []
        self.holds: list[tuple[str, str, Reason | None]] = []
        self.ours: list[tuple[str, Receipt]] = []
        self.ids = iter(f"generated{number}" for number in range(1_000))
        self.signer = ThreadedSigner(keys_dir, clock)
        self.throttle = GcraThrottle(
            lambda _: parse(rate), lambda _, __: parse("1000000/second,burst=1000000")
        )
        self.assessor = Assessor(
            directory=lambda: store.directory,
            book=store.consents,
            policy=RULEBOOKS.policy,
            pepper=PEPPER,
            settings=self.settings,
        )
        self.generated = Generated(
            assessor=self.assessor,
            mail=store.mail,
            writer=dsn,
            witness=self.seen,
            offer=self.offer,
            new_id=lambda: next(self.ids),
            settings=self.settings,
            clock=clock,
        )
        self.acceptance = Acceptance(
            directory=lambda: store.directory,
            free_bytes=lambda: 10**12,
            settings=self.settings,
            assessor=self.assessor,
            mail=store.mail,
            throttle=self.throttle,
            generated=self.generated,
            witness=self.seen,
            offer=self.offer,
            on_held=self.held,
            clock=clock,
        )
        self.delivery = Delivery(
            directory=lambda: store.directory,
            assessor=self.assessor,
            generation=lambda: store.consents.generation,
            mail=store.mail,
            signer=self.signer,
            upstream=self.upstream,
            after=lambda receipt, copy, now: retry.after(
                receipt, copy, now, self.settings.delivery.retry
            ),
            generated=self.generated,
            witness=self.seen,
            on_held=self.held,
            on_ours=self.told_of_ours,
            token_keys=TokenKeys({"k1": b"t" * 32}, "k1"),
            pepper=PEPPER,
            settings=self.settings,
            clock=clock,
        )
        self.review = Review(
            directory=lambda: store.directory,
            assessor=self.assessor,
            mail=store.mail,
            offer=lambda items: self.offer(items, -1),
            settings=self.settings,
            clock=clock,
        )
        self.notices = Notices(
            directory=lambda: store.directory,
            log=store.notices,
            mail=store.mail,
            generated=self.generated,
            new_id=lambda: next(self.ids),
            settings=self.settings,
            clock=clock,
        )

    def offer(self, items: Sequence[Waiting], generation: int) -> None:
        self.waiting += items
        if items:
            self.delivery.judged(items[0].message_id, generation)

    def held(self, tenant: Tenant, copy_id: str, subject: str, reason: Reason | None) -> None:
        self.holds.append((tenant.slug, copy_id, reason))

    async def told_of_ours(self, message_id: str, receipt: Receipt) -> None:
        self.ours.append((message_id, receipt))

    async def people(self) -> None:
        """Directory, and what people said."""
        registry = self.store.registry
        self.tenant = await registry.add_tenant(
            Tenant(0, "shop", Party("Shop Ltd", "Main Street 1", "owner@contact.test"))
        )
        await registry.add_domain(SenderDomain(self.tenant.id, "shop.test", "s1"))
        self.news = await registry.add_list(
            MailingList(
                *(0, self.tenant.id, "news", Kind.COMMERCIAL, "News", "1/week"),
                from_address="news@shop.test",
            )
        )
        self.receipts = await registry.add_list(
            MailingList(
                *(0, self.tenant.id, "receipts", Kind.TRANSACTIONAL, "Receipts", "100/month"),
                from_address="orders@shop.test",
            )
        )
        self.credential = await registry.add_credential(
            Credential(0, "shop-web", self.tenant.id, secret_hash=b"x" * 32)
        )
        self.gateway = await registry.add_credential(
            Credential(0, "web", None, gateway=True, secret_hash=b"y" * 32)
        )
        await self.consent("yes@people.test")
        await self.consent("left@people.test")
        await self.leave("left@people.test")

    async def consent(self, address: str) -> int:
        return await self.store.consents.grant(
            self.tenant.id,
            keys(address),
            basis=Basis.APPROVED,
            at=self.clock.now(),
            list_id=self.news.id,
            address=address,
        )

    async def leave(self, address: str) -> None:
        self.clock.advance(1)
        await self.store.consents.withdraw(
            self.tenant.id,
            keys(address),
            at=self.clock.now(),
            channel="page",
            list_id=self.news.id,
        )

    async def submit(
        self,
        *recipients: str,
        sender: str = "news@shop.test",
        mail_from: str | None = "bounces@shop.test",
        fields: str = "",
        to: str = "someone",
        body: str = "Hello.\r\n",
        credential: Credential | None = None,
        name: str = "message",
    ) -> Accepted | Refusal:
        """Bring a message to the door; its id is ``name``."""
        header = (
            f"From: Shop <{sender}>\r\nTo: {to}\r\nSubject: Hi\r\n"
            f"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@shop.test>\r\n"
            f"{fields}\r\n"
        ).encode()
        client = Client(
            "192.0.2.1", 1234, "web.test", "smtp", credential=credential or self.credential
        )
        return await self.acceptance.accept(
            Submission(
                id=name,
                at=self.clock.now(),
                client=client,
                mail_from=address(mail_from) if mail_from else None,
                recipients=tuple(address(recipient) for recipient in recipients),
                header=header,
                body=body.encode(),
            )
        )

    async def deliver(self) -> None:
        """Attempt everything that was offered, copy by copy; what waits again stays offered."""
        offered, self.waiting = self.waiting, []
        for item in offered:
            self.waiting += await self.delivery.attempt(Batch((item,)))

    async def state(self, copy_id: str) -> str:
        record = await self.store.mail.record(copy_id)
        assert record is not None
        return record.state.value


def address(text: str) -> Address:
    return parse_address(text)


def keys(text: str) -> SubjectKeys:
    return subject_keys(PEPPER, parse_address(text))


async def open_house(tmp_path: Path, rate: str = "1000000/second,burst=1000000") -> House:
    key = tmp_path / "dkim" / "shop.test" / "s1.pem"
    if not key.exists():
        key.parent.mkdir(parents=True)
        key.write_bytes(KEY)
    clock = FakeClock(1_780_000_000.0)  # a signature of the future would not verify
    store = await Store.open(
        tmp_path / "data",
        settings=StoreSettings(min_free_bytes=0),
        clock=clock,
        pepper=PEPPER,
        reserve_bytes=4_096,
    )
    house = House(store, clock, tmp_path / "dkim", rate)
    await house.people()
    return house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    opened = await open_house(tmp_path)
    yield opened
    await opened.signer.close()
    await opened.store.close()
