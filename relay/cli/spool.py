"""``spool``: mail that waits."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.caller import ask, ask_all
from relay.cli.output import AsJson, say, show_json, show_rows

group = typer.Typer(help="Mail that waits for its next attempt.", rich_markup_mode=None)

Ids = Annotated[list[str], typer.Argument(metavar="ID…")]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="spool")


@group.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """What waits, oldest first, with why and when next."""
    rows = ask_all(context, "spool.list", {})
    columns = ("id", "time", "tenant", "list", "from", "to", "subject", "why", "next")
    show_rows(rows, columns, as_json)


@group.command("retry")
def retry(context: typer.Context, ids: Ids, as_json: AsJson = False) -> None:
    """Try these copies now."""
    tried = ask(context, "spool.retry", {"ids": ids})
    if as_json:
        show_json(tried)
    say(f"{len(tried)} to be tried now")


@group.command("delete")
def delete(context: typer.Context, ids: Ids, as_json: AsJson = False) -> None:
    """Delete waiting copies for good; nobody is told."""
    deleted = ask(context, "spool.delete", {"ids": ids})
    if as_json:
        show_json(deleted)
    say(f"{len(deleted)} deleted")
