"""``kill -9`` in the middle of a load: what was acknowledged is there, whole."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from pathlib import Path

from relay.model import CopyState
from tests.support.clock import FakeClock
from tests.unit.store.samples import open_store, person

KILLS = 3


async def acknowledged_until_killed(data_dir: Path, run: int, lines: int) -> list[list[str]]:
    """What the process said before it was killed, once it had said so many lines."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.store.load", str(data_dir), str(run)),
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = [await process.stdout.readline() for _ in range(lines)]
    process.kill()
    said += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    return [line.decode().split() for line in said if line.endswith(b"\n")]


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, clock: FakeClock) -> None:
    rng = random.Random(9)
    said: list[list[str]] = []
    for run in range(KILLS):
        said += await acknowledged_until_killed(tmp_path, run, rng.randrange(50, 400))
    assert len(said) > 200
    store = await open_store(tmp_path, clock, large_body=2_000)
    sent = {name for what, name, _ in said if what == "sent"}
    for what, name, size in said:
        if what == "mail":
            (copy,) = await store.mail.copies(name, [1])
            if name in sent:
                assert copy.state is CopyState.SENT
            elif copy.state is CopyState.WAITING:  # else sent, and killed before it said so
                assert len(await store.mail.body(name)) == int(size)
        elif what == "optout":
            (acts,) = await store.consents.acts(1, [person(f"{name}@ok.test")])
            assert acts
    assert (await store.ledger.verify()).ok
    usage = store.mail.usage(1)
    await store.close()
    raw = sqlite3.connect(tmp_path / "store.db")
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    live = "SELECT count(*) FROM copies WHERE state IN ('waiting', 'held')"
    assert raw.execute(live).fetchone() == (usage[0],)
    raw.close()
