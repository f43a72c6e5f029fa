"""``kill -9`` under load: what was acknowledged is somewhere, and who left stays left."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import MakeRelay
from tests.support.crash import CrashRig, Findings, ledger_sink
from tests.support.relay_process import Relay

KILLS = int(os.environ.get("CRASH_KILLS", "20"))
SEED = int(os.environ.get("CRASH_SEED", "20261122"))

# Loaded by every Python of the relay through PYTHONPATH. Once the file is there, mail is
# acknowledged before it is durable; the commit comes a little later, as from a write cache.
EARLY_ACKNOWLEDGEMENT = """
import asyncio, os
import relay.store.sqlite.engine as engine

submit = engine.Writer.submit

async def early(self, lane, item, **how):
    async def later():
        await asyncio.sleep(0.25)
        await submit(self, lane, item, **how)
    if os.path.exists({armed!r}):
        keep.append(asyncio.get_running_loop().create_task(later()))
    else:
        await submit(self, lane, item, **how)

keep = []
engine.Writer.submit = early
"""


async def crash(
    relay: Relay, kills: int, ledger: Path, before_load: Callable[[], None] = lambda: None
) -> Findings:
    findings = await CrashRig(relay, ledger, SEED).run(kills, before_load)
    print(f"seed {SEED}: {findings}")
    assert findings.acknowledged >= 5 * kills, "too little load to say anything"
    assert findings.opted_out > 0
    return findings


async def test_kill_nine_under_load_loses_nothing(make_relay: MakeRelay, tmp_path: Path) -> None:
    ledger = tmp_path / "upstream.ledger"
    with ledger_sink(ledger) as port:
        relay = make_relay(port)
        findings = await crash(relay, KILLS, ledger)
        relay.run("ledger", "verify")
        assert relay.stop() == 0
    assert not findings.red, findings
    # only what was in flight at a kill may arrive twice
    assert findings.doubled <= KILLS * 20
    with sqlite3.connect(relay.directory / "data" / "store.db") as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_the_rig_turns_red_when_durability_is_switched_off(
    make_relay: MakeRelay, tmp_path: Path
) -> None:
    armed = tmp_path / "armed"
    (tmp_path / "blind").mkdir()
    (tmp_path / "blind" / "sitecustomize.py").write_text(
        EARLY_ACKNOWLEDGEMENT.format(armed=str(armed))
    )
    ledger = tmp_path / "upstream.ledger"
    with ledger_sink(ledger) as port:
        relay = make_relay(port, environment={"PYTHONPATH": str(tmp_path / "blind")})
        findings = await crash(relay, 5, ledger, armed.touch)
    assert findings.lost, "the rig is blind: it did not see mail that was never written"
