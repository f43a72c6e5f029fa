"""An opt-out book in memory, and the pages served from it on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from relay.model import ScopeLevel
from relay.ports import StoreTrouble
from relay.settings import Http, Operator, Settings
from relay.tasks import Tasks
from relay.web.optouts import OptOutDone, OptOutPage
from relay.web.public import public_app
from relay.web.server import WebServer
from tests.support.clock import FakeClock

TOKEN = "v1.k1.c2hvcA.bWFj"

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


@dataclass
class Act:
    """What the book was told with one withdrawal."""

    token: str
    channel: str
    ip: str
    user_agent: str


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
        self, token: str, *, channel: str, ip: str, user_agent: str
    ) -> OptOutDone | None:
        page = await self.describe(token)
        if page is None:
            return None
        self.acts.append(Act(token, channel, ip, user_agent))
        self.pages[token] = replace(page, already_out=True)
        return OptOutDone("korenbloem", not page.already_out, self.pages[token])


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
    health: Readiness
    clock: FakeClock
    counted: list[tuple[str, str]]


@asynccontextmanager
async def serve(**http: object) -> AsyncIterator[Site]:
    """Serve the public pages on a free port; ``http`` are settings of that section."""
    settings = Settings(
        http=Http.model_validate(http),
        operator=Operator(name="Voorbeeld Hosting", contact="abuse@hosting.test"),
    )
    book, health, clock = Book(), Readiness(), FakeClock()
    counted: list[tuple[str, str]] = []
    tasks = Tasks()
    app = public_app(book, health, settings, clock, lambda *told: counted.append(told))
    server = WebServer(app, "127.0.0.1:0", tasks, "http.public")
    await server.start()
    try:
        yield Site(f"http://{server.bound}", book, health, clock, counted)
    finally:
        await server.stop()
        await tasks.drain(1)
