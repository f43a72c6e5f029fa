"""``init`` and ``check``: a new relay, and whether a configuration can be used."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from relay.cli.caller import config_of
from relay.cli.output import AsJson, say, show_json, show_record
from relay.operate import check as checking
from relay.settings_file import load


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.command("init")(init)
    program.command("check")(check)


Socket = Annotated[str | None, typer.Option(metavar="ADDR:PORT")]


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="May exist; is made if not.")],
    hostname: Annotated[str | None, typer.Option(help="Our name in banner and Received.")] = None,
    upstream: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The MTA that takes what passes.")
    ] = None,
    smtp: Socket = None,
    http: Socket = None,
    admin: Socket = None,
    metrics: Socket = None,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="How the world reaches the public pages.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a relay in DIR: configuration, keys and store. Reads no configuration."""
    from relay.operate import new_relay  # the store takes a second to import

    wanted = new_relay.Wanted(
        hostname=hostname,
        upstream=upstream,
        smtp=smtp,
        http=http,
        admin=admin,
        metrics=metrics,
        public_url=public_url,
    )
    settings, file = asyncio.run(new_relay.make(directory, wanted))
    show_record({"config": str(file), "data": str(settings.data_dir)}, as_json)
    say(f"next: consent-relay --config {file} tenant add …, then serve")


def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Validate configuration, keys and rulebooks."""
    settings, file = load(config_of(context))
    notes = checking.check(settings)
    if as_json:
        show_json({"config": str(file), "ok": True, "notes": list(notes)})
    else:
        print(f"{file}: good")
        for note in notes:
            print(f"note: {note}")
