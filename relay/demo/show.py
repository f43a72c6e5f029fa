"""``demo`` as a person sees it: one round, a table, and a relay that stays up."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from relay.demo.house import House, build
from relay.demo.round import Row, play
from relay.demo.scenarios import DORA
from relay.demo.sink import Sink
from relay.tasks import Tasks

COLOURS = {
    "sent": "green",
    "held": "yellow",
    "waiting": "yellow",
    "dropped": "magenta",
    "refused": "red",
    "bounced": "red",
}


async def demo(*, once: bool, as_json: bool) -> int:
    """Play one round; unless ``once``, stay up until interrupted. Returns the exit status: 0 when
    every fate was the right one."""
    tasks = Tasks()
    sink = Sink(tasks)
    with tempfile.TemporaryDirectory(prefix="consent-relay-demo-") as directory:
        house = await build(Path(directory) / "relay", await sink.start())
        try:
            rows = [row async for row in play(house, sink)]
            if as_json:
                print(json.dumps([_as_json(row) for row in rows], indent=2))
            else:
                _print_round(rows, house, sink)
            if not once:
                print("\nThe relay stays up; Ctrl-C ends it and removes everything.", flush=True)
                await asyncio.Event().wait()
        finally:
            await house.relay.stop(5.0)
            await sink.stop()
            await tasks.drain(1.0)
    return 0 if all(row.right for row in rows) else 1


def _as_json(row: Row) -> dict[str, str]:
    return {
        "scenario": row.scenario,
        "recipient": row.recipient,
        "expected": row.expected,
        "fate": row.fate,
        "reason": row.reason,
    }


def _print_round(rows: list[Row], house: House, sink: Sink) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("message", "recipient", "fate", "reason"):
        table.add_column(column, overflow="fold")
    before = ""
    for row in rows:
        fate = f"[{COLOURS.get(row.fate, 'white')}]{row.fate}[/]"
        if not row.right:
            fate += f" [bold red](expected {row.expected})[/]"
        table.add_row(
            row.scenario if row.scenario != before else "", row.recipient, fate, row.reason
        )
        before = row.scenario
    console.print(table)
    right = sum(row.right for row in rows)
    console.print(f"\n{right} of {len(rows)} fates are as they must be.\n")
    console.print(f"SMTP            {house.smtp[0]}:{house.smtp[1]}")
    user, secret = house.accounts["shop"]
    console.print(f"  as            {user}  {secret}")
    console.print(f"Why a refusal   {house.public_url}/why/no-consent", soft_wrap=True)
    console.print(f"Unsubscribe     {_link(sink)}", soft_wrap=True)
    console.print(f"Metrics         {house.metrics_url}", soft_wrap=True)


def _link(sink: Sink) -> str:
    """The link in the last newsletter that arrived."""
    content = sink.sent_to(DORA)[-1].content
    return content.partition(b"List-Unsubscribe: <")[2].partition(b">")[0].decode()
