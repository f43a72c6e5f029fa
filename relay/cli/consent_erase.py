"""``consent erase``: a person's address goes, the opt-out stays."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from relay.cli.caller import ask
from relay.cli.consent import consent
from relay.cli.output import AsJson, say, show_json


def register(_program: typer.Typer) -> None:
    """Add the command to its group."""
    consent.command("erase")(erase)


def erase(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS")],
    tenant: Annotated[
        str | None, typer.Option(metavar="TENANT", help="Only what this tenant has.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a person: all spellings of the address, everywhere; opt-outs go on working."""
    if not yes and sys.stdin.isatty():
        where = f"from {tenant}" if tenant is not None else "from all tenants"
        typer.confirm(
            f"Erase {address} {where}? Evidence of consent is lost and nothing brings it back",
            abort=True,
            err=True,
        )
    done = ask(context, "consent.erase", {"address": address, "tenant": tenant})
    if as_json:
        show_json(done)
    else:
        _show(done)
    if not done["overwritten"] and tenant is None:
        raise typer.Exit(1)


def _show(done: dict[str, Any]) -> None:
    print(f"{done['address']} is erased" if done["events"] else "nothing was left to erase")
    if done["opted_out"]:
        print(f"  opt-outs recorded first: {done['opted_out']}")
    for sort, number in done["removed"].items():
        print(f"  {sort} removed: {number}")
    if done["remaining_messages"]:
        until = done["remaining_until"]
        print(
            f"  messages that others wait for and that name this person: "
            f"{done['remaining_messages']}{f', until {until} at the latest' if until else ''}"
        )
    if not done["overwritten"]:
        say(f"What deletion leaves in the files is not overwritten yet. {done['problem']}")
        say("The relay tries again by itself; or run the same command later.")
    elif done["found_in"]:
        say(
            f"The address, alone or as the end of a longer one, still stands in "
            f"{', '.join(done['found_in'])}."
        )
        if not done["remaining_messages"]:
            say(
                "Stop the relay and run the same command: it then rewrites the whole store. What "
                "stands there even then is a setting: a tenant's contact, a list's sender, a URL."
            )
    for sentence in done["outside"]:
        say(sentence)
