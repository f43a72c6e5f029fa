"""What the declared types refuse, in the client's terms: where it stands, and what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from relay.api.patterns import WANTED

Place: TypeAlias = tuple[str | int, ...]

_SENTENCES: Final = {
    "missing": "It is required.",
    "union_tag_not_found": "It is required.",
    "union_tag_invalid": "It must be one of {expected_tags}.",
    "extra_forbidden": "There is no member of this name here.",
    "string_type": "It must be a string.",
    "int_type": "It must be a whole number.",
    "int_parsing": "It must be a whole number.",
    "int_parsing_size": "It must be a smaller whole number.",
    "int_from_float": "It must be a whole number.",
    "bool_type": "It must be true or false.",
    "bool_parsing": "It must be true or false.",
    "list_type": "It must be an array.",
    "model_attributes_type": "It must be a JSON object.",
    "string_too_short": "It must have at least {min_length} characters.",
    "string_too_long": "It must have at most {max_length} characters.",
    "too_short": "It must have at least {min_length} entries.",
    "too_long": "It must have at most {max_length} entries.",
    "greater_than_equal": "It must be {ge} or more.",
    "less_than_equal": "It must be {le} or less.",
    "less_than": "It must be less than {lt}.",
    "enum": "It must be one of {expected}.",
    "literal_error": "It must be {expected}.",
}
"""By pydantic's name of the error, with what it knows of it."""


def explain(errors: Sequence[Mapping[str, Any]], body: Any) -> dict[Place, str]:
    """Each place, as pydantic names it, with one text on it; ``body`` is what was sent.

    A value that may be of several types is wrong in several ways at the same place.
    """
    found: dict[Place, list[str]] = {}
    for error in errors:
        found.setdefault(_place(error, body), []).append(_sentence(error))
    return {place: " Or: ".join(dict.fromkeys(said)) for place, said in found.items()}


def _sentence(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return f"It must be {WANTED[context['pattern']]}."
    if kind in ("string_too_short", "too_short") and context["min_length"] == 1:
        return "It must not be empty."
    if kind == "value_error":
        return f"It cannot be taken: {context['error']}."
    return _SENTENCES[kind].format_map(context) if kind in _SENTENCES else str(error["msg"])


def _place(error: Mapping[str, Any], body: Any) -> Place:
    """Without what pydantic adds: the names of types that a value could have had."""
    place: Place = tuple(error["loc"])
    if error["type"].startswith("union_tag"):
        return (*place, error["ctx"]["discriminator"].strip("'"))
    if place[0] != "body":
        return place
    if len(place) > 2 and isinstance(body, dict) and place[1] not in body:
        # A body whose kinds are told apart by a member: the kind is named, and not the member.
        place = (place[0], *place[2:])
    value = body
    for depth, part in enumerate(place[1:], 1):
        if not _is_in(value, part):
            return place if error["type"] == "missing" else place[:depth]
        value = value[part]
    return place


def _is_in(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value
