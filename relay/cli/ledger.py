"""``ledger``: the record of consent, and whether it is whole."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from relay.cli.caller import ask, within
from relay.cli.output import AsJson, say, show_json
from relay.operate.session import Session

group = typer.Typer(help="The record of consent.", rich_markup_mode=None)


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(group, name="ledger")


@group.command("verify")
def verify(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option(metavar="TENANT")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the hash chains; exit 1 with the first broken event when one does not hold."""
    report = ask(context, "ledger.verify", {"tenant": tenant})
    broken = report["broken"]
    if as_json:
        show_json(report)
    elif broken is None:
        print(f"{report['events']} events, {report['erased']} of them erased: the chain holds")
    else:
        print(f"broken at event {broken['seq']} of {broken['tenant']}: {broken['why']}")
    if not report["ok"]:
        say("the ledger does not hold: keep this store as it is, and restore a backup elsewhere")
        raise typer.Exit(1)


@group.command("export")
def export(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(metavar="TENANT")],
    as_json: AsJson = False,
) -> None:
    """All events of a tenant: one JSON object a line, or one array with --json."""

    async def stream(session: Session) -> None:
        separator = "[" if as_json else ""
        async for event in session.stream("ledger.export", {"tenant": tenant}):
            print(separator + json.dumps(event, ensure_ascii=False), end="")
            separator = ",\n" if as_json else "\n"
        if as_json:
            print("[]" if separator == "[" else "]")
        elif separator:
            print()

    within(context, stream)
