"""What every route does around its function: body, repeated writes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from relay.api.body import parse_json, read_body
from relay.api.idempotency import Idempotency
from relay.api.problems import ApiProblem, Kind

ANSWERS_ANEW: Final = "x-answers-anew"
"""In ``openapi_extra``: a POST that writes nothing, and so knows no Idempotency-Key."""
ENDS_IN: Final = "x-ends-in"
"""In ``openapi_extra``: the ``Kind`` of problems that the function behind the route ends in."""
UNKEPT: Final = "x-shown-once"
"""In ``openapi_extra``: members of the answer that a replayed answer gives as null."""
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class _ReadRequest(Request):
    """A request whose body is read and parsed."""

    def __init__(self, request: Request, body: bytes, document: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._read, self._document = body, document

    async def body(self) -> bytes:
        return self._read

    async def json(self) -> Any:
        return self._document


class ApiRoute(APIRoute):
    """Reads the body strictly, and runs a write once for its Idempotency-Key."""

    @property
    def repeats(self) -> bool:
        """Whether the route knows Idempotency-Key."""
        return bool(self.methods and self.methods & _WRITES) and not (self.openapi_extra or {}).get(
            ANSWERS_ANEW
        )

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function, with what this class adds around it."""
        handle = super().get_route_handler()
        extra = self.openapi_extra or {}
        unkept: tuple[str, ...] = tuple(extra.get(UNKEPT, ()))

        async def answer(request: Request) -> Response:
            body = b""
            if self.body_field is not None:
                body = await read_body(request)
                request = _ReadRequest(request, body, _document(request, body))
            if not self.repeats:
                return await handle(request)
            idempotency: Idempotency = request.app.state.idempotency
            return await idempotency.once(request, body, lambda: handle(request), unkept=unkept)

        return answer


def _document(request: Request, body: bytes) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise ApiProblem(Kind.MEDIA, "Send JSON, and Content-Type: application/json with it.")
    return parse_json(body)
