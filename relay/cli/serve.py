"""``serve``: the relay in the foreground."""

from __future__ import annotations

import typer

from relay.cli.caller import config_of
from relay.settings_file import load


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("serve")(serve)


def serve(context: typer.Context) -> None:
    """Run the relay in the foreground: SIGTERM drains and ends, SIGHUP reloads."""
    # Imported here: no other command needs the listeners.
    from relay.serve import run

    settings, file = load(config_of(context))
    raise typer.Exit(run(settings, file))
