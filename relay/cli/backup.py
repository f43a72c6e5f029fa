"""``backup`` and ``restore``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from relay.cli.caller import ask, config_of
from relay.cli.output import AsJson, say, show_record
from relay.clock import SystemClock
from relay.settings_file import load


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.command("backup")(backup)
    program.command("restore")(restore)


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    as_json: AsJson = False,
) -> None:
    """Write store, keys and pepper to FILE, while the relay runs or not. Keep it secret."""
    from relay.operate import archive  # the store takes a second to import

    made = ask(context, "backup", {})
    size = archive.move_into_place(Path(made["file"]), file)
    show_record({"file": str(file), "octets": size}, as_json)
    say(f"{file} holds keys and addresses: keep it as safe as the relay itself")


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    as_json: AsJson = False,
) -> None:
    """Put a backup in place of the store and keys; opt-outs recorded since are kept.

    The relay must not run. What was there is moved aside, not deleted.
    """
    from relay.operate import archive  # the store takes a second to import

    settings, _ = load(config_of(context))
    restored = asyncio.run(archive.restore(settings, file, SystemClock()))
    show_record(restored, as_json)
