"""``credential``: how clients prove who they are."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.caller import ask
from relay.cli.output import AsJson, say, show_json, show_record, show_rows

group = typer.Typer(help="How clients prove who they are.", rich_markup_mode=None)


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="credential")


@group.command("add")
def add(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Argument(metavar="TENANT")] = None,
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None,
    list_: Annotated[
        str | None, typer.Option("--list", metavar="LIST", help="Bind it to one list.")
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Admit clients from here without a password."),
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="An MTA of the operator that carries many tenants."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a credential; user name and secret are shown once."""
    # The shapes are told apart here: a gateway has a name and no tenant.
    if gateway is None and (tenant is None or name is None):
        raise typer.BadParameter("give TENANT NAME, or --gateway NAME")
    if gateway is not None and (tenant is not None or list_ is not None):
        raise typer.BadParameter("a gateway has neither TENANT nor --list")
    made = ask(
        context,
        "credential.add",
        {
            "tenant": tenant,
            "name": gateway or name,
            "list": list_,
            "networks": network or [],
            "gateway": gateway is not None,
        },
    )
    show_record(made, as_json)
    say("the secret is not shown again")


@group.command("list")
def list_command(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Argument(metavar="TENANT")] = None,
    as_json: AsJson = False,
) -> None:
    """All credentials, or those of one tenant; never secrets."""
    rows = ask(context, "credential.list", {"tenant": tenant})
    show_rows(rows, ("username", "tenant", "list", "gateway", "networks"), as_json)


@group.command("revoke")
def revoke(
    context: typer.Context,
    username: Annotated[str, typer.Argument(metavar="USERNAME")],
    as_json: AsJson = False,
) -> None:
    """Take a credential away; in force at once."""
    revoked = ask(context, "credential.revoke", {"username": username})
    if as_json:
        show_json(revoked)
    say(f"{username} is revoked")
