"""The page of settings, from ``relay.settings``."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.generator.markdown import code, prose, table
from docs.generator.words import STARTS_ANEW
from relay.settings import Settings
from relay.settings_file import section_of


def configuration() -> Iterator[str]:
    """Every setting: key, type, default, meaning."""
    yield "# Configuration"
    yield ""
    yield (
        "One TOML file. `--config FILE` before the command names it, or `CONSENT_RELAY_CONFIG`; "
        "else it is `/etc/consent-relay/relay.toml`, else `./relay.toml`. "
        "[config/relay.toml](../../config/relay.toml) is the whole file with its comments, and "
        "`consent-relay init DIR` writes one."
    )
    yield ""
    yield from (
        "- Relative paths start at the directory of the file.",
        "- An unknown key is an error, and so is a value that cannot work: `consent-relay check` "
        "names file, line and key.",
        "- Every setting can come from the environment, which beats the file: "
        "`RELAY__SMTP__MAX_RECIPIENTS=500`. Arrays and tables are written as JSON.",
        "- `systemctl reload` (SIGHUP) takes up changes. A mistake changes nothing and is logged. "
        f"These wait for a restart: {', '.join(map(code, STARTS_ANEW))}; and the name and address "
        "of the operator on the pages.",
    )
    yield ""
    yield "## Top level"
    yield ""
    settings = Settings()
    plain = [name for name in Settings.model_fields if name not in _sections()]
    yield from _settings_table(Settings, settings, plain, "")
    for name, section in _sections().items():
        yield f"## [{name}]"
        yield ""
        yield prose(section.__doc__ or "")
        yield ""
        value = getattr(settings, name)
        keys = list(section.model_fields)
        yield from _settings_table(section, value, keys, f"{name}.")
        for key, field in section.model_fields.items():
            below = section_of(field.annotation)
            if below is not None:
                yield f"### [[{name}.{key}]]"
                yield ""
                first = getattr(value, key)[0]
                yield (
                    f"{prose(field.description or '')} Write one such table for each; without any "
                    f"there is one on `{first.address}`."
                )
                yield ""
                yield from _settings_table(below, first, list(below.model_fields), "")


def _sections() -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    for name, field in Settings.model_fields.items():
        section = section_of(field.annotation)
        if section is not None:
            found[name] = section
    return found


def _settings_table(
    section: type[BaseModel], value: BaseModel, keys: Sequence[str], prefix: str
) -> Iterator[str]:
    rows = []
    for key in keys:
        field = section.model_fields[key]
        if section_of(field.annotation) is None:
            default = "required" if field.is_required() else _default(getattr(value, key))
            meaning = prose(field.description or "")
            rows.append((code(prefix + key), _type(field), default, meaning))
    yield from table(("key", "type", "default", "meaning"), rows)


def _type(field: FieldInfo) -> str:
    words = _annotation(field.annotation)
    for bound in field.metadata:
        if isinstance(bound, annotated_types.Ge):
            words += f", at least {bound.ge}"
        elif isinstance(bound, annotated_types.Gt):
            words += f", above {bound.gt}"
        elif isinstance(bound, annotated_types.MinLen):
            words += f", {bound.min_length} characters or more"
        elif isinstance(bound, annotated_types.MaxLen):
            words += f", at most {bound.max_length}"
        else:
            raise TypeError(f"no words for {bound!r}")
    return words


def _annotation(annotation: Any) -> str:
    names = {str: "text", int: "whole number", float: "number", Path: "path", bool: "true or false"}
    if annotation in names:
        return names[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " · ".join(f'`"{word}"`' for word in inner)
    if origin is tuple:
        return f"array of {_annotation(inner[0])}s"
    if origin in (Union, types.UnionType):
        (given,) = [kind for kind in inner if kind is not type(None)]
        return _annotation(given)
    raise TypeError(f"no words for {annotation!r}")


def _default(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, int):
        return code(f"{value:_}")
    if isinstance(value, float):
        return code(repr(value))
    if isinstance(value, tuple):
        inner = ", ".join(_default(member).strip("`") for member in value)
        return code(f"[{inner}]")
    return code(f'"{value}"')
