"""The nouns of the path. Read this first.

Every stage of the path takes one of these values and returns a new one. They are frozen, they
import nothing but the standard library, and they hold no behaviour beyond naming what they hold.

Times are seconds since the Unix epoch (UTC) as ``float``; sizes are octets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Kind(StrEnum):
    """What a message is, as far as consent goes."""

    COMMERCIAL = "commercial"
    TRANSACTIONAL = "transactional"
    PERSONAL = "personal"
    DISCUSSION = "discussion"
    FORWARDED = "forwarded"
    AUTO = "auto"


class Action(IntEnum):
    """What happens to one recipient's copy. The worst (highest) of all findings wins."""

    DELIVER = 0
    DELAY = 1
    DROP = 2
    QUARANTINE = 3
    REJECT = 4
    DEFER = 5

    @property
    def slug(self) -> str:
        """The lower-case word used in TOML, SQL, metrics and logs."""
        return self.name.lower()


class Reason(StrEnum):
    """Why a copy did not simply pass: the same word in TOML, SQL, metric, log, reply and page."""

    NO_CONSENT = "no-consent"
    PENDING = "pending"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    COMPLAINED = "complained"
    SUPPRESSED = "suppressed"
    BASIS_TOO_WEAK = "basis-too-weak"
    OVER_PROMISE = "over-promise"
    IDENTITY = "identity"
    REPLY_TO = "reply-to"
    FROM_NAME = "from-name"
    FOREIGN_SENDER = "foreign-sender"
    UNKNOWN_LIST = "unknown-list"
    MISLEADING = "misleading"
    UNMARKED_BULK = "unmarked-bulk"
    PERSONAL_LIMIT = "personal-limit"
    COLD_OPT_IN = "cold-opt-in"
    THIRD_PARTY = "third-party"
    SUSPENDED = "suspended"
    RATE = "rate"
    QUOTA = "quota"
    WARM_UP = "warm-up"
    LOOP = "loop"
    INTERNAL = "internal"


class Basis(StrEnum):
    """On what ground a consent stands (clauses A3, A6, A8, A10, A11)."""

    CONFIRMED = "confirmed"
    APPROVED = "approved"
    CUSTOMER = "customer"
    ATTESTED = "attested"
    OFFLINE = "offline"
    NONE = "none"


class Automation(IntEnum):
    """How much a confirmation looks as if a machine had made it (clause A4)."""

    NO = 0
    SUSPECTED = 1
    """Done very fast, or by an unusual program: people and their privacy tools do that too."""
    CERTAIN = 2
    """Without the page that holds the button, or from a network of mail scanners."""

    @property
    def slug(self) -> str:
        """The lower-case word used in rulebooks."""
        return self.name.lower()


class StandingState(StrEnum):
    """What we know of one recipient for one scope now."""

    ABSENT = "absent"
    PENDING = "pending"
    GRANTED = "granted"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    COMPLAINED = "complained"
    SUPPRESSED = "suppressed"


class Mode(StrEnum):
    """Whether consent rules bite or are only recorded."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class TenantState(StrEnum):
    """Whether a tenant may send."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class ScopeLevel(StrEnum):
    """The level at which consent was asked; a consent covers its level and everything below."""

    TENANT = "tenant"
    BRAND = "brand"
    LIST = "list"


# --- Addresses ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Address:
    """One RFC 5321 mailbox, with the two keys under which we know a person.

    ``exact`` names the mailbox that consented; ``wide`` names the person for opt-outs, so that
    both errors fail toward not sending.
    """

    wire: str
    """As it stood between the angle brackets; this goes upstream unchanged."""
    local: str
    """Local part, unquoted, NFC, case kept."""
    domain: str
    """A-label, lower case, no trailing dot; an address literal keeps its brackets."""
    exact: str
    """Consent key: case-folded local part @ domain."""
    wide: str
    """Opt-out key: also without ``+tag`` (and without dots at Gmail)."""

    def __str__(self) -> str:
        return self.wire


@dataclass(frozen=True, slots=True)
class SubjectKeys:
    """Keyed hashes (HMAC-SHA256 under the pepper, first 16 octets) of an address's two keys."""

    exact: bytes
    wide: bytes


# --- Directory ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Party:
    """A legal person (clause B11)."""

    name: str
    postal_address: str
    contact: str
    registration: str | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """A hosting customer, or the operator itself."""

    id: int
    slug: str
    party: Party
    state: TenantState = TenantState.ACTIVE
    state_reason: str = ""
    mode: Mode = Mode.ENFORCE
    rulebooks: tuple[str, ...] = ("base", "strict-opt-in")
    is_operator: bool = False
    action: Action = Action.QUARANTINE
    """What lack of consent leads to, unless the list says otherwise."""
    attested_admitted: bool = False
    """The operator takes this tenant's word for consent (clause A11)."""
    rate: str | None = None
    """Overrides ``limits.tenant_rate``, e.g. ``1000/hour,burst=50`` recipients."""
    personal_per_day: int | None = None
    """Overrides ``limits.personal_recipients_per_day``."""


@dataclass(frozen=True, slots=True)
class Brand:
    """A label under which consent was asked."""

    id: int
    tenant_id: int
    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class MailingList:
    """One subscription: what is sent, how often, and who asked for consent to it."""

    id: int
    tenant_id: int
    slug: str
    kind: Kind
    purpose: str
    promise: str
    brand_id: int | None = None
    consent_scope: ScopeLevel = ScopeLevel.LIST
    from_address: str | None = None
    """Exact key of the From address that selects this list."""
    list_id: str | None = None
    """Registered List-Id (RFC 2919), without angle brackets, lower case."""
    action: Action | None = None
    list_headers_ok: bool = False
    third_parties: str = ""
    archived: bool = False


@dataclass(frozen=True, slots=True)
class SenderDomain:
    """A domain the tenant may send from, with the DKIM key that signs for it."""

    tenant_id: int
    domain: str
    selector: str


@dataclass(frozen=True, slots=True)
class Credential:
    """How a client proves who it is: of one tenant, of one tenant and list, or a gateway."""

    id: int
    username: str
    tenant_id: int | None
    list_id: int | None = None
    gateway: bool = False
    networks: tuple[str, ...] = ()
    secret_hash: bytes | None = None
    """SHA-256 of the machine-made secret; None for a credential by network alone."""


@dataclass(frozen=True, slots=True)
class Source:
    """A system that collects consent (clause A10)."""

    id: int
    slug: str
    approved: bool
    public_key: str | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What a tenant's software proves itself with at the HTTP API."""

    id: int
    tenant_id: int
    name: str
    secret_hash: bytes = field(repr=False)
    """SHA-256 of the machine-made secret."""
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Directory:
    """Everything about tenants in one immutable snapshot; a change makes a new one.

    Kept in memory so that the hot path asks the store only about recipients.
    """

    tenants: Mapping[int, Tenant] = field(default_factory=dict)
    brands: Mapping[int, Brand] = field(default_factory=dict)
    lists: Mapping[int, MailingList] = field(default_factory=dict)
    domains: Mapping[str, SenderDomain] = field(default_factory=dict)
    credentials: Mapping[str, Credential] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    api_keys: Mapping[bytes, ApiKey] = field(default_factory=dict)
    """By ``secret_hash``."""

    def tenant(self, slug: str) -> Tenant | None:
        """The tenant of that slug, or None."""
        return next((t for t in self.tenants.values() if t.slug == slug), None)

    def owner_of(self, domain: str) -> SenderDomain | None:
        """The sender domain that ``domain`` is, or is a subdomain of; the longest match wins."""
        labels = domain.split(".")
        for start in range(len(labels) - 1):
            owner = self.domains.get(".".join(labels[start:]))
            if owner is not None:
                return owner
        return None

    def mailing_list(self, list_id: int | None) -> MailingList | None:
        """The list of that id (archived ones too), or None."""
        return self.lists.get(list_id) if list_id is not None else None

    def brand(self, brand_id: int | None) -> Brand | None:
        """The brand of that id, or None."""
        return self.brands.get(brand_id) if brand_id is not None else None

    def list_of(self, tenant_id: int, slug: str) -> MailingList | None:
        """The tenant's list of that slug (archived ones too), or None."""
        for mailing_list in self.lists.values():
            if mailing_list.tenant_id == tenant_id and mailing_list.slug == slug:
                return mailing_list
        return None


# --- A message on its way in ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Client:
    """Who stands at the door, and how they came in."""

    ip: str
    port: int
    helo: str
    listener: str
    esmtp: bool = True
    tls: str | None = None
    """Protocol and cipher, e.g. ``TLSv1.3 TLS_AES_256_GCM_SHA384``; None without TLS."""
    credential: Credential | None = None
    authenticated: bool = False
    """True when AUTH was used (as against admission by network): makes ESMTPSA of ESMTPS."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One finished SMTP transaction, octets as received with the dot-stuffing removed."""

    id: str
    at: float
    client: Client
    mail_from: Address | None
    """None is the null reverse-path ``<>``."""
    recipients: tuple[Address, ...]
    header: bytes
    """With its empty line, when there is one."""
    body: bytes
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """What the header block says, read once, as facts for the decision.

    ``None`` or an empty tuple means that the field is absent.
    """

    from_addresses: tuple[Address, ...]
    from_valid: bool
    """False when From is absent, repeated, or cannot be parsed whole."""
    sender: Address | None
    subject: str
    """Decoded, one line, at most 200 characters."""
    list_id: str | None
    list_unsubscribe: str | None
    list_unsubscribe_post: bool
    addressees: tuple[Address, ...]
    """To and Cc, where they can be read; empty without List-Unsubscribe-Post, as nobody asks."""
    feedback_id: bool
    campaign_fields: tuple[str, ...]
    """Names of known campaign headers present (lower case)."""
    precedence: str | None
    auto_submitted: str | None
    """Lower-case keyword; None when absent or ``no``."""
    content_type: str
    """Lower-case type/subtype, ``text/plain`` when absent."""
    received_count: int
    own_received_count: int
    """How many Received lines are by our own hostname (loop detection)."""
    consent_list: str | None
    """Value of X-Consent-List."""
    consent_kind: str | None
    """Value of X-Consent-Kind, lower case."""


@dataclass(frozen=True, slots=True)
class Classification:
    """The kind of a message, and why we think so."""

    kind: Kind
    declared: bool
    """True when list, credential or header said so; False when inferred from signals."""
    evidence: tuple[str, ...]
    mailing_list: MailingList | None = None
    unmarked_bulk: bool = False
    """Commercial signals on a transactional list without ``--list-headers-ok``."""


# --- Standing and verdict -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Act:
    """One row of what is on record about a recipient: a consent or a block, at one scope."""

    state: StandingState
    """GRANTED or PENDING for a consent; WITHDRAWN, COMPLAINED or SUPPRESSED for a block."""
    at: float
    event_id: int
    tenant_id: int | None
    """None is an operator's suppression: global, blocks everything."""
    brand_id: int | None = None
    list_id: int | None = None
    basis: Basis = Basis.NONE
    own_act: bool = False
    """A confirmation by us or a signed event of an approved source: may reopen after an opt-out."""
    expires_at: float | None = None
    detail: str = ""
    automated: Automation = Automation.NO
    """Whether a machine seems to have made the confirmation (clause A4)."""
    used_at: float | None = None
    """When commercial mail last left under this consent, to within a week; at least when an import
    first brought the person on record, since disuse before that is not ours to know."""
    after_optout: bool = False
    """Put on record after an opt-out or complaint of the same person at this tenant, at whatever
    scope: what is not the person's own act never counts then."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What we know of one recipient for one scope now."""

    state: StandingState
    basis: Basis = Basis.NONE
    since: float | None = None
    event_id: int | None = None
    bounce_suppressed: bool = False
    """A hard bounce blocks every kind for this tenant until it expires."""
    operator_suppressed: bool = False
    """The operator's suppression is global and blocks everything."""
    automated: Automation = Automation.NO
    """Whether a machine seems to have confirmed the consent that counts (clause A4)."""
    unused_days: int = 0
    """Whole days since the consent that counts was given, or mail last left under it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that fired for one recipient."""

    rule: str
    """``rulebook/rule-id``."""
    action: Action
    reason: Reason
    detail: str = ""
    cite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one recipient's copy, and every reason for it."""

    recipient: Address
    action: Action
    reason: Reason | None
    """None when it simply passes."""
    rule: str | None
    findings: tuple[Finding, ...]
    digest: str
    """SHA-256 (hex, first 16 digits) over the rulebooks that judged."""
    consent_event: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A transaction turned away as a whole, before any per-recipient verdict."""

    reason: Reason
    text: str
    """One sentence for a person, without client octets."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The whole outcome of a transaction that reached its final dot and is committed."""

    id: str
    verdicts: tuple[Verdict, ...]


# --- Copies on their way out ----------------------------------------------------------------


class CopyState(StrEnum):
    """Where one recipient's copy is. All but the first two are final."""

    WAITING = "waiting"
    HELD = "held"
    SENT = "sent"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    DROPPED = "dropped"
    REJECTED = "rejected"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """What all copies of a message share; the octets themselves are fetched by ``id``."""

    id: str
    at: float
    tenant_id: int
    list_id: int | None
    kind: Kind
    declared: bool
    mail_from: str
    """Wire form; empty is the null reverse-path."""
    header: bytes
    """Normalised header block with our Received line, up to and including the empty line."""
    body_hash: bytes
    """SHA-256 over the relaxed-canonicalised body (RFC 6376 section 3.4.4), for DKIM bh=."""
    body_size: int
    subject: str
    from_address: str
    smtputf8: bool = False
    recipient_count: int = 1
    ours: bool = False
    """The relay wrote it: never held, where others could read it, and never answered."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One recipient's copy of a stored message."""

    message_id: str
    seq: int
    recipient: Address
    state: CopyState
    reason: Reason | None = None
    rule: str | None = None
    digest: str = ""
    consent_event: int | None = None
    next_at: float = 0.0
    attempts: int = 0
    expires_at: float = 0.0
    last_reply: str = ""
    released_kind: Kind | None = None
    """The kind a person set when releasing it from quarantine."""
    findings: tuple[Finding, ...] = ()
    """All findings of the verdict it was accepted with."""

    @property
    def id(self) -> str:
        """``MESSAGEID.SEQ``: what commands and logs show."""
        return f"{self.message_id}.{self.seq}"


class Outcome(StrEnum):
    """How one recipient's delivery attempt ended."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the upstream said about one recipient in one attempt."""

    outcome: Outcome
    code: int
    """SMTP reply code; 0 when there was no reply."""
    enhanced: str
    """RFC 3463 status, e.g. ``2.0.0``; never empty."""
    text: str
    """The whole reply, sanitised, on one line of at most 512 characters."""
    relay: str
    """``host[ip]:port``, or ``none``."""
    our_trouble: bool = False
    """The upstream turned *us* away (banner, EHLO, TLS, AUTH, MAIL), not this recipient."""
