"""What the pipeline needs of the world, and nothing more.

Each Protocol is implemented in one place (named in its docstring) and handed over by ``app.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from relay.model import (
    Accepted,
    Act,
    Address,
    Client,
    Copy,
    CopyState,
    Credential,
    Kind,
    Reason,
    Receipt,
    Refusal,
    StoredMessage,
    SubjectKeys,
    Submission,
)

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"


class StoreTrouble(Exception):
    """The store cannot answer or cannot write now; the client is told 451 (never 5xx)."""


class DiskFull(StoreTrouble):
    """No room left for mail; opt-outs still have a reserve."""


class ContentProblem(Exception):
    """The content cannot be taken and cannot be mended."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        """``bare-newline``, ``long-line``, ``nul``, ``header`` or ``header-too-large``."""


class Clock(Protocol):
    """The only source of time (``relay.clock.SystemClock``)."""

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A fact about consent, to be appended to a tenant's hash chain."""

    tenant_id: int
    type: str
    """Dotted word, e.g. ``consent.granted``, ``optout``, ``copy.dropped``."""
    at: float
    subject: SubjectKeys | None = None
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CopyChange:
    """What one attempt, or one person, did to one copy."""

    message_id: str
    seq: int
    state: CopyState
    next_at: float
    attempts: int
    last_reply: str = ""
    reason: Reason | None = None
    released_kind: Kind | None = None
    """Set when a person released the copy under another kind; kept from then on."""
    expires_at: float | None = None
    """Set when the copy changed sides (held, released); None leaves it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The little that the scheduler needs to know of a copy that waits."""

    message_id: str
    seq: int
    tenant_id: int
    domain: str
    """Recipient domain, A-label."""
    kind: Kind
    next_at: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Copies of one message that may go now: one unit of work for delivery."""

    items: tuple[Waiting, ...]
    """At least one; all of the same message, tenant and kind."""

    @property
    def message_id(self) -> str:
        """The message that all items are copies of."""
        return self.items[0].message_id

    @property
    def seqs(self) -> tuple[int, ...]:
        """Which copies of the message."""
        return tuple(item.seq for item in self.items)

    @property
    def tenant_id(self) -> int:
        """Whose mail it is."""
        return self.items[0].tenant_id

    @property
    def kind(self) -> Kind:
        """A commercial batch holds one copy; batches of other kinds may hold many."""
        return self.items[0].kind

    @property
    def domains(self) -> tuple[str, ...]:
        """The destination domains, each once, in the order of the items."""
        return tuple(dict.fromkeys(item.domain for item in self.items))


@dataclass(frozen=True, slots=True)
class OneClick:
    """The one-click address (RFC 8058) that a sender's own mail carried for one person."""

    keys: SubjectKeys
    url: str = field(repr=False)
    """Holds the sender's token for that person."""


class ConsentBook(Protocol):
    """Reads what is on record about people (``relay.store.people.consents``)."""

    @property
    def generation(self) -> int:
        """Grows whenever any consent, block, list or tenant changed; same value = same answers."""

    @property
    def last_event(self) -> int:
        """Id of the last event of the ledger that changed any answer and is in force."""

    async def acts(self, tenant_id: int, keys: Sequence[SubjectKeys]) -> Sequence[tuple[Act, ...]]:
        """All acts on record for each recipient, in the order of ``keys``, by one query.

        Raises StoreTrouble.
        """


class MailStore(Protocol):
    """Bodies and copies (``relay.store.mail.mail``)."""

    async def accept(
        self,
        message: StoredMessage,
        body: bytes,
        copies: Sequence[Copy],
        events: Sequence[NewEvent],
        personal: int,
        one_click: OneClick | None = None,
    ) -> None:
        """Commit body, copies with their verdicts, and events; synced to disk on return.

        ``personal`` is how many recipients count against the tenant's daily personal cap;
        ``one_click`` is remembered, so that an opt-out can be passed on.
        Raises StoreTrouble (DiskFull when there is no room).
        """

    def usage(self, tenant_id: int) -> tuple[int, int]:
        """Copies that wait or are held for a tenant, and the octets of their bodies."""

    def personal_today(self, tenant_id: int, day: int) -> int:
        """Recipients counted against the personal cap on a UTC day (days since the epoch)."""

    async def message(self, message_id: str) -> StoredMessage | None:
        """What all copies of a message share, or None."""

    async def body(self, message_id: str) -> bytes:
        """The body octets of a stored message. Raises StoreTrouble, KeyError when gone."""

    async def copies(self, message_id: str, seqs: Sequence[int]) -> Sequence[Copy]:
        """The named copies as they are now."""

    def waiting(self) -> AsyncIterator[Waiting]:
        """Every waiting copy, oldest first; read once at start."""

    async def change(self, changes: Sequence[CopyChange], events: Sequence[NewEvent] = ()) -> None:
        """Record attempts and final states (grouped with other writers' commits)."""


class Door(Protocol):
    """What the SMTP session asks (``relay.pipeline.Acceptance``)."""

    async def authenticate(
        self, username: str, secret: str, client: Client
    ) -> Credential | Refusal | None:
        """The credential that this secret proves, or None when it proves nothing."""

    def admit(self, client: Client) -> Credential | None:
        """The credential that the client's network alone gives, or None."""

    def check_sender(self, client: Client, mail_from: Address | None, size: int) -> Refusal | None:
        """Whether a transaction may begin (tenant state, MAIL FROM's domain, quota, disk)."""

    async def accept(self, submission: Submission) -> Accepted | Refusal:
        """Judge and commit a finished transaction.

        Raises StoreTrouble; whatever returns Accepted is synced to disk.
        """


@dataclass(frozen=True, slots=True)
class Envelope:
    """What one upstream transaction carries besides the content."""

    mail_from: str
    recipients: tuple[str, ...]
    smtputf8: bool
    eight_bit: bool
    size: int
    still_wanted: Callable[[], Awaitable[bool]] | None = field(
        default=None, repr=False, compare=False
    )
    """Asked when a connection is there, which may take long: people leave meanwhile."""


class Upstream(Protocol):
    """Hands content to the next MTA (``relay.egress.upstream``)."""

    async def send(self, envelope: Envelope, content: Sequence[bytes]) -> tuple[Receipt, ...]:
        """One transaction; ``content`` is normalised octets in order (header, body), unstuffed.

        Returns one Receipt per recipient, in order, or none at all when it was not wanted any more
        and nothing was sent; never raises for what the network does.
        """


class Throttle(Protocol):
    """Whether copies may go now (``relay.throttle.gcra``)."""

    def wait(self, tenant_id: int, domain: str, now: float) -> float:
        """Seconds until one recipient could go; takes nothing."""


class Signer(Protocol):
    """Makes a DKIM-Signature field (``relay.egress.signer``)."""

    async def sign(self, domain: str, selector: str, header: bytes, body_hash: bytes) -> bytes:
        """The whole ``DKIM-Signature:`` field with CRLF, for a header block and a relaxed body
        hash. Raises LookupError when there is no key."""
