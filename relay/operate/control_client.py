"""The control socket's client: how the command line asks the running daemon."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from relay.operate.control_wire import LINE_LIMIT, encode, short_name
from relay.operate.errors import OperationError
from relay.operate.progress import Progress, no_progress
from relay.ports import Json

log = logging.getLogger("relay.control")


class ControlClient:
    """One connection to the daemon."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path) -> ControlClient | None:
        """A connection, or None when nobody listens there. Raises OperationError when the socket
        may not be opened."""
        try:
            with short_name(path) as short:
                reader, writer = await asyncio.open_unix_connection(short, limit=LINE_LIMIT)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise OperationError(
                f"the control socket {path} cannot be opened ({error.strerror}): run the command "
                f"as the user of the service",
                status=2,
            ) from error
        return cls(reader, writer)

    async def call(
        self, name: str, parameters: Mapping[str, Any], progress: Progress = no_progress
    ) -> Json:
        """Run one operation in the daemon. Raises OperationError."""
        async for answer in self._answers(name, parameters):
            if "progress" in answer:
                done, total = answer["progress"]
                progress(done, total)
            elif "result" in answer:
                result: Json = answer["result"]
                return result
        raise OperationError(f"the daemon closed the connection before it answered {name}")

    async def stream(self, name: str, parameters: Mapping[str, Any]) -> AsyncIterator[Json]:
        """The items of one operation that streams. Raises OperationError, also in between."""
        async for answer in self._answers(name, parameters):
            if "item" in answer:
                yield answer["item"]
            elif "result" in answer:
                return
        raise OperationError(f"the daemon closed the connection before it finished {name}")

    async def _answers(
        self, name: str, parameters: Mapping[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        try:
            self._writer.write(encode({"call": name, "with": dict(parameters)}))
            await self._writer.drain()
            while line := await self._reader.readline():
                answer = json.loads(line)
                if "error" in answer:
                    raise OperationError(answer["error"], answer["status"])
                yield answer
        except ConnectionError as error:
            raise OperationError(f"the daemon closed the connection during {name}") from error

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            log.debug("the daemon was gone first")
