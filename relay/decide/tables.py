"""Reading the TOML tables of a rulebook, with messages that say where and what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from relay.decide.terms import nearest

CONFIGURED = "configured"
"""The ``then`` that leaves the action to the list, or else the tenant."""

_RULE_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*rule[ \t]*\]\]", re.MULTILINE)
_EXAMPLE_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*example[ \t]*\]\]", re.MULTILINE)


class RulebookError(Exception):
    """A rulebook that cannot be used; names the file, the line, the rule and the key."""


class Place:
    """Says where something stands: ``base.toml:12: rule 'loop'``."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._rules = [text.count("\n", 0, at.end()) + 1 for at in _RULE_HEADER.finditer(text)]
        self._examples = [
            text.count("\n", 0, at.end()) + 1 for at in _EXAMPLE_HEADER.finditer(text)
        ]

    def whole(self) -> str:
        """The file."""
        return self._file

    def rule(self, number: int, raw: Mapping[str, object]) -> str:
        """File, line and id of a rule, counted from 0."""
        label = f"rule {raw['id']!r}" if "id" in raw else f"rule number {number + 1}"
        return f"{self._at(self._rules, number)}: {label}"

    def example(self, number: int) -> str:
        """File and line of an example, counted from 0."""
        return f"{self._at(self._examples, number)}: example number {number + 1}"

    def _at(self, lines: Sequence[int], number: int) -> str:
        # Rules written as an inline array have no header line to point at.
        return f"{self._file}:{lines[number]}" if number < len(lines) else self._file


def known_keys(table: Mapping[str, object], known: Sequence[str], where: str) -> None:
    """Raises RulebookError for a key that is not ``known``, with the nearest that is."""
    for key in table:
        if key not in known:
            raise RulebookError(f"{where}: unknown key {key!r}{nearest(key, known)}")


def tables(data: Mapping[str, object], key: str, place: Place) -> Sequence[Mapping[str, object]]:
    """The ``[[key]]`` tables of a rulebook. Raises RulebookError."""
    tables = data.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RulebookError(f"{place.whole()}: {key} must be written as [[{key}]]")
    return tables


def text_of(table: Mapping[str, object], key: str, where: str, default: str | None = None) -> str:
    """The text under ``key``. Raises RulebookError when it is missing or no text."""
    value = table.get(key, default)
    if value is None:
        raise RulebookError(f"{where}: key {key!r} is missing")
    if not isinstance(value, str):
        raise RulebookError(f"{where}: {key} must be a text, not {value!r}")
    return value
