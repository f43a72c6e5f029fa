"""Alembic runs this; the connection comes from ``relay.store.schema_version``."""

from __future__ import annotations

from alembic import context

from relay.store.schema import metadata

# The caller has begun the transaction: a migration is whole or not at all.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,
    render_as_batch=True,
)
context.run_migrations()
