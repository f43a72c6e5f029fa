"""``webhook``: where a tenant's software is told."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.caller import ask
from relay.cli.output import AsJson, counted, say, show_json, show_record, show_rows

group = typer.Typer(help="Where tenants' software is told of opt-outs.", rich_markup_mode=None)

Tenant = Annotated[str, typer.Argument(metavar="TENANT")]
Url = Annotated[str, typer.Argument(metavar="URL")]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="webhook")


@group.command("add")
def add(context: typer.Context, tenant: Tenant, url: Url, as_json: AsJson = False) -> None:
    """Tell URL of every opt-out and consent from now on; the signing secret is shown once."""
    show_record(ask(context, "webhook.add", {"tenant": tenant, "url": url}), as_json)
    say("the secret is not shown again")


@group.command("list")
def list_command(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Argument(metavar="TENANT")] = None,
    as_json: AsJson = False,
) -> None:
    """All webhooks, or those of one tenant; never secrets."""
    rows = ask(context, "webhook.list", {"tenant": tenant})
    show_rows(rows, ("tenant", "url", "since"), as_json)


@group.command("remove")
def remove(context: typer.Context, tenant: Tenant, url: Url, as_json: AsJson = False) -> None:
    """Tell URL nothing any more, not even what waits."""
    gone = ask(context, "webhook.remove", {"tenant": tenant, "url": url})
    if as_json:
        show_json(gone)
    say(f"{url} is removed")


@group.command("dead")
def dead(context: typer.Context, tenant: Tenant, as_json: AsJson = False) -> None:
    """What could not be told, and why; the oldest 1,000."""
    rows = ask(context, "webhook.dead", {"tenant": tenant})
    show_rows(rows, ("time", "kind", "host", "type", "attempts", "answer"), as_json)


@group.command("retry")
def retry(context: typer.Context, tenant: Tenant, as_json: AsJson = False) -> None:
    """Send again what was given up or waits for its next attempt."""
    done = ask(context, "webhook.retry", {"tenant": tenant})
    if as_json:
        show_json(done)
    say(f"sent again: {counted(done['retried'], 'notice')}")
