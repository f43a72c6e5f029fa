"""The first tables.

The statements stand here in full, so that a later change of ``schema.py`` cannot change history.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: str = "0001"
down_revision: str | None = None

STATEMENTS: Final = (
    """
    CREATE TABLE consents (
        id INTEGER NOT NULL,
        exact TEXT NOT NULL,
        wide TEXT NOT NULL,
        tenant_id INTEGER NOT NULL,
        brand_id INTEGER,
        list_id INTEGER,
        state TEXT NOT NULL,
        basis TEXT NOT NULL,
        own_act INTEGER NOT NULL,
        at REAL NOT NULL,
        expires_at REAL,
        event_id INTEGER,
        import_id INTEGER,
        PRIMARY KEY (id)
    )
     STRICT
    """,
    """
    CREATE INDEX consents_exact ON consents (exact, tenant_id)
    """,
    """
    CREATE INDEX consents_import ON consents (import_id) WHERE import_id IS NOT NULL
    """,
    """
    CREATE TABLE events (
        id INTEGER NOT NULL,
        tenant_id INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        t INTEGER NOT NULL,
        type TEXT NOT NULL,
        commit_hash BLOB NOT NULL,
        prev BLOB NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT events_chain UNIQUE (tenant_id, seq)
    )
     STRICT
    """,
    """
    CREATE TABLE imports (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        tenant_id INTEGER NOT NULL,
        list_id INTEGER,
        brand_id INTEGER,
        source_id INTEGER,
        at REAL NOT NULL,
        rows INTEGER NOT NULL,
        opted_out INTEGER NOT NULL,
        content BLOB NOT NULL,
        committed INTEGER NOT NULL,
        event_id INTEGER
    )
     STRICT
    """,
    """
    CREATE TABLE messages (
        id TEXT NOT NULL,
        at REAL NOT NULL,
        tenant_id INTEGER NOT NULL,
        list_id INTEGER,
        kind TEXT NOT NULL,
        declared INTEGER NOT NULL,
        mail_from TEXT NOT NULL,
        body_hash BLOB NOT NULL,
        body_size INTEGER NOT NULL,
        subject TEXT NOT NULL,
        from_address TEXT NOT NULL,
        smtputf8 INTEGER NOT NULL,
        recipient_count INTEGER NOT NULL,
        PRIMARY KEY (id)
    )
     STRICT
    """,
    """
    CREATE INDEX messages_at ON messages (at)
    """,
    """
    CREATE TABLE personal_counts (
        tenant_id INTEGER NOT NULL,
        day INTEGER NOT NULL,
        recipients INTEGER NOT NULL,
        PRIMARY KEY (tenant_id, day)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """
    CREATE TABLE sources (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        slug TEXT NOT NULL,
        approved INTEGER NOT NULL,
        public_key TEXT,
        CONSTRAINT sources_slug UNIQUE (slug)
    )
     STRICT
    """,
    """
    CREATE TABLE subjects (
        id INTEGER NOT NULL,
        exact TEXT NOT NULL,
        wide TEXT NOT NULL,
        address TEXT,
        PRIMARY KEY (id),
        CONSTRAINT subjects_exact UNIQUE (exact)
    )
     STRICT
    """,
    """
    CREATE INDEX subjects_wide ON subjects (wide)
    """,
    """
    CREATE TABLE suppressions (
        id INTEGER NOT NULL,
        wide TEXT NOT NULL,
        tenant_id INTEGER,
        brand_id INTEGER,
        list_id INTEGER,
        state TEXT NOT NULL,
        at REAL NOT NULL,
        expires_at REAL,
        event_id INTEGER,
        import_id INTEGER,
        detail TEXT NOT NULL,
        PRIMARY KEY (id)
    )
     STRICT
    """,
    """
    CREATE INDEX suppressions_import ON suppressions (import_id) WHERE import_id IS NOT NULL
    """,
    """
    CREATE INDEX suppressions_wide ON suppressions (wide)
    """,
    """
    CREATE TABLE tenants (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        slug TEXT NOT NULL,
        name TEXT NOT NULL,
        postal_address TEXT NOT NULL,
        contact TEXT NOT NULL,
        registration TEXT,
        state TEXT NOT NULL,
        state_reason TEXT NOT NULL,
        mode TEXT NOT NULL,
        rulebooks TEXT NOT NULL,
        is_operator INTEGER NOT NULL,
        action TEXT NOT NULL,
        attested_admitted INTEGER NOT NULL,
        rate TEXT,
        personal_per_day INTEGER,
        CONSTRAINT tenants_slug UNIQUE (slug)
    )
     STRICT
    """,
    """
    CREATE TABLE bodies (
        message_id TEXT NOT NULL,
        tenant_id INTEGER NOT NULL,
        size INTEGER NOT NULL,
        in_file INTEGER NOT NULL,
        header BLOB NOT NULL,
        octets BLOB,
        PRIMARY KEY (message_id),
        FOREIGN KEY(message_id) REFERENCES messages (id)
    )
     STRICT
    """,
    """
    CREATE TABLE brands (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL,
        slug TEXT NOT NULL,
        name TEXT NOT NULL,
        CONSTRAINT brands_slug UNIQUE (tenant_id, slug),
        FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
     STRICT
    """,
    """
    CREATE TABLE copies (
        message_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        tenant_id INTEGER NOT NULL,
        at REAL NOT NULL,
        state TEXT NOT NULL,
        next_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        attempts INTEGER NOT NULL,
        wire TEXT NOT NULL,
        domain TEXT NOT NULL,
        local TEXT,
        exact_address TEXT,
        wide_address TEXT,
        exact TEXT NOT NULL,
        reason TEXT,
        rule TEXT,
        findings TEXT,
        digest TEXT NOT NULL,
        consent_event INTEGER,
        released_kind TEXT,
        last_reply TEXT NOT NULL,
        PRIMARY KEY (message_id, seq),
        FOREIGN KEY(message_id) REFERENCES messages (id)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """
    CREATE INDEX copies_live ON copies (state, tenant_id, at) WHERE state IN ('waiting', 'held')
    """,
    """
    CREATE TABLE domains (
        domain TEXT NOT NULL,
        tenant_id INTEGER NOT NULL,
        selector TEXT NOT NULL,
        PRIMARY KEY (domain),
        FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
     STRICT
    """,
    """
    CREATE TABLE event_data (
        event_id INTEGER NOT NULL,
        salt BLOB NOT NULL,
        json TEXT NOT NULL,
        exact TEXT,
        wide TEXT,
        PRIMARY KEY (event_id),
        FOREIGN KEY(event_id) REFERENCES events (id)
    )
     STRICT
    """,
    """
    CREATE INDEX event_data_wide ON event_data (wide) WHERE wide IS NOT NULL
    """,
    """
    CREATE TABLE import_rows (
        import_id INTEGER NOT NULL,
        line INTEGER NOT NULL,
        exact TEXT NOT NULL,
        wide TEXT NOT NULL,
        basis TEXT NOT NULL,
        at REAL NOT NULL,
        commit_hash BLOB NOT NULL,
        salt BLOB,
        json TEXT,
        PRIMARY KEY (import_id, line),
        FOREIGN KEY(import_id) REFERENCES imports (id)
    )
     WITHOUT ROWID,
     STRICT
    """,
    """
    CREATE INDEX import_rows_wide ON import_rows (wide)
    """,
    """
    CREATE TABLE lists (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL,
        slug TEXT NOT NULL,
        kind TEXT NOT NULL,
        purpose TEXT NOT NULL,
        promise TEXT NOT NULL,
        brand_id INTEGER,
        consent_scope TEXT NOT NULL,
        from_address TEXT,
        list_id TEXT,
        action TEXT,
        list_headers_ok INTEGER NOT NULL,
        third_parties TEXT NOT NULL,
        archived INTEGER NOT NULL,
        CONSTRAINT lists_slug UNIQUE (tenant_id, slug),
        CONSTRAINT lists_from_address UNIQUE (tenant_id, from_address),
        CONSTRAINT lists_list_id UNIQUE (tenant_id, list_id),
        FOREIGN KEY(tenant_id) REFERENCES tenants (id),
        FOREIGN KEY(brand_id) REFERENCES brands (id)
    )
     STRICT
    """,
    """
    CREATE TABLE credentials (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        username TEXT NOT NULL,
        tenant_id INTEGER,
        list_id INTEGER,
        gateway INTEGER NOT NULL,
        networks TEXT NOT NULL,
        secret_hash BLOB,
        CONSTRAINT credentials_username UNIQUE (username),
        FOREIGN KEY(tenant_id) REFERENCES tenants (id),
        FOREIGN KEY(list_id) REFERENCES lists (id)
    )
     STRICT
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
