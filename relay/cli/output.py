"""What commands print: one JSON document, a table on a terminal, tabs elsewhere.

Data goes to stdout, everything said to a person about it to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from relay.ports import Json

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

PROGRESS_STEP: Final = 100_000
"""Off a terminal a line of progress is written each time this many more are done."""


def say(sentence: str) -> None:
    """One message to a person."""
    print("\n".join(printable(line) for line in sentence.splitlines()), file=sys.stderr)


def counted(number: int, thing: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def printable(line: str) -> str:
    """The line without anything that a terminal would act on; one row stays one line, whatever a
    subject or a detail holds."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line
    )


def show_json(value: Json) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """A list command's result: all fields as JSON, or these columns for a person."""
    if as_json:
        show_json(list(rows))
        return
    if not sys.stdout.isatty():
        print("\t".join(columns))
        for row in rows:
            print("\t".join(_cell(row.get(column)) for column in columns))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, not str: an address such as "[x]@example.org" is no markup.
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    Console(highlight=False).print(table)


def show_record(record: Mapping[str, Any], as_json: bool) -> None:
    """One thing with all its fields."""
    if as_json:
        show_json(record)
        return
    width = max((len(key) for key in record), default=0)
    for key, value in record.items():
        print(f"{key:<{width}}  {_cell(value)}".rstrip())


def _cell(value: Any) -> str:
    if value is None or value in ("", []):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(member) for member in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_cell(member)}" for key, member in value.items())
    return printable(str(value))


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A function (done, total) that draws a bar on a terminal and writes plain lines elsewhere."""
    if sys.stderr.isatty():
        bar = Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        with bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    shown = 0

    def line(done: int, total: int | None) -> None:
        nonlocal shown
        if done - shown >= PROGRESS_STEP:
            shown = done
            say(f"{what}: {done}" + (f" of {total}" if total else ""))

    yield line
