"""``demo``: the whole product in one command, no configuration."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from relay.cli.output import AsJson


def register(program: typer.Typer) -> None:
    """Add the command."""
    program.command("demo")(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit after the round.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send real mail through a real relay, show what happened to each recipient and why, stay up.

    Needs no configuration and leaves nothing behind. Exit status 0: every fate was the right one.
    """
    from relay.demo.show import demo as play  # no other command needs the whole relay
    from relay.serve import loop_factory

    try:
        with asyncio.Runner(loop_factory=loop_factory("auto")) as runner:
            status = runner.run(play(once=once, as_json=as_json))
    except asyncio.CancelledError:
        status = 0
    raise typer.Exit(status)
