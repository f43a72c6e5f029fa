"""The OpenAPI document says of each call what that call does."""

from __future__ import annotations

import inspect
from typing import Any

from fastapi.routing import APIRoute

from relay.api.app import ROUTERS
from relay.api.patterns import WANTED
from relay.api.problems import Kind
from tests.support.api_rig import Rig

ENDPOINTS = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


async def described(rig: Rig) -> dict[str, Any]:
    document: dict[str, Any] = (await rig.client.get("/api/v1/openapi.json")).json()
    return document


def problems(document: dict[str, Any], path: str, method: str) -> set[str]:
    """Slugs of the problems that an operation may end in."""
    responses = document["paths"][f"/api/v1{path}"][method]["responses"]
    found = set()
    for status, response in responses.items():
        if int(status) >= 400:
            kind = response["$ref"].rpartition("/")[2]
            (content,) = document["components"]["responses"][kind]["content"].values()
            found |= set(content["examples"])
    return found


async def test_a_call_names_the_problems_that_its_function_ends_in(rig: Rig) -> None:
    document = await described(rig)
    assert len(ENDPOINTS) > 20
    for route in ENDPOINTS:
        (method,) = route.methods
        named = problems(document, route.path, method.lower())
        source = inspect.getsource(route.endpoint)
        assert ("Kind.CONFLICT" in source) == (Kind.CONFLICT.slug in named), route.name
        assert Kind.NOT_FOUND.slug in named or "not_found()" not in source, route.name
        for kind in (Kind.UNDER_WAY, Kind.KEY_REUSED):
            writes = method != "GET" and route.path != "/links"
            assert (kind.slug in named) == writes, route.name


async def test_every_form_of_a_string_can_be_told_to_a_person(rig: Rig) -> None:
    forms: set[str] = set()

    def look(part: object) -> None:
        if isinstance(part, dict):
            if "pattern" in part and part.get("in") != "header":
                forms.add(part["pattern"])
            for name, member in part.items():
                if name != "headers":
                    look(member)
        elif isinstance(part, list):
            for member in part:
                look(member)

    document = await described(rig)
    for operations in document["paths"].values():
        for operation in operations.values():
            asked = [one for one in operation.get("parameters", ()) if one["in"] != "header"]
            look([asked, operation.get("requestBody")])
    look(document["components"]["schemas"])
    assert len(forms) > 4
    assert forms <= set(WANTED)
