"""The control socket's server: how the running daemon is asked, by the command line.

A unix socket of mode 0600; ``control_wire`` says what passes over it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay.operate.context import Context
from relay.operate.control_wire import LINE_LIMIT, encode, short_name
from relay.operate.errors import OperationError
from relay.operate.progress import Progress
from relay.operate.registry import Registry
from relay.ports import Json
from relay.tasks import Tasks

log = logging.getLogger("relay.control")


class ControlServer:
    """Answers the command line on ``path`` with the operations of ``registry``."""

    def __init__(self, path: Path, context: Context, tasks: Tasks, registry: Registry) -> None:
        self._path = path
        self._context = context
        self._tasks = tasks
        self._registry = registry
        self._server: asyncio.Server | None = None
        self._idle: set[asyncio.StreamWriter] = set()
        """Connections between two requests."""

    async def start(self) -> None:
        """Listen. The caller holds the store's lock, so a socket that is there already is a
        former run's and is replaced. Raises OSError."""
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_name(self._path) as short:
                listening.bind(short)
            # Between bind and listen nobody can connect, so the mode is never open.
            self._path.chmod(0o600)
            self._server = await asyncio.start_unix_server(
                self._connected, sock=listening, limit=LINE_LIMIT
            )
        except BaseException:
            listening.close()
            raise

    async def stop(self) -> None:
        """Take no more requests; those under way are not cut off here but by the tasks' drain."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        await server.wait_closed()
        self._path.unlink(missing_ok=True)
        for writer in self._idle:
            writer.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.start(self._serve(reader, writer), "control session")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while self._server is not None:
                self._idle.add(writer)
                line = await reader.readline()
                self._idle.discard(writer)
                if not line:
                    break
                await self._answer(line, writer)
        except (ConnectionError, ValueError) as error:
            log.debug("control session ended: %s", error)
        finally:
            self._idle.discard(writer)
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        def progress(done: int, total: int | None) -> None:
            if not writer.is_closing():
                writer.write(encode({"progress": [done, total]}))

        answer: dict[str, Json]
        try:
            request = json.loads(line)
            name, parameters = str(request["call"]), dict(request.get("with", {}))
        except (ValueError, KeyError, TypeError, AttributeError):
            answer = {"error": "a request is a JSON object with call and with", "status": 2}
        else:
            try:
                answer = {"result": await self._run(name, parameters, writer, progress)}
            except OperationError as error:
                answer = {"error": error.sentence, "status": error.status}
            except ConnectionError:
                raise
            except Exception:  # a fault in one operation must not take the daemon's door away
                log.exception("operation %s failed", name)
                answer = {
                    "error": f"{name} failed by a fault of the relay; the daemon's log says more",
                    "status": 1,
                }
        writer.write(encode(answer))
        await writer.drain()

    async def _run(
        self,
        name: str,
        parameters: Mapping[str, Any],
        writer: asyncio.StreamWriter,
        progress: Progress,
    ) -> Json:
        if not self._registry.streams(name):
            return await self._registry.call(self._context, name, parameters, progress)
        count = 0
        async for item in self._registry.stream(self._context, name, parameters):
            writer.write(encode({"item": item}))
            # The reader's pace is ours: a long answer is never gathered here.
            await writer.drain()
            count += 1
        return count
