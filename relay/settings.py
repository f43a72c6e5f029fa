"""Every setting, its default and what it means. ``config/relay.toml`` is generated from here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A table of the configuration file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Listener(Section):
    """One SMTP listening socket."""

    address: str
    """``host:port``; ``[v6]:port`` for IPv6."""
    tls: Literal["none", "starttls", "implicit"] = "none"
    """``none``, ``starttls`` (offered, and required before AUTH and MAIL) or ``implicit``."""
    name: str = "smtp"
    """Metric label and log word."""


class Smtp(Section):
    """The front door."""

    listeners: tuple[Listener, ...] = (Listener(address="127.0.0.1:2525"),)
    """Where mail comes in; several at once."""
    tls_certificate: Path | None = None
    """PEM chain for ``starttls`` and ``implicit`` listeners."""
    tls_key: Path | None = None
    """PEM key belonging to ``tls_certificate``."""
    max_message_bytes: int = Field(default=50_000_000, ge=1_000)
    """Largest message taken, in octets (552 5.3.4 above)."""
    max_recipients: int = Field(default=1_000, ge=1)
    """Recipients in one transaction (452 4.5.3 above)."""
    max_header_bytes: int = Field(default=102_400, ge=1_000)
    """Largest header block, in octets."""
    max_connections: int = Field(default=500, ge=1)
    """Connections in all (421 4.7.0 above)."""
    max_connections_per_address: int = Field(default=50, ge=1)
    """Connections from one client address (421 4.7.0 above)."""
    max_connections_per_minute: int = Field(default=6_000, ge=1)
    """New connections from one client address in a minute (421 4.7.0 above)."""
    max_errors: int = Field(default=20, ge=1)
    """Rejected commands in one session before 421."""
    max_auth_failures: int = Field(default=3, ge=1)
    """Wrong passwords on one connection before 421."""
    auth_failures_per_minute: int = Field(default=10, ge=1)
    """Wrong passwords from one address in a minute before further wrong ones wait and fail."""
    auth_failures_per_hour: int = Field(default=20, ge=1)
    """Wrong passwords for one account in an hour before further wrong ones wait and fail."""
    command_timeout: float = Field(default=300.0, gt=0)
    """Seconds a client may be silent between commands."""
    data_timeout: float = Field(default=180.0, gt=0)
    """Seconds a client may be silent inside DATA."""
    data_min_rate: int = Field(default=500, ge=0)
    """Octets per second below which DATA is cut off; 0 switches it off."""
    bare_newlines: Literal["normalise", "reject"] = "normalise"
    """Bare CR or LF in a message: mended at the door, or 550 5.5.2."""
    long_lines: Literal["fold", "reject"] = "fold"
    """Lines over 998 octets: folded at the door, or 550 5.6.0."""
    memory_budget: int = Field(default=268_435_456, ge=1_000_000)
    """Octets of messages in flight in all; above it, 452 4.3.1 at MAIL."""


class Upstream(Section):
    """The MTA that takes what passes."""

    address: str = "127.0.0.1:25"
    """``host:port``."""
    tls: Literal["none", "opportunistic", "required", "verify"] = "opportunistic"
    """STARTTLS: never, if offered, always without and always with certificate check."""
    implicit_tls: bool = False
    """TLS from the first octet (port 465) in place of STARTTLS; checked when tls = "verify"."""
    ca_file: Path | None = None
    """Extra trust anchors (PEM) for tls = "verify"."""
    username: str | None = None
    """AUTH user name, if the upstream wants one."""
    password_file: Path | None = None
    """File with the AUTH password."""
    max_connections: int = Field(default=20, ge=1)
    """Connections open at once."""
    max_messages_per_connection: int = Field(default=100, ge=1)
    """Messages before a connection is closed and made anew."""
    idle_timeout: float = Field(default=30.0, gt=0)
    """Seconds an unused connection is kept."""
    connect_timeout: float = Field(default=10.0, gt=0)
    """Seconds to connect."""
    command_timeout: float = Field(default=300.0, gt=0)
    """Seconds for each reply before the final dot (RFC 5321 4.5.3.2)."""
    final_timeout: float = Field(default=600.0, gt=0)
    """Seconds for the reply to the final dot (RFC 5321 4.5.3.2.6)."""


class Delivery(Section):
    """Retries and lifetime."""

    retry: tuple[int, ...] = (60, 300, 900, 1_800, 3_600, 7_200, 14_400)
    """Seconds between attempts; the last one repeats."""
    lifetime: int = Field(default=432_000, ge=60)
    """Seconds after which waiting mail is given up and reported (5 days)."""
    workers: int = Field(default=20, ge=1)
    """Deliveries under way at once."""


class Http(Section):
    """Web listeners."""

    public: str = "127.0.0.1:8080"
    """``host:port`` of the public pages."""
    public_url: str = "http://127.0.0.1:8080"
    """How the world reaches the public pages: https unless loopback."""
    admin: str = "127.0.0.1:8081"
    """``host:port`` of the API: loopback, or behind a proxy that speaks TLS."""
    metrics: str = "127.0.0.1:9925"
    """``host:port`` of ``GET /metrics``."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose X-Forwarded-For counts."""
    invalid_tokens_per_minute: int = Field(default=30, ge=1)
    """Unknown tokens from one address in a minute before 429; valid ones are never limited."""


class Limits(Section):
    """What one tenant may do; recipients are what is counted."""

    personal_recipients_per_day: int = Field(default=200, ge=0)
    """Recipients of unlabelled one-to-one mail per tenant and UTC day."""
    tenant_rate: str = "10000/hour,burst=1000"
    """Delivery rate per tenant, in recipients: ``N/second|minute|hour|day[,burst=N]``."""
    tenant_domain_rate: str = "5000/hour,burst=500"
    """Delivery rate per tenant and destination domain, in recipients."""
    bulk_recipients: int = Field(default=20, ge=1)
    """More recipients than this in one transaction make a message commercial."""
    quota_messages: int = Field(default=100_000, ge=1)
    """Copies that may wait or be held for one tenant."""
    quota_bytes: int = Field(default=5_000_000_000, ge=1_000)
    """Octets of bodies that may wait or be held for one tenant."""
    quarantine_days: int = Field(default=30, ge=1)
    """Days after which held mail is deleted, with notice."""
    record_days: int = Field(default=90, ge=1)
    """Days for which finished copies stay listed."""
    max_received: int = Field(default=50, ge=1)
    """Received fields before a message counts as looping (554 5.4.6)."""


class OptIn(Section):
    """Asking people for consent: the confirmation mail, its caps, and what looks automated."""

    confirm_days: int = Field(default=7, ge=1)
    """Days for which the link in a confirmation mail works."""
    mails_per_address_and_tenant: int = Field(default=1, ge=1)
    """Confirmation mails to one person for one tenant in 24 hours; +tags are one person."""
    open_per_address: int = Field(default=3, ge=1)
    """Requests of one person at one tenant that may wait for an answer."""
    mails_per_address: int = Field(default=5, ge=1)
    """Confirmation mails to one person for all tenants in 24 hours."""
    addresses_per_network: int = Field(default=10, ge=1)
    """Persons that one client network (IPv4 address, IPv6 /64) may ask for in a minute."""
    mails_per_form: int = Field(default=60, ge=1)
    """Confirmation mails that one form may cause in a minute."""
    mails_per_tenant: int = Field(default=5_000, ge=1)
    """Confirmation mails for one tenant in 24 hours."""
    automated_seconds: float = Field(default=2.0, ge=0)
    """A confirmation so soon after the mail left is marked as automated."""
    scanner_networks: tuple[str, ...] = ()
    """Networks of mail scanners: a confirmation from there is marked as automated."""


class Operator(Section):
    """Who runs the relay."""

    name: str = "Mail operator"
    """Name shown on pages and in notices."""
    contact: str = "postmaster@localhost"
    """Gets mail for postmaster and abuse of our host, and notices for the operator."""
    domains: tuple[str, ...] = ()
    """The operator's own domains: mail to them needs no consent."""
    terms_file: Path | None = None
    """Text file (UTF-8) that tenants accept before their own word for consent is taken, in place
    of the terms that come with the relay."""


class Store(Section):
    """The SQLite store."""

    wait: float = Field(default=30.0, ge=0)
    """Seconds to wait for a locked store before 451."""
    large_body: int = Field(default=262_144, ge=1)
    """Bodies above this many octets go to a file synced before the commit."""
    min_free_bytes: int = Field(default=100_000_000, ge=0)
    """Free disk below which MAIL gets 452 4.3.1."""
    heads_copy: Path | None = None
    """A second file that gets every signed head of the ledger: on another disk, or in a directory
    that is shipped away."""


class Log(Section):
    """One line per fate."""

    format: Literal["text", "json"] = "text"
    """Postfix-like lines, or one JSON object a line."""
    addresses: Literal["show", "hash"] = "show"
    """Whether recipient addresses appear, or a keyed hash of them."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity written."""


class Api(Section):
    """The HTTP API for tenants' software, on ``http.admin``."""

    requests_per_minute: int = Field(default=600, ge=1)
    """Requests with one key in a minute before 429."""
    invalid_keys_per_minute: int = Field(default=30, ge=1)
    """Requests without a valid key from one address in a minute before 429."""


class Outbound(Section):
    """What the relay calls over HTTP: webhooks, and senders' one-click addresses."""

    allow_networks: tuple[str, ...] = ()
    """Networks that may be called besides public addresses, and over http only there."""


class Settings(Section):
    """The whole configuration file."""

    hostname: str = "localhost"
    """Our name in the banner, Received and Message-ID."""
    data_dir: Path = Path("data")
    """Store, keys and control socket; relative to the configuration file."""
    feedback_id: Annotated[str, Field(min_length=5, max_length=15)] = "consentrelay"
    """SENDERID of Feedback-ID: constant for this operator, 5 to 15 characters."""
    smtp: Smtp = Smtp()
    upstream: Upstream = Upstream()
    delivery: Delivery = Delivery()
    http: Http = Http()
    limits: Limits = Limits()
    opt_in: OptIn = OptIn()
    operator: Operator = Operator()
    store: Store = Store()
    log: Log = Log()
    api: Api = Api()
    outbound: Outbound = Outbound()
    drain_seconds: float = Field(default=60.0, ge=0)
    """Seconds a stop waits for transactions under way."""
    event_loop: Literal["auto", "asyncio", "uvloop"] = "auto"
    """``auto`` takes uvloop when it is installed."""
