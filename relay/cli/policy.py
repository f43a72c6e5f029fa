"""``policy``: the rulebooks."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.output import AsJson, show_json, show_rows
from relay.operate import policies

group = typer.Typer(help="The rulebooks.", rich_markup_mode=None)


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="policy")


@group.command("check")
def check(as_json: AsJson = False) -> None:
    """Validate every rulebook and run its examples."""
    books = policies.listing()
    if as_json:
        show_json({"ok": True, "rulebooks": books})
    else:
        for book in books:
            print(f"{book['name']}: {book['rules']} rules, {book['examples']} examples, good")


@group.command("show")
def show(name: Annotated[str, typer.Argument(metavar="NAME")], as_json: AsJson = False) -> None:
    """One rulebook as it stands."""
    book = policies.show(name)
    if as_json:
        show_json(book)
    else:
        print(book["text"], end="")


@group.command("list")
def list_(as_json: AsJson = False) -> None:
    """All rulebooks."""
    show_rows(policies.listing(), ("name", "version", "title", "rules", "examples"), as_json)
