"""The annotated configuration file, made from the settings and their docstrings.

``python -m relay.operate.reference`` prints ``config/relay.toml``.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from relay.settings import Section, Settings
from relay.settings_file import section_of

_HEAD = """\
consent-relay: configuration. Every setting is shown with its default, unless it was given to
`consent-relay init`. Relative paths start at the directory of this file. Any setting can also
come from the environment: RELAY__SMTP__MAX_RECIPIENTS=500 (arrays and tables as JSON).
An unknown key is an error: `consent-relay check` names it.
"""


def reference_toml(values: Mapping[str, Any] | None = None) -> str:
    """The whole file as text; ``values`` maps dotted keys to what stands in place of a default.

    The value of ``smtp.listeners`` is a list of mappings.
    """
    given = dict(values or {})
    lines = [*_comment(_HEAD), ""]
    settings = Settings()
    for name, field in Settings.model_fields.items():
        if section_of(field.annotation) is None:
            lines += [*_plain(name, field, given.pop(name, getattr(settings, name))), ""]
    for name, field in Settings.model_fields.items():
        section = section_of(field.annotation)
        if section is not None:
            lines += _table(name, section, getattr(settings, name), given)
    if given:
        raise KeyError(next(iter(given)))
    return "\n".join(lines).rstrip() + "\n"


def _table(
    name: str, section: type[Section], value: BaseModel, given: dict[str, Any]
) -> Iterator[str]:
    yield from ("", *_comment(section.__doc__ or ""), f"[{name}]", "")
    # TOML: what follows an array of tables belongs to it, so the plain keys come first.
    for key, field in section.model_fields.items():
        if section_of(field.annotation) is None:
            yield from _plain(key, field, given.pop(f"{name}.{key}", getattr(value, key)))
            yield ""
    for key, field in section.model_fields.items():
        below = section_of(field.annotation)
        if below is not None:
            members = [member.model_dump() for member in getattr(value, key)]
            yield from _array(f"{name}.{key}", below, field, given.pop(f"{name}.{key}", members))


def _array(
    name: str, section: type[Section], field: FieldInfo, members: list[dict[str, Any]]
) -> Iterator[str]:
    yield from _comment(field.description or "")
    for member in members:
        yield f"[[{name}]]"
        for key, below in section.model_fields.items():
            yield from _plain(key, below, member.get(key, below.default))
        yield ""


def _plain(key: str, field: FieldInfo, value: Any) -> Iterator[str]:
    yield from _comment(field.description or "")
    yield f'# {key} = "..."' if value is None else f"{key} = {_toml(value)}"


def _comment(text: str) -> list[str]:
    text = " ".join(text.replace("``", "`").split())
    return [f"# {line}" for line in textwrap.wrap(text, 96, break_on_hyphens=False)]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:_}" if isinstance(value, int) else repr(value)
    if isinstance(value, str | Path):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return "[" + ", ".join(_toml(member) for member in value) + "]"


if __name__ == "__main__":
    print(reference_toml(), end="")  # noqa: T201  the file is its output
