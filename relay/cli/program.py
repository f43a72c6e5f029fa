"""The command tree, and what becomes of an error: one sentence on stderr, and the exit status.

0: done. 1: the answer is no. 2: wrong usage or configuration.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from relay.cli import (
    apikey,
    backup,
    brand,
    consent,
    consent_erase,
    consent_expiring,
    consent_export,
    credential,
    demo,
    doctor,
    domain,
    explain,
    hook,
    ledger,
    lists,
    policy,
    quarantine,
    serve,
    setup,
    source,
    spool,
    tenant,
    webhook,
)
from relay.cli.caller import Given
from relay.cli.output import say
from relay.decide.rulebook import RulebookError
from relay.operate.errors import OperationError
from relay.operate.keyfiles import KeyFileError
from relay.ports import StoreTrouble
from relay.settings_file import SettingsError

program = typer.Typer(
    name="consent-relay",
    help="An SMTP relay proxy that enforces consent.",
    # One plain sentence, not a box and never a decorated traceback.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

for module in (setup, demo, serve, explain, backup, doctor):
    module.register(program)
for group in (tenant, domain, brand, lists, credential, source, consent, quarantine, spool):
    group.register(program)
for group in (
    consent_erase,
    consent_expiring,
    consent_export,
    ledger,
    policy,
    apikey,
    webhook,
    hook,
):
    group.register(program)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"consent-relay {importlib.metadata.version('consent-relay')}")
        raise typer.Exit


@program.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Configuration file; else $CONSENT_RELAY_CONFIG, "
            "/etc/consent-relay/relay.toml, ./relay.toml.",
            metavar="FILE",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """An SMTP relay proxy that enforces consent."""
    context.obj = Given(config)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; prints, never raises for what a person
    can do wrong."""
    try:
        status = program(list(arguments), prog_name="consent-relay", standalone_mode=False)
    except typer.TyperException as error:
        return _refused(_usage(error), 2)
    except (SettingsError, KeyFileError, RulebookError) as error:
        return _refused(str(error), 2)
    except OperationError as error:
        return _refused(error.sentence, error.status)
    except StoreTrouble as error:
        return _refused(f"the store cannot do that now: {error}", 1)
    except typer.Abort:
        return _refused("stopped", 1)
    return status if isinstance(status, int) else 0


def _usage(error: typer.TyperException) -> str:
    where = getattr(error, "ctx", None)
    sentence = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    sentence = sentence[:1].lower() + sentence[1:]
    return f"{sentence} (see `{where.command_path} --help`)" if where else sentence


def _refused(sentence: str, status: int) -> int:
    say(f"consent-relay: {sentence}")
    return status
