"""The life of a consent: notices shown, requests, the API, what is told to whom, erasure."""

from __future__ import annotations

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"

TABLES = (
    """
    CREATE TABLE notice_versions (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL,
        list_id INTEGER NOT NULL,
        version INTEGER NOT NULL,
        language TEXT NOT NULL,
        digest TEXT NOT NULL,
        json TEXT NOT NULL,
        at REAL NOT NULL,
        event_id INTEGER NOT NULL,
        CONSTRAINT notice_versions_version UNIQUE (list_id, version),
        CONSTRAINT notice_versions_digest UNIQUE (list_id, digest)
    )
     STRICT
    """,
    """
    CREATE TABLE signups (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        nonce INTEGER NOT NULL,
        tenant_id INTEGER NOT NULL,
        list_id INTEGER NOT NULL,
        exact TEXT NOT NULL,
        wide TEXT NOT NULL,
        language TEXT NOT NULL,
        notice_id INTEGER NOT NULL,
        at REAL NOT NULL,
        network TEXT NOT NULL,
        form TEXT NOT NULL,
        state TEXT NOT NULL,
        event_id INTEGER NOT NULL,
        message_id TEXT,
        posted_at REAL,
        mailed_at REAL,
        mail_reply TEXT NOT NULL,
        fetched_at REAL,
        last_fetched_at REAL,
        fetches INTEGER NOT NULL,
        fetch_agent TEXT NOT NULL,
        fetch_network TEXT NOT NULL,
        confirmed_at REAL,
        CONSTRAINT signups_nonce UNIQUE (nonce)
    )
     STRICT
    """,
    "CREATE INDEX signups_at ON signups (at)",
    "CREATE INDEX signups_message ON signups (message_id) WHERE message_id IS NOT NULL",
    "CREATE INDEX signups_open ON signups (at)"
    " WHERE state IN ('asked', 'posting', 'posted', 'mailed')",
    "CREATE INDEX signups_posted ON signups (tenant_id, posted_at)",
    "CREATE INDEX signups_posting ON signups (posted_at) WHERE state = 'posting'",
    "CREATE INDEX signups_wide ON signups (wide, at)",
    """
    CREATE TABLE signup_attempts (
        network TEXT NOT NULL,
        wide TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (network, wide)
    )
     WITHOUT ROWID,
     STRICT
    """,
    "CREATE INDEX signup_attempts_at ON signup_attempts (at)",
    """
    CREATE TABLE person_mails (
        id INTEGER NOT NULL,
        wide TEXT NOT NULL,
        tenant_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (id)
    )
     STRICT
    """,
    "CREATE INDEX person_mails_at ON person_mails (at)",
    "CREATE INDEX person_mails_tenant ON person_mails (tenant_id, at)",
    "CREATE INDEX person_mails_wide ON person_mails (wide, at)",
    """
    CREATE TABLE api_keys (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        secret_hash BLOB NOT NULL,
        created_at REAL NOT NULL,
        CONSTRAINT api_keys_name UNIQUE (tenant_id, name),
        CONSTRAINT api_keys_secret UNIQUE (secret_hash),
        FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
     STRICT
    """,
    """
    CREATE TABLE idempotency_keys (
        tenant_id INTEGER NOT NULL,
        "key" TEXT NOT NULL,
        request TEXT NOT NULL,
        status INTEGER,
        body TEXT,
        at REAL NOT NULL,
        PRIMARY KEY (tenant_id, "key")
    )
     WITHOUT ROWID,
     STRICT
    """,
    "CREATE INDEX idempotency_keys_at ON idempotency_keys (at)",
    """
    CREATE TABLE acceptances (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL,
        list_id INTEGER NOT NULL,
        accepted_by TEXT NOT NULL,
        at REAL NOT NULL,
        terms_version TEXT NOT NULL,
        terms_digest TEXT NOT NULL,
        content_digest TEXT NOT NULL,
        event_id INTEGER NOT NULL
    )
     STRICT
    """,
    """
    CREATE TABLE signed_consents (
        source_id INTEGER NOT NULL,
        jti TEXT NOT NULL,
        content TEXT NOT NULL,
        tenant_id INTEGER NOT NULL,
        event_id INTEGER NOT NULL,
        PRIMARY KEY (source_id, jti)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """
    CREATE TABLE webhooks (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL,
        url TEXT NOT NULL,
        secret TEXT NOT NULL,
        created_at REAL NOT NULL,
        CONSTRAINT webhooks_url UNIQUE (tenant_id, url),
        FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
     STRICT
    """,
    """
    CREATE TABLE outbox (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        webhook_id INTEGER,
        lane TEXT NOT NULL,
        url TEXT NOT NULL,
        exact TEXT,
        json TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        created_at REAL NOT NULL,
        next_at REAL NOT NULL,
        last_answer TEXT NOT NULL
    )
     STRICT
    """,
    "CREATE INDEX outbox_due ON outbox (tenant_id, lane, next_at) WHERE state = 'waiting'",
    "CREATE INDEX outbox_exact ON outbox (exact) WHERE exact IS NOT NULL",
    "CREATE INDEX outbox_age ON outbox (created_at) WHERE state = 'waiting'",
    "CREATE INDEX outbox_dead ON outbox (created_at, tenant_id) WHERE state = 'dead'",
    """
    CREATE TABLE one_click_urls (
        tenant_id INTEGER NOT NULL,
        wide TEXT NOT NULL,
        exact TEXT NOT NULL,
        list_id INTEGER NOT NULL,
        url TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (tenant_id, wide, exact, list_id)
    )
     WITHOUT ROWID,
     STRICT
    """,
    "CREATE INDEX one_click_urls_at ON one_click_urls (at)",
    """
    CREATE TABLE inbound_hooks (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL,
        list_id INTEGER,
        format TEXT NOT NULL,
        name TEXT NOT NULL,
        secret_hash BLOB NOT NULL,
        created_at REAL NOT NULL,
        CONSTRAINT inbound_hooks_name UNIQUE (tenant_id, name),
        CONSTRAINT inbound_hooks_secret UNIQUE (secret_hash),
        FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
     STRICT
    """,
    """
    CREATE TABLE erasures (
        wide TEXT NOT NULL,
        tenant_id INTEGER NOT NULL,
        at REAL NOT NULL,
        event_id INTEGER NOT NULL,
        remaining TEXT NOT NULL,
        scrub_at REAL,
        PRIMARY KEY (wide, tenant_id)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """
    CREATE TABLE filler (
        id INTEGER NOT NULL,
        octets BLOB NOT NULL,
        PRIMARY KEY (id)
    )
     STRICT
    """,
)


def upgrade() -> None:
    """Add columns and tables."""
    op.execute("ALTER TABLE consents ADD COLUMN automated INTEGER NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE consents ADD COLUMN used_at REAL")
    op.execute("ALTER TABLE messages ADD COLUMN ours INTEGER NOT NULL DEFAULT 0")
    op.execute(
        "CREATE INDEX events_gaps ON events (tenant_id, seq) WHERE type = 'ledger.discontinuity'"
    )
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Take them away."""
    for statement in reversed(TABLES):
        if "CREATE TABLE" in statement:
            op.execute(f"DROP TABLE {statement.split()[2]}")
    op.execute("DROP INDEX events_gaps")
    op.execute("ALTER TABLE messages DROP COLUMN ours")
    op.execute("ALTER TABLE consents DROP COLUMN used_at")
    op.execute("ALTER TABLE consents DROP COLUMN automated")
