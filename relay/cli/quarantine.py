"""``quarantine``: held mail."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.caller import ask, ask_all
from relay.cli.output import AsJson, printable, say, show_json, show_record, show_rows
from relay.model import Reason
from relay.operate.choices import ReleaseKind

group = typer.Typer(help="Held mail.", rich_markup_mode=None)

Ids = Annotated[list[str], typer.Argument(metavar="ID…")]


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="quarantine")


@group.command("list")
def list_(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option(metavar="TENANT")] = None,
    reason: Annotated[Reason | None, typer.Option(metavar="REASON")] = None,
    as_json: AsJson = False,
) -> None:
    """What is held, oldest first."""
    rows = ask_all(context, "quarantine.list", {"tenant": tenant, "reason": reason})
    columns = ("id", "time", "tenant", "list", "from", "to", "subject", "reason")
    show_rows(rows, columns, as_json)


@group.command("show")
def show(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """One held copy: envelope, reason, rule and header block."""
    record = ask(context, "quarantine.show", {"id": id_})
    if as_json:
        show_json(record)
        return
    header = record.pop("header")
    show_record(record, False)
    print()
    print("\n".join(printable(line.expandtabs()) for line in header.splitlines()))


@group.command("release")
def release(
    context: typer.Context,
    ids: Ids,
    kind: Annotated[
        ReleaseKind | None, typer.Option(help="What a person has seen that it is.")
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the record.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge held mail again, as the kind you set; never past an opt-out for commercial mail."""
    if kind is not None and not (reason or "").strip():
        raise typer.BadParameter("--kind wants --reason TEXT, for the record")
    released = ask(
        context, "quarantine.release", {"ids": ids, "kind": kind, "reason": reason or ""}
    )
    show_rows(released, ("id", "released", "action", "reason", "rule"), as_json)
    if not all(row["released"] for row in released):
        say("not all of it passes; what does not is held as before")
        raise typer.Exit(1)


@group.command("delete")
def delete(context: typer.Context, ids: Ids, as_json: AsJson = False) -> None:
    """Delete held copies for good."""
    deleted = ask(context, "quarantine.delete", {"ids": ids})
    if as_json:
        show_json(deleted)
    say(f"{len(deleted)} deleted")
