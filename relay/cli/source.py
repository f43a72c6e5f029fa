"""``source``: systems that collect consent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relay.cli.caller import ask
from relay.cli.output import AsJson, show_record, show_rows
from relay.operate.errors import OperationError

group = typer.Typer(help="Systems that collect consent.", rich_markup_mode=None)


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="source")


@group.command("add")
def add(
    context: typer.Context,
    slug: Annotated[str, typer.Argument(metavar="SLUG")],
    approved: Annotated[
        bool, typer.Option("--approved/--not-approved", help="Approved by the operator or not.")
    ],
    public_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM; verifies what the source signs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a source of consent."""
    pem = None
    if public_key is not None:
        try:
            pem = public_key.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise OperationError(f"{public_key} cannot be read: {error}", status=2) from error
    made = ask(context, "source.add", {"slug": slug, "approved": approved, "public_key": pem})
    show_record(made, as_json)


@group.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """All sources."""
    show_rows(ask(context, "source.list", {}), ("slug", "approved", "public_key"), as_json)
