"""Brings an opened store to this release's schema."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from relay.ports import StoreTrouble

SCRIPTS: Final = Path(__file__).parent / "migrations"


def migrate(connection: Connection) -> None:
    """Run all missing migrations inside the caller's transaction.

    Raises StoreTrouble when the store was made by a newer release.
    """
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    # Tells SQLAlchemy of the transaction that the writer began, or Alembic would commit it.
    connection.begin()
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreTrouble(f"the store was made by another release: {error}") from error
