"""One way to run operations, whether a daemon runs or not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from relay.operate.control_client import ControlClient
from relay.operate.progress import Progress, no_progress
from relay.ports import Json
from relay.settings import Settings

SOCKET: Final = "control.sock"


class Session(Protocol):
    """Runs operations by name."""

    async def call(
        self, name: str, parameters: Mapping[str, Any], progress: Progress = no_progress
    ) -> Json:
        """The result of one operation. Raises OperationError."""

    def stream(self, name: str, parameters: Mapping[str, Any]) -> AsyncIterator[Json]:
        """The items of one operation that streams. Raises OperationError."""


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[Session]:
    """A session with the running daemon, or with the store itself when none runs.

    Raises OperationError, KeyFileError, RulebookError.
    """
    client = await ControlClient.connect(settings.data_dir / SOCKET)
    if client is not None:
        try:
            yield client
        finally:
            await client.close()
        return
    # Imported here: the store takes a second, and with a daemon nobody needs it.
    from relay.operate.local import LocalSession, open_context

    async with open_context(settings) as context:
        yield LocalSession(context)
