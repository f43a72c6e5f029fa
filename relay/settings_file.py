"""The configuration file: where it is, what it says, and what is wrong with it.

Every complaint is one sentence that names the file, the line and the key.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from relay.settings import Section, Settings
from relay.settings_checks import Key, Wrong, check, dotted

SYSTEM_FILE: Final = Path("/etc/consent-relay/relay.toml")
LOCAL_FILE: Final = Path("relay.toml")
FILE_VARIABLE: Final = "CONSENT_RELAY_CONFIG"
PREFIX: Final = "RELAY__"


class SettingsError(Exception):
    """The configuration cannot be used; the message is one sentence for a person."""


def find(path: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration file: ``path``, else $CONSENT_RELAY_CONFIG, else /etc, else here.

    Raises SettingsError when there is none.
    """
    named = path or (Path(environ[FILE_VARIABLE]) if environ.get(FILE_VARIABLE) else None)
    if named is not None:
        if not named.is_file():
            raise SettingsError(f"the configuration file {named} does not exist")
        return named
    for candidate in (SYSTEM_FILE, LOCAL_FILE):
        if candidate.is_file():
            return candidate
    raise SettingsError(
        f"no configuration file: give --config FILE or set {FILE_VARIABLE}, "
        f"or make {SYSTEM_FILE} (`consent-relay init DIR` writes one)"
    )


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> tuple[Settings, Path]:
    """Read, overlay with ``RELAY__SECTION__KEY`` variables, validate.

    Returns the settings with every path made absolute (relative ones start at the directory of
    the file) and the file they came from. Raises SettingsError.
    """
    file = find(path, environ).absolute()
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: the file is not UTF-8 text ({error.reason})") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from error
    # tomllib takes CRLF and LF only; a byte-order mark is what some editors on Windows leave.
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_broken_toml(file, text, error)) from error
    overrides = dict(_overrides(environ))
    for key, (_, value) in overrides.items():
        _put(table, key, value)
    try:
        settings = _absolute(Settings.model_validate(table), file.parent)
        check(settings)
    except ValidationError as error:
        raise SettingsError(_first(file, text, overrides, error.errors())) from error
    except Wrong as error:
        raise SettingsError(_where(file, text, overrides, error.key) + error.sentence) from error
    return settings, file


# --- The environment ------------------------------------------------------------------------


def _overrides(environ: Mapping[str, str]) -> Iterator[tuple[Key, tuple[str, Any]]]:
    """(key, (variable, value)) of every RELAY__ variable; arrays and tables are written as JSON."""
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            value: Any = environ[variable]
            if value[:1] in ("[", "{"):
                try:
                    value = json.loads(value)
                except ValueError:
                    value = environ[variable]  # "[::1]:25" is an address, not an array
            yield tuple(variable[len(PREFIX) :].lower().split("__")), (variable, value)


def _put(table: dict[str, Any], key: Key, value: Any) -> None:
    for part in key[:-1]:
        below = table.setdefault(str(part), {})
        if not isinstance(below, dict):
            return
        table = below
    table[str(key[-1])] = value


# --- Where a key stands -----------------------------------------------------------------------


def _first(
    file: Path,
    text: str,
    overrides: Mapping[Key, tuple[str, Any]],
    errors: Sequence[ErrorDetails],
) -> str:
    """The sentence about the error that stands first in the file."""
    first = min(errors[:20], key=lambda error: line_of(text, error["loc"]) or 0)
    return _where(file, text, overrides, first["loc"]) + _sentence(first, first["loc"])


def _where(file: Path, text: str, overrides: Mapping[Key, tuple[str, Any]], key: Key) -> str:
    for depth in range(len(key), 0, -1):
        if key[:depth] in overrides:
            return f"environment variable {overrides[key[:depth]][0]}: "
    line = line_of(text, key)
    return f"{file}:{line}: " if line else f"{file}: "


def line_of(text: str, key: Key) -> int | None:
    """The line (from 1) on which ``key``, or else its nearest table, begins; None when absent.

    tomllib tells no positions, so it is asked: the statement that gives the key is the one that
    follows the longest run of lines that parses without it.
    """
    lines = text.split("\n")
    for depth in range(len(key), 0, -1):
        without = 0
        for end in range(1, len(lines) + 1):
            try:
                table = tomllib.loads("\n".join(lines[:end]))
            except tomllib.TOMLDecodeError:
                continue
            if not _has(table, key[:depth]):
                without = end
                continue
            begin = without
            while not lines[begin].strip() or lines[begin].lstrip().startswith("#"):
                begin += 1
            return begin + 1
    return None


def _has(value: Any, key: Key) -> bool:
    for part in key:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _broken_toml(file: Path, text: str, error: tomllib.TOMLDecodeError) -> str:
    said = str(error)
    match = re.search(r" \(at line (\d+), column \d+\)$", said)
    line = int(match[1]) if match else max(1, len(text.splitlines()))
    what = said[: match.start()] if match else said.removesuffix(" (at end of document)")
    return f"{file}:{line}: this is not TOML: {what[:1].lower()}{what[1:]}"


# --- What is wrong with it --------------------------------------------------------------------


def _sentence(error: ErrorDetails, key: Key) -> str:
    name, given, kind = dotted(key), error["input"], error["type"]
    if kind == "extra_forbidden":
        near = _nearest(key)
        return f"{name} is not a setting" + (f"; did you mean {near}?" if near else "")
    if kind == "missing":
        return f"{name} is missing"
    if isinstance(given, str | int | float | bool):
        shown = f", not {json.dumps(given, ensure_ascii=False)[:60]}"
    else:
        shown = f", not {'an array' if isinstance(given, list) else 'a table'}"
    said = error["msg"]
    if kind.endswith("_parsing") or kind in ("int_from_float", "model_type", "path_type"):
        said = said.partition(",")[0].partition(" or instance of")[0]
    said = said.replace("Input should", "must").replace("String should", "must")
    said = said.replace("a valid dictionary", "a table").replace("valid tuple", "valid array")
    return f"{name} {said}{shown}"


def _nearest(key: Key) -> str | None:
    """The valid key most like an unknown one: the same word in another table, a like word in its
    own table, a like key anywhere."""
    section = _section(key[:-1])
    leaf = str(key[-1])
    everywhere = list(_all_keys(Settings))
    same_word = [known for known in everywhere if known.rpartition(".")[2] == leaf]
    if same_word:
        return same_word[0]
    if section is not None:
        here = get_close_matches(leaf, list(section.model_fields), n=1, cutoff=0.6)
        if here:
            return dotted((*key[:-1], here[0]))
    return next(iter(get_close_matches(dotted(key), everywhere, n=1)), None)


def _section(key: Key) -> type[BaseModel] | None:
    section: type[BaseModel] = Settings
    for part in key:
        if isinstance(part, int):
            continue
        if part not in section.model_fields:
            return None
        below = section_of(section.model_fields[part].annotation)
        if below is None:
            return None
        section = below
    return section


def section_of(annotation: Any) -> type[Section] | None:
    """The Section that a field's annotation is, or is an array of; None for a plain value."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _all_keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        below = section_of(field.annotation)
        if below is not None:
            yield from _all_keys(below, f"{prefix}{name}.")


# --- Paths --------------------------------------------------------------------------------------


def _absolute(settings: Settings, base: Path) -> Settings:
    def at(path: Path | None) -> Path | None:
        return None if path is None else base / path

    smtp, upstream, operator = settings.smtp, settings.upstream, settings.operator
    store = settings.store
    return settings.model_copy(
        update={
            "data_dir": base / settings.data_dir,
            "store": store.model_copy(update={"heads_copy": at(store.heads_copy)}),
            "operator": operator.model_copy(update={"terms_file": at(operator.terms_file)}),
            "smtp": smtp.model_copy(
                update={"tls_certificate": at(smtp.tls_certificate), "tls_key": at(smtp.tls_key)}
            ),
            "upstream": upstream.model_copy(
                update={
                    "ca_file": at(upstream.ca_file),
                    "password_file": at(upstream.password_file),
                }
            ),
        }
    )
