"""Names of operations, their typed parameters, and the one way to call them.

An operation is an async function ``(context, **parameters) -> Json``, or, when its answer may be
longer than memory, an async generator of items. One that takes long names a parameter
``progress`` and reports ``(done, total)`` through it; a total of None is not known.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import FunctionType, MappingProxyType, SimpleNamespace
from typing import Any, Final, TypeAlias, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.progress import Progress, no_progress
from relay.ports import Json, StoreTrouble
from relay.store.directory import DirectoryError

Operation: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class _Typed:
    run: Operation
    parameters: type[BaseModel]
    reports: bool


class Registry:
    """The operations of this release, by name."""

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self._operations: Final = MappingProxyType(dict(operations))
        self._typed = cache(self._type)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._operations))

    def streams(self, name: str) -> bool:
        """Whether the answer of ``name`` comes item by item."""
        return inspect.isasyncgenfunction(self._operations.get(name))

    async def call(
        self,
        context: Context,
        name: str,
        parameters: Mapping[str, Any],
        progress: Progress = no_progress,
    ) -> Json:
        """Run one operation; the items of one that streams come as an array.

        Raises OperationError, and nothing else that is to be expected.
        """
        if self.streams(name):
            return [item async for item in self.stream(context, name, parameters)]
        run, arguments = self._prepare(name, parameters, progress)
        try:
            result: Json = await run(context, **arguments)
        except (StoreTrouble, DirectoryError) as error:
            raise _refused(error) from error
        return result

    async def stream(
        self, context: Context, name: str, parameters: Mapping[str, Any]
    ) -> AsyncIterator[Json]:
        """Run one operation that streams. Raises as ``call``, also after the first items."""
        run, arguments = self._prepare(name, parameters, no_progress)
        try:
            async for item in run(context, **arguments):
                yield item
        except (StoreTrouble, DirectoryError) as error:
            raise _refused(error) from error

    def _prepare(
        self, name: str, parameters: Mapping[str, Any], progress: Progress
    ) -> tuple[Operation, dict[str, Any]]:
        if name not in self._operations:
            raise OperationError(
                f"the relay knows no operation {name!r}; is it an older release?", status=2
            )
        typed = self._typed(name)
        try:
            given = typed.parameters.model_validate(dict(parameters))
        except ValidationError as error:
            first = error.errors()[0]
            what = ".".join(str(part) for part in first["loc"])
            raise OperationError(f"{name}: {what}: {first['msg']}", status=2) from error
        arguments = {field: getattr(given, field) for field in typed.parameters.model_fields}
        if typed.reports:
            arguments["progress"] = progress
        return typed.run, arguments

    def _type(self, name: str) -> _Typed:
        run = self._operations[name]
        assert isinstance(run, FunctionType)
        # The result's type refers to itself, and is of no interest here.
        named = {name: hint for name, hint in run.__annotations__.items() if name != "return"}
        hints = get_type_hints(SimpleNamespace(__annotations__=named), run.__globals__)
        fields: dict[str, Any] = {}
        for parameter in list(inspect.signature(run).parameters.values())[1:]:
            if parameter.name != "progress":
                default = ... if parameter.default is parameter.empty else parameter.default
                fields[parameter.name] = (hints[parameter.name], default)
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        return _Typed(run, model, "progress" in hints)


def _refused(error: Exception) -> OperationError:
    if isinstance(error, DirectoryError):
        return OperationError(str(error))
    return OperationError(f"the store cannot do that now: {error}")
