"""The tables, as SQLAlchemy Core. ``migrations/`` is what makes them; a test proves both equal.

Times are seconds since the epoch (REAL) except in ``events``, where they are whole milliseconds,
because they are hashed. Keys of people are lower-case hex of ``SubjectKeys``, as text, so that one
statement can take them as a JSON array. Flags are 0 or 1.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    REAL,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata: Final = MetaData()


def _column(name: str, kind: Any, *more: Any, null: bool = False) -> Column[Any]:
    return Column(name, kind, *more, nullable=null)


def _id() -> Column[Any]:
    return Column("id", Integer, primary_key=True)


# Ids of what an opt-out may name are never given out twice: an opt-out outlives its list.
tenants = Table(
    "tenants",
    metadata,
    _id(),
    _column("slug", Text),
    _column("name", Text),
    _column("postal_address", Text),
    _column("contact", Text),
    _column("registration", Text, null=True),
    _column("state", Text),
    _column("state_reason", Text),
    _column("mode", Text),
    _column("rulebooks", Text),
    _column("is_operator", Integer),
    _column("action", Text),
    _column("attested_admitted", Integer),
    _column("rate", Text, null=True),
    _column("personal_per_day", Integer, null=True),
    UniqueConstraint("slug", name="tenants_slug"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

brands = Table(
    "brands",
    metadata,
    _id(),
    _column("tenant_id", Integer, ForeignKey("tenants.id")),
    _column("slug", Text),
    _column("name", Text),
    UniqueConstraint("tenant_id", "slug", name="brands_slug"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

lists = Table(
    "lists",
    metadata,
    _id(),
    _column("tenant_id", Integer, ForeignKey("tenants.id")),
    _column("slug", Text),
    _column("kind", Text),
    _column("purpose", Text),
    _column("promise", Text),
    _column("brand_id", Integer, ForeignKey("brands.id"), null=True),
    _column("consent_scope", Text),
    _column("from_address", Text, null=True),
    _column("list_id", Text, null=True),
    _column("action", Text, null=True),
    _column("list_headers_ok", Integer),
    _column("third_parties", Text),
    _column("archived", Integer),
    UniqueConstraint("tenant_id", "slug", name="lists_slug"),
    UniqueConstraint("tenant_id", "from_address", name="lists_from_address"),
    UniqueConstraint("tenant_id", "list_id", name="lists_list_id"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

domains = Table(
    "domains",
    metadata,
    Column("domain", Text, primary_key=True, nullable=False),
    _column("tenant_id", Integer, ForeignKey("tenants.id")),
    _column("selector", Text),
    sqlite_strict=True,
)

credentials = Table(
    "credentials",
    metadata,
    _id(),
    _column("username", Text),
    _column("tenant_id", Integer, ForeignKey("tenants.id"), null=True),
    _column("list_id", Integer, ForeignKey("lists.id"), null=True),
    _column("gateway", Integer),
    _column("networks", Text),
    _column("secret_hash", LargeBinary, null=True),
    UniqueConstraint("username", name="credentials_username"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

sources = Table(
    "sources",
    metadata,
    _id(),
    _column("slug", Text),
    _column("approved", Integer),
    _column("public_key", Text, null=True),
    UniqueConstraint("slug", name="sources_slug"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# tenant_id 0 is the operator's own chain. No foreign keys: a chain outlives its tenant.
events = Table(
    "events",
    metadata,
    _id(),
    _column("tenant_id", Integer),
    _column("seq", Integer),
    _column("t", Integer),
    _column("type", Text),
    _column("commit_hash", LargeBinary),
    _column("prev", LargeBinary),
    _column("hash", LargeBinary),
    UniqueConstraint("tenant_id", "seq", name="events_chain"),
    Index(
        "events_gaps",
        "tenant_id",
        "seq",
        sqlite_where=text("type = 'ledger.discontinuity'"),
    ),
    sqlite_strict=True,
)

# What an event says; erasure may delete a row here, the chain keeps verifying.
event_data = Table(
    "event_data",
    metadata,
    Column("event_id", Integer, ForeignKey("events.id"), primary_key=True),
    _column("salt", LargeBinary),
    _column("json", Text),
    _column("exact", Text, null=True),
    _column("wide", Text, null=True),
    Index("event_data_wide", "wide", sqlite_where=text("wide IS NOT NULL")),
    sqlite_strict=True,
)

# The one place where a known person's address stands in clear.
subjects = Table(
    "subjects",
    metadata,
    _id(),
    _column("exact", Text),
    _column("wide", Text),
    _column("address", Text, null=True),
    UniqueConstraint("exact", name="subjects_exact"),
    Index("subjects_wide", "wide"),
    sqlite_strict=True,
)

imports = Table(
    "imports",
    metadata,
    _id(),
    _column("kind", Text),
    _column("tenant_id", Integer),
    _column("list_id", Integer, null=True),
    _column("brand_id", Integer, null=True),
    _column("source_id", Integer, null=True),
    _column("at", REAL),
    _column("rows", Integer),
    _column("opted_out", Integer),
    _column("content", LargeBinary),
    _column("committed", Integer),
    _column("event_id", Integer, null=True),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# The evidence of each imported row; its commitment is part of the batch's content hash.
import_rows = Table(
    "import_rows",
    metadata,
    _column("import_id", Integer, ForeignKey("imports.id")),
    _column("line", Integer),
    _column("exact", Text),
    _column("wide", Text),
    _column("basis", Text),
    _column("at", REAL),
    _column("commit_hash", LargeBinary),
    _column("salt", LargeBinary, null=True),
    _column("json", Text, null=True),
    PrimaryKeyConstraint("import_id", "line"),
    Index("import_rows_wide", "wide"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

# Projection of the ledger: who said yes, at which scope. All facts stay; judgment decides.
consents = Table(
    "consents",
    metadata,
    _id(),
    _column("exact", Text),
    _column("wide", Text),
    _column("tenant_id", Integer),
    _column("brand_id", Integer, null=True),
    _column("list_id", Integer, null=True),
    _column("state", Text),
    _column("basis", Text),
    _column("own_act", Integer),
    _column("at", REAL),
    _column("expires_at", REAL, null=True),
    _column("event_id", Integer, null=True),
    _column("import_id", Integer, null=True),
    _column("automated", Integer),
    _column("used_at", REAL, null=True),
    Index("consents_exact", "exact", "tenant_id"),
    Index("consents_import", "import_id", sqlite_where=text("import_id IS NOT NULL")),
    sqlite_strict=True,
)

# Projection of the ledger: who said no. tenant_id NULL blocks everywhere.
suppressions = Table(
    "suppressions",
    metadata,
    _id(),
    _column("wide", Text),
    _column("tenant_id", Integer, null=True),
    _column("brand_id", Integer, null=True),
    _column("list_id", Integer, null=True),
    _column("state", Text),
    _column("at", REAL),
    _column("expires_at", REAL, null=True),
    _column("event_id", Integer, null=True),
    _column("import_id", Integer, null=True),
    _column("detail", Text),
    Index("suppressions_wide", "wide"),
    Index("suppressions_import", "import_id", sqlite_where=text("import_id IS NOT NULL")),
    sqlite_strict=True,
)

messages = Table(
    "messages",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    _column("at", REAL),
    _column("tenant_id", Integer),
    _column("list_id", Integer, null=True),
    _column("kind", Text),
    _column("declared", Integer),
    _column("mail_from", Text),
    _column("body_hash", LargeBinary),
    _column("body_size", Integer),
    _column("subject", Text),
    _column("from_address", Text),
    _column("smtputf8", Integer),
    _column("recipient_count", Integer),
    _column("ours", Integer),
    Index("messages_at", "at"),
    sqlite_strict=True,
)

# Content, only while a copy waits or is held. The octets come last: sums need not read them.
bodies = Table(
    "bodies",
    metadata,
    Column("message_id", Text, ForeignKey("messages.id"), primary_key=True, nullable=False),
    _column("tenant_id", Integer),
    _column("size", Integer),
    _column("in_file", Integer),
    _column("header", LargeBinary),
    _column("octets", LargeBinary, null=True),
    sqlite_strict=True,
)

# exact_address, wide_address and local are NULL where they follow from the columns before them.
copies = Table(
    "copies",
    metadata,
    _column("message_id", Text, ForeignKey("messages.id")),
    _column("seq", Integer),
    _column("tenant_id", Integer),
    _column("at", REAL),
    _column("state", Text),
    _column("next_at", REAL),
    _column("expires_at", REAL),
    _column("attempts", Integer),
    _column("wire", Text),
    _column("domain", Text),
    _column("local", Text, null=True),
    _column("exact_address", Text, null=True),
    _column("wide_address", Text, null=True),
    _column("exact", Text),
    _column("reason", Text, null=True),
    _column("rule", Text, null=True),
    _column("findings", Text, null=True),
    _column("digest", Text),
    _column("consent_event", Integer, null=True),
    _column("released_kind", Text, null=True),
    _column("last_reply", Text),
    PrimaryKeyConstraint("message_id", "seq"),
    Index(
        "copies_live",
        "state",
        "tenant_id",
        "at",
        sqlite_where=text("state IN ('waiting', 'held')"),
    ),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

personal_counts = Table(
    "personal_counts",
    metadata,
    _column("tenant_id", Integer),
    _column("day", Integer),
    _column("recipients", Integer),
    PrimaryKeyConstraint("tenant_id", "day"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

# Which notices a tenant has been sent, so that a restart repeats none.
notices = Table(
    "notices",
    metadata,
    _column("tenant_id", Integer),
    _column("kind", Text),
    _column("day", Integer),
    PrimaryKeyConstraint("tenant_id", "kind", "day"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

# What a person was shown when asked for consent; a consent points at the version shown (B7, B8).
notice_versions = Table(
    "notice_versions",
    metadata,
    _id(),
    _column("tenant_id", Integer),
    _column("list_id", Integer),
    _column("version", Integer),
    _column("language", Text),
    _column("digest", Text),
    _column("json", Text),
    _column("at", REAL),
    _column("event_id", Integer),
    UniqueConstraint("list_id", "version", name="notice_versions_version"),
    UniqueConstraint("list_id", "digest", name="notice_versions_digest"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# Requests for consent that wait for, or had, their confirmation. Evidence is in the ledger.
signups = Table(
    "signups",
    metadata,
    _id(),
    _column("nonce", Integer),
    _column("tenant_id", Integer),
    _column("list_id", Integer),
    _column("exact", Text),
    _column("wide", Text),
    _column("language", Text),
    _column("notice_id", Integer),
    _column("at", REAL),
    _column("network", Text),
    _column("form", Text),
    _column("state", Text),
    _column("event_id", Integer),
    _column("message_id", Text, null=True),
    _column("posted_at", REAL, null=True),
    _column("mailed_at", REAL, null=True),
    _column("mail_reply", Text),
    _column("fetched_at", REAL, null=True),
    _column("last_fetched_at", REAL, null=True),
    _column("fetches", Integer),
    _column("fetch_agent", Text),
    _column("fetch_network", Text),
    _column("confirmed_at", REAL, null=True),
    UniqueConstraint("nonce", name="signups_nonce"),
    Index("signups_wide", "wide", "at"),
    Index("signups_at", "at"),
    Index(
        "signups_open", "at", sqlite_where=text("state IN ('asked', 'posting', 'posted', 'mailed')")
    ),
    Index("signups_posted", "tenant_id", "posted_at"),
    Index("signups_posting", "posted_at", sqlite_where=text("state = 'posting'")),
    Index("signups_message", "message_id", sqlite_where=text("message_id IS NOT NULL")),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# Who was asked for from which client network in the last minute, for the cap on it.
signup_attempts = Table(
    "signup_attempts",
    metadata,
    _column("network", Text),
    _column("wide", Text),
    _column("at", REAL),
    PrimaryKeyConstraint("network", "wide"),
    Index("signup_attempts_at", "at"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

# Mail that we wrote to persons, for the caps on it.
person_mails = Table(
    "person_mails",
    metadata,
    _id(),
    _column("wide", Text),
    _column("tenant_id", Integer),
    _column("kind", Text),
    _column("at", REAL),
    Index("person_mails_at", "at"),
    Index("person_mails_tenant", "tenant_id", "at"),
    Index("person_mails_wide", "wide", "at"),
    sqlite_strict=True,
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _column("tenant_id", Integer, ForeignKey("tenants.id")),
    _column("name", Text),
    _column("secret_hash", LargeBinary),
    _column("created_at", REAL),
    UniqueConstraint("tenant_id", "name", name="api_keys_name"),
    UniqueConstraint("secret_hash", name="api_keys_secret"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# Answers already given to writes over the API, so that a repeated one acts once.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _column("tenant_id", Integer),
    _column("key", Text),
    _column("request", Text),
    _column("status", Integer, null=True),
    _column("body", Text, null=True),
    _column("at", REAL),
    PrimaryKeyConstraint("tenant_id", "key"),
    Index("idempotency_keys_at", "at"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

# Who accepted the terms of attested imports, for which content (A11).
acceptances = Table(
    "acceptances",
    metadata,
    _id(),
    _column("tenant_id", Integer),
    _column("list_id", Integer),
    _column("accepted_by", Text),
    _column("at", REAL),
    _column("terms_version", Text),
    _column("terms_digest", Text),
    _column("content_digest", Text),
    _column("event_id", Integer),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# The numbers that sources gave their signed consents, by keyed hash: each counts once (A10).
signed_consents = Table(
    "signed_consents",
    metadata,
    _column("source_id", Integer),
    _column("jti", Text),
    _column("content", Text),
    _column("tenant_id", Integer),
    _column("event_id", Integer),
    PrimaryKeyConstraint("source_id", "jti"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

# Where a tenant's software wants to be told.
webhooks = Table(
    "webhooks",
    metadata,
    _id(),
    _column("tenant_id", Integer, ForeignKey("tenants.id")),
    _column("url", Text),
    _column("secret", Text),
    _column("created_at", REAL),
    UniqueConstraint("tenant_id", "url", name="webhooks_url"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# What still has to be told; written in the transaction of the event itself.
outbox = Table(
    "outbox",
    metadata,
    _id(),
    _column("tenant_id", Integer),
    _column("kind", Text),
    _column("webhook_id", Integer, null=True),
    _column("lane", Text),
    _column("url", Text),
    _column("exact", Text, null=True),
    _column("json", Text),
    _column("state", Text),
    _column("attempts", Integer),
    _column("created_at", REAL),
    _column("next_at", REAL),
    _column("last_answer", Text),
    Index("outbox_due", "tenant_id", "lane", "next_at", sqlite_where=text("state = 'waiting'")),
    Index("outbox_exact", "exact", sqlite_where=text("exact IS NOT NULL")),
    Index("outbox_age", "created_at", sqlite_where=text("state = 'waiting'")),
    Index("outbox_dead", "created_at", "tenant_id", sqlite_where=text("state = 'dead'")),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# One-click addresses that senders' own mail carried, to pass opt-outs on to (60 days).
one_click_urls = Table(
    "one_click_urls",
    metadata,
    _column("tenant_id", Integer),
    _column("wide", Text),
    _column("exact", Text),
    _column("list_id", Integer),
    _column("url", Text),
    _column("at", REAL),
    PrimaryKeyConstraint("tenant_id", "wide", "exact", "list_id"),
    Index("one_click_urls_at", "at"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

# Doors for the webhooks of other software.
inbound_hooks = Table(
    "inbound_hooks",
    metadata,
    _id(),
    _column("tenant_id", Integer, ForeignKey("tenants.id")),
    _column("list_id", Integer, null=True),
    _column("format", Text),
    _column("name", Text),
    _column("secret_hash", LargeBinary),
    _column("created_at", REAL),
    UniqueConstraint("tenant_id", "name", name="inbound_hooks_name"),
    UniqueConstraint("secret_hash", name="inbound_hooks_secret"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

# Persons who were erased, by keyed hash: nothing about them is stored again. Tenant 0: everywhere.
erasures = Table(
    "erasures",
    metadata,
    _column("wide", Text),
    _column("tenant_id", Integer),
    _column("at", REAL),
    _column("event_id", Integer),
    _column("remaining", Text),
    _column("scrub_at", REAL, null=True),
    PrimaryKeyConstraint("wide", "tenant_id"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

# Takes up free pages for a moment, so that what stood on them is overwritten.
filler = Table(
    "filler",
    metadata,
    _id(),
    _column("octets", LargeBinary),
    sqlite_strict=True,
)
