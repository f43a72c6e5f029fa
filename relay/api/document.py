"""The OpenAPI document: what FastAPI finds, and what holds for every route."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from relay.api.calling import active
from relay.api.idempotency import HEADER, REPLAYED
from relay.api.paths import PREFIX
from relay.api.problems import MEDIA_TYPE, Kind, Problem
from relay.api.route import ANSWERS_ANEW, ENDS_IN, UNKEPT, ApiRoute

_INTERNAL: Final = (ANSWERS_ANEW, ENDS_IN, UNKEPT)
_ABOUT: Final = """\
Consent for mail, for the software of one tenant: ask for it, record it, see it, take it back.

Every request carries `Authorization: Bearer KEY`; the key decides whose data is meant, and another
tenant's things look exactly like things that do not exist. Errors are problem documents (RFC 9457)
that say what to do. A list is read a page at a time: give the `next` of one answer as `after` of
the next request. A write may carry an `Idempotency-Key`: sent again with the same key within 24
hours, it acts once and gives the same answer, with `Idempotency-Replayed: true`. Who asks too
often gets 429, with the seconds to wait in `Retry-After`.
"""
_UNSAID: Final = "Successful Response"
"""What FastAPI writes where a route says nothing about its answer."""
_EVERYWHERE: Final = (Kind.UNAUTHORIZED, Kind.TOO_MANY, Kind.INTERNAL, Kind.STORE)
_BODY: Final = (Kind.BAD_REQUEST, Kind.TIMEOUT, Kind.TOO_LARGE, Kind.MEDIA)


def operation_id(route: APIRoute) -> str:
    """A name for an operation that generated clients can use: ``post_lists_list_imports``."""
    (method,) = route.methods or ("get",)
    return f"{method.lower()}_{'_'.join(re.findall('[a-z]+', route.path_format))}"


def document(app: FastAPI, routers: Iterable[APIRouter], version: str) -> dict[str, Any]:
    """The document, OpenAPI 3.1; ``routers`` are those that ``app`` has under ``PREFIX``."""
    found = get_openapi(
        title="consent-relay",
        version=version,
        openapi_version="3.1.0",
        description=_ABOUT,
        routes=app.routes,
    )
    schemas = found["components"]["schemas"]
    # FastAPI's own form of errors never leaves this API.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    found["components"]["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "Made by the operator: `consent-relay apikey add TENANT NAME`.",
        }
    }
    responses: dict[str, Any] = {}
    found["components"]["responses"] = responses
    found["security"] = [{"key": []}]
    for router in routers:
        for route in router.routes:
            assert isinstance(route, ApiRoute)
            for method in route.methods or ():
                operation = found["paths"][PREFIX + route.path_format][method.lower()]
                kinds = _complete(operation, route, schemas)
                for status in sorted({kind.status for kind in kinds}):
                    group = [kind for kind in Kind if kind in kinds and kind.status == status]
                    name = "-or-".join(kind.slug for kind in group)
                    responses[name] = _response(group)
                    said = {"$ref": f"#/components/responses/{name}"}
                    operation["responses"][str(status)] = said
    return found


def _complete(operation: dict[str, Any], route: ApiRoute, schemas: dict[str, Any]) -> set[Kind]:
    """Add to one operation what comes from around its function; gives the problems that it can
    end in."""
    kinds: set[Kind] = {*_EVERYWHERE, *(route.openapi_extra or {}).get(ENDS_IN, ())}
    for name in _INTERNAL:
        operation.pop(name, None)
    responses = operation["responses"]
    responses.pop("422", None)
    parameters = operation.setdefault("parameters", [])
    if "requestBody" in operation:
        kinds |= {*_BODY, Kind.INVALID}
    if any(parameter["in"] == "query" for parameter in parameters):
        kinds.add(Kind.INVALID)
    if "{" in route.path_format:
        kinds.add(Kind.NOT_FOUND)
    if any(dependency.call is active for dependency in route.dependant.dependencies):
        kinds.add(Kind.SUSPENDED)
    if route.repeats:
        kinds |= {Kind.INVALID, Kind.UNDER_WAY, Kind.KEY_REUSED}
        parameters.append(_IDEMPOTENCY_KEY)
        for status, response in responses.items():
            if int(status) < 300:
                response.setdefault("headers", {})[REPLAYED] = _REPLAYED
    for status, response in responses.items():
        if int(status) < 300 and response["description"] == _UNSAID:
            (content,) = response["content"].values()
            name = content["schema"]["$ref"].rpartition("/")[2]
            response["description"] = schemas[name]["description"]
    if not parameters:
        del operation["parameters"]
    return kinds


_IDEMPOTENCY_KEY: Final = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A new random string for each request; the same one when it is repeated.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
}
_REPLAYED: Final = {
    "description": "There, and true, when an earlier request with this Idempotency-Key did it.",
    "required": False,
    "schema": {"type": "string", "enum": ["true"]},
}
_RETRY_AFTER: Final = {
    "description": "Seconds to wait before the request is sent again.",
    "required": False,
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
}


def _response(kinds: list[Kind]) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if {Kind.TOO_MANY, Kind.STORE, Kind.UNDER_WAY} & set(kinds):
        headers["Retry-After"] = _RETRY_AFTER
    if Kind.UNAUTHORIZED in kinds:
        headers["WWW-Authenticate"] = {
            "required": True,
            "schema": {"type": "string", "const": 'Bearer realm="consent-relay"'},
        }
    return {
        "description": " · ".join(f"{kind.title} (`{kind.slug}`)" for kind in kinds),
        **({"headers": headers} if headers else {}),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {
                    kind.slug: {
                        "value": {
                            "type": f"urn:consent-relay:problem:{kind.slug}",
                            "title": kind.title,
                            "status": kind.status,
                            "detail": "What happened here, and what to do.",
                        }
                    }
                    for kind in kinds
                },
            }
        },
    }
