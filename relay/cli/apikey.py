"""``apikey``: how a tenant's software proves itself at the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.caller import ask
from relay.cli.output import AsJson, say, show_json, show_record, show_rows

group = typer.Typer(help="Keys of the HTTP API.", rich_markup_mode=None)

Tenant = Annotated[str, typer.Argument(metavar="TENANT")]
Name = Annotated[str, typer.Argument(metavar="NAME")]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="apikey")


@group.command("add")
def add(context: typer.Context, tenant: Tenant, name: Name, as_json: AsJson = False) -> None:
    """Make a key for one tenant's software; it is shown once."""
    made = ask(context, "apikey.add", {"tenant": tenant, "name": name})
    show_record(made, as_json)
    say("the key is not shown again")


@group.command("list")
def list_command(context: typer.Context, tenant: Tenant, as_json: AsJson = False) -> None:
    """A tenant's keys; never their secrets."""
    rows = ask(context, "apikey.list", {"tenant": tenant})
    show_rows(rows, ("name", "tenant", "created"), as_json)


@group.command("revoke")
def revoke(context: typer.Context, tenant: Tenant, name: Name, as_json: AsJson = False) -> None:
    """Take a key away; in force at once."""
    revoked = ask(context, "apikey.revoke", {"tenant": tenant, "name": name})
    if as_json:
        show_json(revoked)
    say(f"{name} is revoked")
