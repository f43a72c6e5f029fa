"""``python -m tests.bench``: this relay and the peers that are installed, on the same load."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.bench.load import CountingSink, Load, Speed, load_missing, measure
from tests.bench.memory import Size, sizes
from tests.bench.report import MOST_STOLEN, document, size_table, speed_table
from tests.bench.systems import SYSTEMS, System

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"

WARM_UP = 100
"""Mails sent before the clock starts, so that every system has its processes up."""
TRIES = 3
"""How often one system is measured in a round while the hypervisor takes too much."""
REST_SECONDS = 20
"""Before it is measured again: a machine that was busy for long gets less."""


def main() -> int:
    """Run, print, and write the page; 2 when there is no load generator."""
    options = parse()
    if reason := load_missing():
        print(reason, file=sys.stderr)
        return 2
    load = Load(messages=options.messages, persistent=options.persistent)
    chosen = [one for one in SYSTEMS if not options.only or one.key in options.only]
    skipped = {one.key: reason for one in chosen if (reason := one.missing())}
    for key, reason in skipped.items():
        print(f"skipped: {key}: {reason}", flush=True)
    results: dict[str, list[Speed]] = {}
    for number in range(1, options.rounds + 1):
        for system in chosen:
            if system.key not in skipped:
                speed = run_undisturbed(system, load)
                results.setdefault(system.key, []).append(speed)
                print(f"round {number}: {system.name}: {told(speed)}", flush=True)
    print(*speed_table(results, skipped), sep="\n", flush=True)
    measured: list[Size] = list(sizes(options.long_run)) if options.long_run else []
    if measured:
        print(*size_table(measured), sep="\n", flush=True)
    if options.write:
        PAGE.write_text(document(load, options.rounds, results, skipped, measured), "utf-8")
        print(f"written: {PAGE.relative_to(Path.cwd())}")
    return 0


def run_undisturbed(system: System, load: Load) -> Speed:
    """One system, again while the hypervisor takes too much; the least disturbed run."""
    speeds: list[Speed] = []
    while len(speeds) < TRIES:
        speeds.append(run(system, load))
        if speeds[-1].stolen <= MOST_STOLEN:
            break
        print(f"{system.name}: {told(speeds[-1])}; the hypervisor took {speeds[-1].stolen:.0%}")
        time.sleep(REST_SECONDS)
    return min(speeds, key=lambda speed: speed.stolen)


def run(system: System, load: Load) -> Speed:
    """One system from nothing, warmed up, measured."""
    with CountingSink() as sink, system.start(sink.port) as running:
        measure(Load(messages=WARM_UP), running.port, sink)
        return measure(load, running.port, sink)


def told(speed: Speed) -> str:
    """Rates of one run in words."""
    return f"{speed.rate:.0f} mails/s delivered, {speed.accepted_rate:.0f} accepted"


def parse() -> argparse.Namespace:
    """The options; a run that differs from the published load is not written down."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long-run", type=int, default=20_000, help="mails; 0: no size figures")
    parser.add_argument("--persistent", action="store_true", help="keep connections (-d)")
    parser.add_argument("--only", nargs="*", choices=[one.key for one in SYSTEMS])
    options = parser.parse_args()
    ordinary = parser.parse_args([])
    options.write = options == ordinary
    return options


if __name__ == "__main__":
    sys.exit(main())
