"""Operations on a store that this process opens itself, because no daemon runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from relay.clock import SystemClock
from relay.operate import keyfiles
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.operations import OPERATIONS
from relay.operate.progress import Progress, no_progress
from relay.operate.wiring import wire_judging
from relay.ports import Clock, Json, StoreTrouble, Waiting
from relay.rulebooks import Rulebooks
from relay.settings import Settings
from relay.store.store import Store


@asynccontextmanager
async def open_context(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Context]:
    """The store opened by this process, with everything that operations need.

    Raises OperationError when another process has it, KeyFileError, RulebookError.
    """
    clock = clock or SystemClock()
    keys = keyfiles.load(settings.data_dir)
    rulebooks = Rulebooks.read()
    try:
        store = await Store.open(
            settings.data_dir, settings=settings.store, clock=clock, pepper=keys.pepper
        )
    except StoreTrouble as error:
        raise OperationError(f"no daemon answers at the control socket, and {error}") from (error)
    try:
        judging = wire_judging(
            settings=settings,
            keys=keys,
            store=store,
            rulebooks=rulebooks,
            clock=clock,
            offer=_nobody_waits,
        )
        yield Context(
            settings=settings,
            clock=clock,
            keys=keys,
            store=store,
            rulebooks=rulebooks,
            release=judging.review.release,
            explain=judging.review.explain,
            wake=_nobody_wakes,
        )
    finally:
        await store.close()


def _nobody_waits(items: Sequence[Waiting]) -> None:
    """The daemon reads what waits from the store when it starts."""


def _nobody_wakes(copies: Sequence[str]) -> None:
    """The daemon reads what waits from the store when it starts."""


class LocalSession:
    """Implements ``session.Session``."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def call(
        self, name: str, parameters: Mapping[str, Any], progress: Progress = no_progress
    ) -> Json:
        """The result of one operation. Raises OperationError."""
        return await OPERATIONS.call(self._context, name, parameters, progress)

    def stream(self, name: str, parameters: Mapping[str, Any]) -> AsyncIterator[Json]:
        """The items of one operation that streams. Raises OperationError."""
        return OPERATIONS.stream(self._context, name, parameters)
