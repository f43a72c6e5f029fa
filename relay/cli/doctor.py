"""``doctor``: what an operator would check by hand."""

from __future__ import annotations

import typer

from relay.cli.caller import ask
from relay.cli.output import AsJson, show_json


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("doctor")(doctor)


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check upstream, DNS, unsubscribe URL, rights, disk, clock; each with what to do next."""
    checks = ask(context, "doctor", {})
    if as_json:
        show_json(checks)
    else:
        for check in checks:
            print(f"{'ok  ' if check['ok'] else 'FAIL'}  {check['check']}: {check['detail']}")
            if check["next"]:
                print(f"      next: {check['next']}")
    if not all(check["ok"] for check in checks):
        raise typer.Exit(1)
