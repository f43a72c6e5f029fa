"""The page of the HTTP API, from its OpenAPI document."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI

from docs.generator.markdown import code, table
from docs.generator.words import API_ANSWERS, API_EXAMPLES, API_NOTES
from relay.api.app import ROUTERS
from relay.api.document import document, operation_id
from relay.api.paths import DOCUMENT, PREFIX
from relay.api.problems import Kind
from relay.settings import Api

HOST = "http://127.0.0.1:8081"
_ALWAYS = (Kind.UNAUTHORIZED, Kind.TOO_MANY, Kind.INTERNAL, Kind.STORE)
_BODY = (Kind.BAD_REQUEST, Kind.TIMEOUT, Kind.TOO_LARGE, Kind.MEDIA)
_REPEATED = (Kind.UNDER_WAY, Kind.KEY_REUSED)

Json = Mapping[str, Any]


def api() -> Iterator[str]:
    """Every call: parameters, body, answer, errors, and a line of curl."""
    limits = Api()
    yield "# HTTP API"
    yield ""
    yield from (
        f"On the listener `http.admin` (127.0.0.1:8081), under `{PREFIX}`. [How it all fits "
        "together](../consent.md); [other software](../integration.md). The machine's form of "
        f"this page, OpenAPI 3.1, is at `{DOCUMENT}`, without a key.",
        "",
        "- **Key.** `Authorization: Bearer KEY`, made by `consent-relay apikey add TENANT NAME`. "
        "The key says whose data is meant; another tenant's things look like things that do not "
        "exist. A missing, unknown or revoked key is 401 on every path.",
        "- **Bodies** are JSON in UTF-8 with `Content-Type: application/json`, at most 1 MB. "
        "Members that are not named here are errors.",
        "- **Lists** come a page at a time, at most `limit` (100, up to 500). Give the `next` of "
        "an answer as `after` of the next request.",
        "- **Writes** may carry an `Idempotency-Key`, a random string of up to 255 visible ASCII "
        "characters: a new one for each request, the same one when you repeat it because no answer "
        "came. Within 24 hours such a write acts once and gives the same answer, with "
        "`Idempotency-Replayed: true`. Secrets are null in a repeated answer. A write that was "
        "refused leaves its key free. Only when the relay crashes right after a write does the "
        "repeated one act again: the same goes on record once more, or 409 says that it is there.",
        "- **Limits.** "
        f"{limits.requests_per_minute:,} requests a minute with one key "
        "(`api.requests_per_minute`), "
        f"{limits.invalid_keys_per_minute:,} a minute without a valid one from one address "
        "(`api.invalid_keys_per_minute`); above them 429 with `Retry-After`, in seconds.",
        "- **Events.** What changes a consent is an entry in a chain of your own; `event` is its "
        "number there, counted from 1.",
        "- **Times** are RFC 3339 in UTC.",
        "- A suspended tenant can read, erase, and record opt-outs.",
        "",
    )
    yield from _problems()
    tags: dict[str, list[tuple[str, str, Json]]] = {}
    for path, methods in _document()["paths"].items():
        for method, operation in methods.items():
            tags.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    for tag, operations in tags.items():
        yield f"## {tag}"
        yield ""
        for method, path, operation in operations:
            yield from _operation(method, path, operation)
    yield "## Objects"
    yield ""
    yield "What answers are made of."
    yield ""
    for name, schema in sorted(_shown().items()):
        yield f"### {name}"
        yield ""
        yield from _object(schema)


@cache
def _document() -> Any:
    app = FastAPI(generate_unique_id_function=operation_id)
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    return document(app, ROUTERS, "0")


def _problems() -> Iterator[str]:
    yield "## Errors"
    yield ""
    yield (
        "Problem documents (RFC 9457, `application/problem+json`): `type`, `title`, `status`, "
        "`detail` (what happened and what to do), and `errors`, one for each thing that is wrong "
        "with the request, with a JSON `pointer` into the body or the `parameter` that is meant. "
        "`type` is `urn:consent-relay:problem:` and the word below."
    )
    yield ""
    rows = [(code(kind.slug), str(kind.status), kind.title) for kind in Kind]
    yield from table(("type", "status", "title"), rows)
    yield (
        f"Every call can answer {_statuses(_ALWAYS)}; every call with a body {_statuses(_BODY)}; "
        f"every call with an `Idempotency-Key` {_statuses(_REPEATED)}. These are not named again "
        "below. After a 503 nothing was done: send the same request again."
    )
    yield ""


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"### {operation['summary']}"
    yield ""
    yield f"    {method} {path}"
    yield ""
    if "description" in operation:
        yield operation["description"]
        yield ""
    if (method, path) in API_NOTES:
        yield API_NOTES[method, path]
        yield ""
    parameters = [one for one in operation.get("parameters", ()) if one["in"] != "header"]
    if parameters:
        rows = [
            (
                code(one["name"]),
                one["in"],
                _type(one["schema"]),
                "yes" if one["required"] else _default(one["schema"]),
                one.get("description", ""),
            )
            for one in parameters
        ]
        yield from table(("parameter", "in", "type", "required", "meaning"), rows)
    for schema in _bodies(operation):
        yield f"Body `{schema['title']}`: {schema['description']}"
        yield ""
        yield from _members(schema, given=True)
    if "text/csv" in operation.get("requestBody", {}).get("content", {}):
        yield f"Body: {operation['requestBody']['description']}"
        yield ""
    said = f"Answers: {', '.join(_answers(operation))}."
    headers = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"]
    yield said + (f" Takes an {code(headers[0])}." if headers else "")
    yield ""
    for example in examples(method, path, operation):
        yield f"    {example}"
    yield ""
    if (method, path) in API_ANSWERS:
        yield f"    {json.dumps(API_ANSWERS[method, path], ensure_ascii=False)}"
        yield ""


def _answers(operation: Json) -> Iterator[str]:
    silent = {kind.slug for kind in (*_ALWAYS, *_BODY, *_REPEATED)}
    for status, response in sorted(operation["responses"].items()):
        if int(status) < 300:
            (content,) = response["content"].values()
            name = content["schema"]["$ref"].rpartition("/")[2]
            yield f"**{status}** [{name}](#{name.lower()})"
        else:
            (content,) = _named(response)["content"].values()
            yield from (
                f"{status} {code(slug)}" for slug in content["examples"] if slug not in silent
            )


def _statuses(kinds: Iterable[Kind]) -> str:
    return ", ".join(f"{kind.status} {code(kind.slug)}" for kind in kinds)


# --- Values -----------------------------------------------------------------------------------


def _named(schema: Json) -> Json:
    """The schema or response that a reference stands for."""
    *_, kind, name = ("", "", *schema.get("$ref", "").split("/"))
    return _document()["components"][kind][name] if name else schema


def _shown() -> dict[str, Json]:
    """Every object of answers."""
    given = {
        schema["title"]
        for methods in _document()["paths"].values()
        for operation in methods.values()
        for schema in _bodies(operation)
    }
    return {
        name: schema
        for name, schema in _document()["components"]["schemas"].items()
        if name not in given and not name.startswith("Problem")
    }


def _bodies(operation: Json) -> list[Json]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return []
    schema = content["schema"]
    return [_named(one) for one in schema.get("oneOf", [schema])]


def _object(schema: Json) -> Iterator[str]:
    yield schema["description"].split("\n\n")[0].replace("\n", " ").replace("``", "`")
    yield ""
    if "enum" in schema:
        yield f"One of {', '.join(code(str(one)) for one in schema['enum'])}."
        yield ""
    else:
        yield from _members(schema, given=False)


def _members(schema: Json, *, given: bool) -> Iterator[str]:
    required = schema.get("required", ())
    rows = []
    for name, member in schema["properties"].items():
        row = [code(name), _type(member)]
        if given:
            row.append("yes" if name in required else _default(member))
        rows.append([*row, _meaning(member)])
    head = ("member", "type", "required", "meaning") if given else ("member", "type", "meaning")
    yield from table(head, rows)


def _meaning(schema: Json) -> str:
    for one in (schema, *schema.get("anyOf", ())):
        if "description" in one:
            return str(one["description"])
    inner = _named(schema)
    return str(inner.get("description", "")) if "enum" not in inner else ""


def _default(schema: Json) -> str:
    value = schema.get("default")
    return "no" if value in (None, "", []) else f"no, {code(json.dumps(value))}"


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if name in _shown() else name
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return ", ".join(code(str(one)) for one in schema["enum"])
    if "anyOf" in schema and "type" not in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    match schema.get("type"):
        case "array":
            return f"array of {_type(schema['items'])}"
        case "integer" if "maximum" in schema:
            return f"integer ({schema['minimum']} to {schema['maximum']:,})"
        case "string" if schema.get("format") == "date-time":
            return "time (RFC 3339)"
        case "string" if "maxLength" in schema:
            return f"string (at most {schema['maxLength']:,})"
        case found:
            return str(found)


# --- Examples ---------------------------------------------------------------------------------


def examples(method: str, path: str, operation: Json) -> Iterator[str]:
    """A line of curl for each form of the body."""
    query = []
    for one in operation.get("parameters", ()):
        if one["in"] == "path":
            path = path.replace("{" + one["name"] + "}", example(one["name"], one["schema"]))
        elif one["in"] == "query" and one["required"]:
            query.append((one["name"], example(one["name"], one["schema"])))
    url = f"{HOST}{path}{'?' + urlencode(query) if query else ''}"
    start = ["curl", *(["-X", method] if method == "DELETE" else [])]
    shown = shlex.join([*start, url]) + ' -H "Authorization: Bearer $KEY"'
    content = operation.get("requestBody", {}).get("content", {})
    if "text/csv" in content:
        yield f"{shown} -H 'Content-Type: text/csv' --data-binary @people.csv"
    elif content:
        for schema in _bodies(operation):
            said = shlex.quote(json.dumps(body_of(schema), ensure_ascii=False))
            yield f"{shown} -H 'Content-Type: application/json' -d {said}"
    elif method == "POST":
        yield f"{shown} -X POST"
    else:
        yield shown


def body_of(schema: Json) -> dict[str, Any]:
    """An example: what is required, and what has an example of its own."""
    required = schema.get("required", ())
    return {
        name: example(name, member)
        for name, member in schema["properties"].items()
        if name in required or "examples" in member
    }


def example(name: str, schema: Json) -> Any:
    """A value that could be. Raises KeyError when there is none and ``API_EXAMPLES`` has no
    words."""
    if "examples" in schema:
        return schema["examples"][0]
    inner = _named(schema)
    if "const" in inner:
        return inner["const"]
    return inner["enum"][0] if "enum" in inner else API_EXAMPLES[name]


def answers() -> list[tuple[Any, dict[str, Any]]]:
    """The schema of each answer that is shown, with what it refers to, and the answer."""
    found = _document()
    shown = []
    for (method, path), answer in API_ANSWERS.items():
        response = next(iter(found["paths"][path][method.lower()]["responses"].values()))
        schema = response["content"]["application/json"]["schema"]
        shown.append(({**schema, "components": found["components"]}, answer))
    return shown


def bodies() -> list[tuple[Any, dict[str, Any]]]:
    """Each body's schema, with what it refers to, and its example: for the tests."""
    found = _document()
    return [
        ({**schema, "components": found["components"]}, body_of(schema))
        for methods in found["paths"].values()
        for operation in methods.values()
        for schema in _bodies(operation)
    ]
