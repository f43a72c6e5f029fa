"""``source``: systems that collect consent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from relay.cli.caller import ask, given_only
from relay.cli.output import AsJson, show_record, show_rows
from relay.operate.errors import OperationError

group = typer.Typer(help="Systems that collect consent.", rich_markup_mode=None)

Slug = Annotated[str, typer.Argument(metavar="SLUG")]
PublicKey = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Ed25519 key that verifies what the source signs: PEM, JWK, or base64. Several PEM"
        " blocks while a key is being replaced.",
    ),
]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="source")


@group.command("add")
def add(
    context: typer.Context,
    slug: Slug,
    approved: Annotated[
        bool, typer.Option("--approved/--not-approved", help="Approved by the operator or not.")
    ],
    public_key: PublicKey = None,
    as_json: AsJson = False,
) -> None:
    """Add a source of consent."""
    parameters = {"slug": slug, "approved": approved, "public_key": _text(public_key)}
    _show(ask(context, "source.add", parameters), as_json)


@group.command("set")
def set_(
    context: typer.Context,
    slug: Slug,
    approved: Annotated[
        bool | None, typer.Option("--approved/--not-approved", help="Approved or not any more.")
    ] = None,
    public_key: PublicKey = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named, leave the rest; in force at once."""
    options = given_only(approved=approved, public_key=_text(public_key))
    _show(ask(context, "source.set", {"slug": slug, **dict(options)}), as_json)


@group.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """All sources."""
    show_rows(ask(context, "source.list", {}), ("slug", "approved", "fingerprints"), as_json)


def _show(source: dict[str, Any], as_json: bool) -> None:
    # A person compares fingerprints; the key itself is many lines.
    hidden = () if as_json else ("public_key",)
    show_record({name: value for name, value in source.items() if name not in hidden}, as_json)


def _text(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text("ascii")
    except OSError as error:
        raise OperationError(f"{file} cannot be read: {error.strerror}", status=2) from error
    except UnicodeDecodeError as error:
        raise OperationError(f"{file} is no key in PEM: it is not ASCII", status=2) from error
