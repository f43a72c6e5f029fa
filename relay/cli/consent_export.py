"""``consent export``: what is on record about one person, with what proves it."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.caller import within
from relay.cli.consent import consent
from relay.cli.output import AsJson, say
from relay.cli.proof_file import Output, put
from relay.operate.session import Session


def register(_program: typer.Typer) -> None:
    """Add the command to its group."""
    consent.command("export")(export)


def export(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS")],
    tenant: Annotated[str | None, typer.Option(metavar="TENANT")] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Everything on record about one person, with what proves it: one JSON document, with or
    without --json.

    `ledger verifier` prints the script that checks it.
    """
    asked = {"address": address, "tenant": tenant}

    async def stream(session: Session) -> bool:
        await put(session.stream("consent.export", asked), output)
        record = await session.call("consent.show", asked)
        return isinstance(record, dict) and bool(record["timeline"])

    if not within(context, stream):
        say(f"nothing is on record about {address}")
        raise typer.Exit(1)
