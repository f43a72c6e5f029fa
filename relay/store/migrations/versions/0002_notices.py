"""Which notices a tenant has been sent, so that a restart repeats none."""

from __future__ import annotations

from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Make the table."""
    op.execute(
        """
        CREATE TABLE notices (
            tenant_id INTEGER NOT NULL,
            kind TEXT NOT NULL,
            day INTEGER NOT NULL,
            PRIMARY KEY (tenant_id, kind, day)
        )
        WITHOUT ROWID, STRICT
        """
    )


def downgrade() -> None:
    """Take it away."""
    op.execute("DROP TABLE notices")
