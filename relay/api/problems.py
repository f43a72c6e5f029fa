"""How the API says no: problem documents (RFC 9457), one closed list of them."""

from __future__ import annotations

import json
import logging
import secrets
import traceback
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from relay.api.invalid_input import Place, explain
from relay.ports import DiskFull, StoreTrouble

log = logging.getLogger("relay.api")

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = 30
"""Seconds after which a client may ask again when the store could not answer."""
_NAMESPACE: Final = "urn:consent-relay:problem:"
_MOST_ERRORS: Final = 20
_LONGEST_PLACE: Final = 200


class Kind(Enum):
    """Every problem: slug, HTTP status, title."""

    BAD_REQUEST = ("bad-request", 400, "The request cannot be read")
    UNAUTHORIZED = ("unauthorized", 401, "No valid API key")
    SUSPENDED = ("suspended", 403, "The tenant is suspended")
    NOT_FOUND = ("not-found", 404, "Not found")
    METHOD = ("method-not-allowed", 405, "Method not allowed")
    TIMEOUT = ("request-timeout", 408, "The request came too slowly")
    CONFLICT = ("conflict", 409, "It conflicts with what is there")
    UNDER_WAY = ("under-way", 409, "The same request is still under way")
    TOO_LARGE = ("too-large", 413, "The request is too large")
    MEDIA = ("unsupported-media-type", 415, "The content is of another type")
    INVALID = ("invalid", 422, "The request is not valid")
    KEY_REUSED = ("idempotency-key-reused", 422, "The Idempotency-Key belongs to another request")
    TOO_MANY = ("too-many-requests", 429, "Too many requests")
    INTERNAL = ("internal", 500, "The relay failed")
    STORE = ("store-trouble", 503, "The store cannot do that now")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title


class ProblemItem(BaseModel):
    """One thing that is wrong with a request."""

    detail: str = Field(description="What is wrong, and what is wanted.")
    pointer: str | None = Field(
        default=None, description="JSON Pointer (RFC 6901) to the place in the body."
    )
    parameter: str | None = Field(
        default=None, description="The query parameter or header field that is meant."
    )


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="A URN that names the kind of problem; it never changes.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status once more.", ge=400, le=599)
    detail: str = Field(description="What happened, and what to do.")
    errors: list[ProblemItem] = Field(
        default=[], description="Each thing that is wrong with the request."
    )


class ApiProblem(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *errors: ProblemItem,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind.slug)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers


def not_found() -> ApiProblem:
    """The one answer for what does not exist and for what is another tenant's."""
    return ApiProblem(
        Kind.NOT_FOUND,
        "This key has nothing of that name. Check the path, and the names in path and body.",
    )


def invalid(detail: str, *, pointer: str | None = None, parameter: str | None = None) -> ApiProblem:
    """A value that has the right type and still cannot be; the detail says why."""
    item = ProblemItem(detail=detail, pointer=pointer, parameter=parameter)
    return ApiProblem(Kind.INVALID, "Correct what errors names, then send it again.", item)


def wrong_method(allowed: Iterable[str]) -> Response:
    """The path is there, and does not do that."""
    names = ", ".join(sorted(allowed))
    return respond(ApiProblem(Kind.METHOD, f"Use {names} here.", headers={"Allow": names}))


def respond(problem: ApiProblem) -> Response:
    """The problem as an answer."""
    document: dict[str, Any] = {
        "type": _NAMESPACE + problem.kind.slug,
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
    }
    if problem.errors:
        document["errors"] = [item.model_dump(exclude_none=True) for item in problem.errors]
    # Escaped to ASCII: a place in a body may be named with half a character.
    return Response(
        json.dumps(document),
        problem.kind.status,
        dict(problem.headers or {}),
        media_type=MEDIA_TYPE,
    )


# --- What Starlette and FastAPI raise -----------------------------------------------------------


async def on_problem(request: Request, error: Exception) -> Response:
    """ApiProblem."""
    assert isinstance(error, ApiProblem)
    return respond(error)


async def on_http(request: Request, error: Exception) -> Response:
    """Starlette's own: no such path."""
    assert isinstance(error, HTTPException)
    if error.status_code == Kind.NOT_FOUND.status:
        return respond(not_found())
    return respond(ApiProblem(Kind.BAD_REQUEST, "The request cannot be read as HTTP with JSON."))


async def on_invalid(request: Request, error: Exception) -> Response:
    """What the declared types refuse."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(item["loc"][:1] == ("path",) for item in found):
        return respond(not_found())
    items = [_item(place, detail) for place, detail in explain(found, error.body).items()]
    detail = "Correct what errors names, then send it again."
    return respond(ApiProblem(Kind.INVALID, detail, *items[:_MOST_ERRORS]))


async def on_store_trouble(request: Request, error: Exception) -> Response:
    """Our own trouble: nothing was done, and the same request may be sent again."""
    assert isinstance(error, StoreTrouble)
    what = "has no room left" if isinstance(error, DiskFull) else "cannot be reached"
    log.warning("%s: 503, the store %s", _route(request), what)
    return respond(
        ApiProblem(
            Kind.STORE,
            f"The relay's store {what} at the moment. Send the same request again later.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )
    )


async def on_failure(request: Request, error: Exception) -> Response:
    """A bug of ours: an id for the log, and nothing of the request in either."""
    number = secrets.token_hex(6)
    request.state.failure = number
    log.error("%s: 500, id %s: %s", _route(request), number, describe(error))
    return respond(
        ApiProblem(
            Kind.INTERNAL,
            f"Tell the operator the id {number}: it is in the relay's log with the cause.",
        )
    )


def describe(error: BaseException) -> str:
    """Type and places of an exception; its text may hold an address, and stays out."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} in {places}"


def _route(request: Request) -> str:
    """The path as it was declared: what stands in it is the client's."""
    return f"{request.method} {getattr(request.scope.get('route'), 'path', '-')}"


def _item(place: Place, detail: str) -> ProblemItem:
    where, *parts = place
    if where == "body":
        pointer = "".join(f"/{_escape(str(part))}" for part in parts)
        return ProblemItem(detail=detail, pointer="#" + pointer[:_LONGEST_PLACE])
    return ProblemItem(detail=detail, parameter=str(parts[0] if parts else where)[:_LONGEST_PLACE])


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
