"""A person's timeline as lines for a person: times as dates, evidence under its part's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from relay.cli.output import printable

_UNSAID: Final = ("brand", "list", "exact", "wide", "at", "kept")
"""What the line above says already, or other lines."""
_TIMES: Final = ("at", "expires_at", "page_fetched_at", "backup_at")
"""Seconds since the epoch in an event's data."""


def lines(entry: Mapping[str, Any]) -> Iterator[str]:
    """One entry of ``consent.show``: when, what and where, then what was kept of it."""
    yield f"{entry['time']}  event {entry['event']}: {entry['type']}  {_where(entry)}".rstrip()
    for name, value in entry["data"].items():
        if name not in _UNSAID:
            yield from _said(name, value)


def _where(entry: Mapping[str, Any]) -> str:
    tenant = entry["tenant"] or ""
    if entry["list"]:
        return f"{tenant}/{entry['list']}"
    return f"{tenant}, brand {entry['brand']}" if entry["brand"] else tenant


def _said(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        part = "" if name == "evidence" else f"{name} "
        for inner, held in value.items():
            yield from _said(f"{part}{inner}", held)
    elif value not in (None, "", []):
        first, *more = _shown(name.rpartition(" ")[2], value).splitlines()
        yield printable(f"    {name}: {first}")
        yield from (printable(f"      {line}") for line in more)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if name in _TIMES and isinstance(value, int | float):
        return datetime.fromtimestamp(int(value), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)
