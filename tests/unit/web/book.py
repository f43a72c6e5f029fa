"""What stands behind the pages, in memory; and the pages served from it on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from starlette.routing import BaseRoute

from relay.model import ScopeLevel
from relay.ports import Json, StoreTrouble
from relay.settings import Http, Operator, Settings
from relay.tasks import Tasks
from relay.web.asking import Asked, NoticePage, SignUpRequest
from relay.web.confirming import ConfirmPage
from relay.web.optouts import OptOutPage
from relay.web.own_view import OwnConsent, OwnEvent, OwnView
from relay.web.public import public_app
from relay.web.server import WebServer
from tests.support.clock import FakeClock

TOKEN = "v1.k1.c2hvcA.bWFj"
FORM = "/s/korenbloem/recepten"

PAGE = OptOutPage(
    sender="Bakkerij De Korenbloem B.V.",
    purpose="Aanbiedingen en recepten",
    promise="2/month",
    address="j•••@example.org",
    scope=ScopeLevel.LIST,
    brand="",
    contact="info@korenbloem.test",
    already_out=False,
)

NOTICE = NoticePage(
    number=7,
    language="nl",
    list_slug="recepten",
    sender="Korenbloem Thuis",
    party="Bakkerij De Korenbloem B.V.",
    postal_address="Dorpsstraat 1, 1234 AB Utrecht",
    registration="KVK 12345678",
    contact="info@korenbloem.test",
    purpose="Aanbiedingen en recepten",
    promise="2/month",
    third_parties="",
    question="Ja, stuur mij hoogstens twee keer per maand aanbiedingen en recepten.",
    scope=ScopeLevel.LIST,
)

VIEW = OwnView(
    sender="Bakkerij De Korenbloem B.V.",
    contact="info@korenbloem.test",
    address="jan@example.org",
    consents=(
        OwnConsent(
            scope="list",
            scope_id=3,
            name="Aanbiedingen en recepten",
            state="granted",
            basis="confirmed",
            since=1_780_000_000.0,
            asked_at="https://www.korenbloem.test/aanmelden",
            words=NOTICE.question,
            promise="2/month",
            third_parties="",
        ),
        OwnConsent(
            scope="brand",
            scope_id=2,
            name="Korenbloem Thuis",
            state="withdrawn",
            basis="attested",
            since=1_750_000_000.0,
            asked_at="",
            words="",
            promise="",
            third_parties="Molen De Hoop",
        ),
    ),
    history=(
        OwnEvent(1_780_000_000.0, "consent.granted", "Aanbiedingen en recepten", ""),
        OwnEvent(1_760_000_000.0, "optout", "Korenbloem Thuis", "one-click"),
        OwnEvent(1_750_000_000.0, "something.new", "Korenbloem Thuis", "pigeon"),
    ),
    more=True,
    all_stopped=False,
)


@dataclass
class Act:
    """What a book was told with one press of a button."""

    token: str
    channel: str
    ip: str
    user_agent: str
    scope: ScopeLevel | None = None


@dataclass
class Book:
    """Knows the tokens it was given, and remembers who is out."""

    pages: dict[str, OptOutPage] = field(default_factory=lambda: {TOKEN: PAGE})
    acts: list[Act] = field(default_factory=list)
    trouble: bool = False

    async def describe(self, token: str) -> OptOutPage | None:
        if self.trouble:
            raise StoreTrouble("locked")
        return self.pages.get(token)

    async def withdraw(
        self,
        token: str,
        *,
        channel: str,
        ip: str,
        user_agent: str,
        scope: ScopeLevel | None = None,
    ) -> OptOutPage | None:
        page = await self.describe(token)
        if page is None:
            return None
        self.acts.append(Act(token, channel, ip, user_agent, scope))
        done = replace(page, already_out=True)
        if scope is not None:
            done = replace(done, scope=scope, wider=None)
        self.pages[token] = done
        return done


@dataclass
class SignUpBook:
    """One form; answers what it is told to answer."""

    shown: NoticePage = NOTICE
    answer: Asked = Asked.TAKEN
    asked: list[SignUpRequest] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    trouble: bool = False

    async def notice(self, tenant: str, mailing_list: str, language: str) -> NoticePage | None:
        if self.trouble:
            raise StoreTrouble("locked")
        self.languages.append(language)
        known = (tenant, mailing_list) == ("korenbloem", "recepten")
        return self.shown if known else None

    async def ask(self, request: SignUpRequest) -> Asked:
        if self.trouble:
            raise StoreTrouble("locked")
        if (request.tenant, request.mailing_list) != ("korenbloem", "recepten"):
            return Asked.UNKNOWN_LIST
        if request.notice != self.shown.number:
            return Asked.UNKNOWN_NOTICE
        self.asked.append(request)
        return self.answer


@dataclass
class ConfirmBook:
    """Remembers who looked and who confirmed."""

    pages: dict[str, ConfirmPage] = field(
        default_factory=lambda: {TOKEN: ConfirmPage(NOTICE, "j•••@e••••••.org", False)}
    )
    fetched: list[Act] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    trouble: bool = False

    async def fetch(self, token: str, *, ip: str, user_agent: str) -> ConfirmPage | None:
        found = await self.peek(token)
        if found is not None:
            self.fetched.append(Act(token, "", ip, user_agent))
        return found

    async def peek(self, token: str) -> ConfirmPage | None:
        if self.trouble:
            raise StoreTrouble("locked")
        return self.pages.get(token)

    async def confirm(self, token: str, *, ip: str, user_agent: str) -> ConfirmPage | None:
        found = await self.peek(token)
        if found is None:
            return None
        self.acts.append(Act(token, "", ip, user_agent))
        self.pages[token] = replace(found, confirmed=True)
        return self.pages[token]


@dataclass
class RecordBook:
    """One person's record; remembers the links asked for and the stops."""

    views: dict[str, OwnView] = field(default_factory=lambda: {TOKEN: VIEW})
    links: list[tuple[str, str, str]] = field(default_factory=list)
    stops: list[tuple[str, int]] = field(default_factory=list)
    trouble: bool = False

    async def request_link(self, token: str, *, language: str, ip: str) -> bool:
        if await self.view(token) is None:
            return False
        self.links.append((token, language, ip))
        return True

    async def view(self, token: str) -> OwnView | None:
        if self.trouble:
            raise StoreTrouble("locked")
        return self.views.get(token)

    async def stop(
        self, token: str, *, scope: str, scope_id: int, ip: str, user_agent: str
    ) -> OwnView | None:
        found = await self.view(token)
        ours = {(consent.scope, consent.scope_id) for consent in VIEW.consents} | {("tenant", 0)}
        if found is None or (scope, scope_id) not in ours:
            return None
        self.stops.append((scope, scope_id))
        stopped = tuple(
            replace(consent, state="withdrawn")
            if scope == "tenant" or (consent.scope, consent.scope_id) == (scope, scope_id)
            else consent
            for consent in found.consents
        )
        event = OwnEvent(1_790_000_000.0, "optout", "", "page")
        self.views[token] = replace(
            found,
            consents=stopped,
            history=(event, *found.history),
            all_stopped=found.all_stopped or scope == "tenant",
        )
        return self.views[token]

    async def receipt(self, token: str) -> Json | None:
        found = await self.view(token)
        return (
            None if found is None else {"address": found.address, "words": NOTICE.question + " é"}
        )


@dataclass
class Readiness:
    """Says what it is told to say."""

    answer: tuple[bool, str] = (True, "ready")

    def ready(self) -> tuple[bool, str]:
        return self.answer


@dataclass
class Site:
    """The public pages as they run."""

    url: str
    book: Book
    signups: SignUpBook
    confirmations: ConfirmBook
    records: RecordBook
    health: Readiness
    clock: FakeClock

    def forget(self) -> None:
        """Be as new: a server is started once for many tests."""
        for part in (self.book, self.signups, self.confirmations, self.records, self.health):
            part.__init__()
        now = self.clock.now()
        self.clock.advance(86_400)
        self.clock.set_wall(now)


@asynccontextmanager
async def serve(extra: Sequence[BaseRoute] = (), **http: object) -> AsyncIterator[Site]:
    """Serve the public pages on a free port; ``http`` are settings of that section."""
    settings = Settings(
        http=Http.model_validate({"public_url": "https://mail.example.net/", **http}),
        operator=Operator(name="Voorbeeld Hosting", contact="abuse@hosting.test"),
    )
    clock = FakeClock()
    site = Site("", Book(), SignUpBook(), ConfirmBook(), RecordBook(), Readiness(), clock)
    tasks = Tasks()
    app = public_app(
        optouts=site.book,
        signups=site.signups,
        confirmations=site.confirmations,
        own_records=site.records,
        health=site.health,
        settings=settings,
        clock=clock,
        extra=extra,
    )
    server = WebServer(app, "127.0.0.1:0", tasks, "http.public")
    await server.start()
    site.url = f"http://{server.bound}"
    try:
        yield site
    finally:
        await server.stop()
        await tasks.drain(1)
