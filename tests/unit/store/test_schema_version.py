"""What the migrations make is what ``schema.py`` says."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from relay.store import Store
from relay.store.schema import metadata
from relay.store.sqlite.transaction import Transaction


async def test_migrations_make_the_schema(store: Store) -> None:
    def work(tx: Transaction) -> object:
        return compare_metadata(MigrationContext.configure(tx.connection), metadata)

    assert await store.writer.write(work) == []


async def test_every_table_is_strict(store: Store) -> None:
    def work(tx: Transaction) -> set[tuple[str, int]]:
        rows = tx.raw.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table'")
        return {row for row in rows if not row[0].startswith("sqlite_")}

    tables = await store.writer.write(work)
    assert {name for name, strict in tables if not strict} == {"alembic_version"}
    assert {name for name, _ in tables} - {"alembic_version"} == set(metadata.tables)
