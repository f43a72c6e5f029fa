"""``demo`` as a person sees it: one round, a table, and a relay that stays up."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from relay.demo.house import House, build
from relay.demo.people import link_of_ours, subject, unsubscribe_link
from relay.demo.round import Row, play
from relay.demo.scenarios import ANNA
from relay.demo.sink import Sink, Sunk
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
    """Play one round; unless ``once``, stay up. Returns the exit status: 0 when every fate was the
    right one. SIGINT and SIGTERM end it by cancellation."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also where SIGINT was ignored when the process started, as in a shell's background.
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    tasks = Tasks()
    sink = Sink(tasks)
    with tempfile.TemporaryDirectory(prefix="consent-relay-demo-") as directory:
        house = await build(Path(directory) / "relay", await sink.start())
        try:
            rows = [row async for row in play(house, sink)]
            if as_json:
                print(json.dumps([_as_json(row) for row in rows], indent=2))
            else:
                _print_round(rows)
            if not once:
                await _stay(house, sink)
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


def _print_round(rows: list[Row]) -> None:
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
    console.print(f"\n{right} of {len(rows)} fates are as they must be.")


async def _stay(house: House, sink: Sink) -> None:
    """Say where to go on, then show each mail that leaves the relay. Ends by cancellation only."""
    user, secret = house.accounts["shop"]
    for what, where in (
        ("Sign up", house.sign_up_url),
        ("Unsubscribe", unsubscribe_link(sink.sent_to(ANNA)[-1])),
        ("Why a refusal", f"{house.public_url}/why/no-consent"),
        ("Metrics", house.metrics_url),
        ("SMTP", f"{house.smtp[0]}:{house.smtp[1]}"),
        ("  as", f"{user}  {secret}"),
    ):
        _tell(f"{what:<14}  {where}")
    _tell("\nThe relay stays up. Mail that leaves it goes nowhere and is shown below.")
    _tell("Ctrl-C ends it and removes everything.\n")
    shown = len(sink.arrived)
    while True:
        await sink.until(lambda: len(sink.arrived) > shown)  # noqa: B023 - asked within this turn
        for mail in sink.arrived[shown:]:
            _tell(_arrival(mail))
        shown = len(sink.arrived)


def _arrival(mail: Sunk) -> str:
    link = link_of_ours(mail) or unsubscribe_link(mail)
    line = f"to {', '.join(mail.recipients)}: {subject(mail)}"
    return f"{line}\n  {link}" if link else line


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
