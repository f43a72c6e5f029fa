"""How a command reaches the relay: the running daemon, or the store itself when none runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import typer

from relay.operate.progress import Progress, no_progress
from relay.operate.session import Session, open_session
from relay.ports import Json
from relay.settings_file import load

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Given:
    """What stood before the command on the command line."""

    config: Path | None


def config_of(context: typer.Context) -> Path | None:
    """The file named by --config, if any."""
    given = context.find_object(Given)
    return given.config if given else None


def within(context: typer.Context, work: Callable[[Session], Awaitable[T]]) -> T:
    """Run ``work`` with a session. Raises SettingsError, KeyFileError, OperationError."""
    settings, _ = load(config_of(context))

    async def run() -> T:
        async with open_session(settings) as session:
            return await work(session)

    return asyncio.run(run())


def ask(
    context: typer.Context,
    name: str,
    parameters: Mapping[str, Any],
    progress: Progress = no_progress,
) -> Any:
    """The result of one operation, as JSON values."""
    return within(context, lambda session: session.call(name, parameters, progress))


def ask_all(
    context: typer.Context, name: str, parameters: Mapping[str, Any]
) -> list[dict[str, Json]]:
    """All items of an operation that streams."""

    async def gather(session: Session) -> list[Any]:
        return [item async for item in session.stream(name, parameters)]

    return within(context, gather)


def given_only(**options: Any) -> Iterator[tuple[str, Any]]:
    """The options that were given, for commands that change only what is named."""
    return ((name, value) for name, value in options.items() if value is not None)
