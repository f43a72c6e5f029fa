"""``hook``: where other software tells who left."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.caller import ask
from relay.cli.output import AsJson, say, show_json, show_record, show_rows
from relay.decide.hook_formats import HookFormat

group = typer.Typer(
    help="Webhooks by which a tenant's software tells who left.", rich_markup_mode=None
)

Tenant = Annotated[str, typer.Argument(metavar="TENANT")]
Name = Annotated[str, typer.Argument(metavar="NAME")]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="hook")


@group.command("add")
def add(
    context: typer.Context,
    tenant: Tenant,
    name: Name,
    format_: Annotated[HookFormat, typer.Option("--format", help="Whose webhooks they are.")],
    list_: Annotated[
        str | None,
        typer.Option("--list", metavar="LIST", help="From what covers this list; else from all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a hook; its URL is shown once."""
    parameters = {"tenant": tenant, "name": name, "format": format_, "list": list_}
    show_record(ask(context, "hook.add", parameters), as_json)
    say("the URL is the secret, and is not shown again")


@group.command("list")
def list_command(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Argument(metavar="TENANT")] = None,
    as_json: AsJson = False,
) -> None:
    """All hooks, or those of one tenant; never their URLs."""
    rows = ask(context, "hook.list", {"tenant": tenant})
    show_rows(rows, ("tenant", "name", "format", "list", "created"), as_json)


@group.command("remove")
def remove(context: typer.Context, tenant: Tenant, name: Name, as_json: AsJson = False) -> None:
    """Close a hook; what it brought in stays on record."""
    removed = ask(context, "hook.remove", {"tenant": tenant, "name": name})
    if as_json:
        show_json(removed)
    say(f"hook {name} of {tenant} is removed")
