"""The figures as Markdown, for people."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.bench.load import Load, Speed
from tests.bench.memory import MEGABYTE, Size
from tests.bench.systems import SYSTEMS

MOST_STOLEN = 0.05
"""Above this part of the processors' time a measurement says more of other machines."""
TARGETS = {"rspamd": 3.0, "opendkim": 4.0}
"""How many times faster this relay must be."""


def median(speeds: Sequence[Speed]) -> float:
    """The middle rate of the rounds, in mails a second."""
    return statistics.median(speed.rate for speed in speeds)


def most_stolen(results: Mapping[str, Sequence[Speed]]) -> float:
    """The largest part of the processors' time that the hypervisor took during any measurement."""
    return max((speed.stolen for speeds in results.values() for speed in speeds), default=0.0)


def speed_table(results: Mapping[str, Sequence[Speed]], skipped: Mapping[str, str]) -> list[str]:
    """One line per system: rate, spread, and how many times faster this relay is."""
    relay = median(results["relay"]) if results.get("relay") else None
    lines = [
        "| system | what it does for each mail | mails/s | lowest to highest | consent-relay is |",
        "|---|---|---:|---:|---:|",
    ]
    for system in SYSTEMS:
        speeds = results.get(system.key)
        if not speeds:
            if system.key in skipped:
                lines.append(
                    f"| {system.name} | {system.does} | not run | | {skipped[system.key]} |"
                )
            continue
        rates = [speed.rate for speed in speeds]
        ratio = ""
        if relay is not None and system.key != "relay":
            ratio = f"{relay / median(speeds):.2f} x"
            if system.key in TARGETS:
                ratio += f" (aim {TARGETS[system.key]:.0f} x)"
        lines.append(
            f"| {system.name} | {system.does} | {median(speeds):.0f} "
            f"| {min(rates):.0f} to {max(rates):.0f} | {ratio} |"
        )
    return lines


def size_table(sizes: Sequence[Size]) -> list[str]:
    """One line per measure."""
    lines = ["| measure | MB | allowed |", "|---|---:|---:|"]
    lines += [
        f"| {size.what} | {size.octets / MEGABYTE:.1f} | {size.limit / MEGABYTE:.0f} |"
        for size in sizes
    ]
    return lines


def document(
    load: Load,
    rounds: int,
    results: Mapping[str, Sequence[Speed]],
    skipped: Mapping[str, str],
    sizes: Sequence[Size],
) -> str:
    """The whole page ``docs/benchmarks.md``."""
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`; figures of one run on one machine, to compare the systems",
            "with each other and not with figures from elsewhere.",
            "",
            *(f"- {key}: {value}" for key, value in machine().items()),
            f"- Load: `{load.command}`, a new connection for each mail, every system in turn, "
            f"{rounds} rounds; the middle round counts",
            "- Timed from the first connection until the sink (`smtp-sink`) has everything; the "
            "same sink for all",
            "- rspamd: dkim_signing and ratelimit (redis), all other modules and rules off; "
            "rspamd and OpenDKIM as milters of a Postfix that stores and forwards",
            "- Measured again, up to 3 times, while the hypervisor took over "
            f"{MOST_STOLEN:.0%} of the processors; during what counts here it took at most "
            f"{most_stolen(results):.0%}",
            "- consent-relay: one process; only limits that would slow the load down are raised",
            "",
            "## Speed",
            "",
            *speed_table(results, skipped),
            "",
            "## Size",
            "",
            *size_table(sizes),
            "",
        ]
    )


def machine() -> dict[str, str]:
    """What it ran on, without names of hosts or people."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    versions = {
        "Python": platform.python_version(),
        "uvloop": version("uvloop"),
        "Postfix": said(["postconf", "-d", "-h", "mail_version"]),
        "rspamd": said(["rspamd", "--version"]),
        "OpenDKIM": said(["opendkim", "-V"]),
    }
    return {
        "Date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Machine": f"{processor[1] if processor else platform.machine()}, "
        f"{os.cpu_count()} cores, {int(memory[1]) // 1_000_000 if memory else '?'} GB, "
        f"Linux {platform.release().split('-')[0]}, loopback",
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items() if number),
    }


def said(command: Sequence[str]) -> str:
    """The first version number that a program prints, or empty when it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return ""
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else ""
