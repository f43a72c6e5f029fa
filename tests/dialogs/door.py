"""A door that records, and a front door in front of it: what every SMTP test here runs against."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from relay.clock import SystemClock
from relay.model import (
    Accepted,
    Action,
    Address,
    Client,
    Credential,
    Refusal,
    Submission,
    Verdict,
)
from relay.settings import Listener, Smtp
from relay.smtp.server import SmtpServer
from relay.tasks import Tasks
from tests.support.smtp_client import SmtpClient

HOSTNAME = "mx.relay.test"
PUBLIC_URL = "https://relay.test"
USERNAME, SECRET = "shop", "s3cret"
CREDENTIAL = Credential(id=1, username=USERNAME, tenant_id=1)


def content_of(submission: Submission) -> bytes:
    """What came between DATA and the dot, unstuffed."""
    return submission.header + submission.body


def delivered(submission: Submission) -> Accepted:
    """Everything passes."""
    return Accepted(
        submission.id,
        tuple(
            Verdict(recipient, Action.DELIVER, None, None, (), "")
            for recipient in submission.recipients
        ),
    )


@dataclass
class RecordingDoor:
    """Keeps what came through; answers as told."""

    network: Credential | None = CREDENTIAL
    answer: Callable[[Submission], Accepted | Refusal] = delivered
    sender_answer: Callable[[Address | None, int], Refusal | None] = lambda mail_from, size: None
    gate: asyncio.Event | None = None
    """When set, ``accept`` waits for it."""
    submissions: list[Submission] = field(default_factory=list)
    begun: list[Submission] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: list[tuple[str, Client]] = field(default_factory=list)

    async def authenticate(
        self, username: str, secret: str, client: Client
    ) -> Credential | Refusal | None:
        self.attempts.append((username, client))
        return CREDENTIAL if (username, secret) == (USERNAME, SECRET) else None

    def admit(self, client: Client) -> Credential | None:
        return self.network

    def check_sender(self, client: Client, mail_from: Address | None, size: int) -> Refusal | None:
        return self.sender_answer(mail_from, size)

    async def accept(self, submission: Submission) -> Accepted | Refusal:
        self.begun.append(submission)
        self.began.set()
        if self.gate is not None:
            await self.gate.wait()
        outcome = self.answer(submission)
        self.submissions.append(submission)
        return outcome


@dataclass
class RecordingObserver:
    """Keeps what was counted."""

    open: int = 0
    messages: list[str] = field(default_factory=list)
    failures: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def sessions(self, delta: int) -> None:
        self.open += delta
        self.changed.set()

    def message(self, listener: str, result: str, seconds: float) -> None:
        self.messages.append(result)
        self.changed.set()

    def auth_failed(self, listener: str) -> None:
        self.failures += 1
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that was counted, however long it takes."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()


@dataclass
class Running:
    """A server on loopback, and everything that can be looked at afterwards."""

    server: SmtpServer
    door: RecordingDoor
    observer: RecordingObserver
    tasks: Tasks

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.server.addresses[0].rpartition(":")
        return host, int(port)

    def client(self, tls: ssl.SSLContext | None = None) -> SmtpClient:
        """A raw client for the first listener."""
        host, port = self.address
        return SmtpClient(port, host, tls=tls)


@asynccontextmanager
async def running(
    door: RecordingDoor | None = None, clock: object | None = None, **settings: object
) -> AsyncIterator[Running]:
    """A started server with the given ``[smtp]`` settings, drained at the end."""
    settings.setdefault("listeners", (Listener(address="127.0.0.1:0"),))
    door = door or RecordingDoor()
    observer, tasks = RecordingObserver(), Tasks()
    ids = itertools.count(1)
    server = SmtpServer(
        Smtp(**settings),  # type: ignore[arg-type]
        HOSTNAME,
        door,
        clock or SystemClock(),  # type: ignore[arg-type]
        tasks,
        lambda: f"ID{next(ids)}",
        observer,
        PUBLIC_URL,
    )
    await server.start()
    try:
        yield Running(server, door, observer, tasks)
    finally:
        if door.gate is not None:
            door.gate.set()
        await server.drain(0)
        await tasks.drain(5)
