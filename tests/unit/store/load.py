"""A process that fills a store until it is killed, and prints what was acknowledged.

Run as ``python -m tests.unit.store.load DATA_DIR RUN``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from relay.clock import SystemClock
from relay.model import CopyState
from relay.ports import CopyChange
from tests.unit.store.samples import copy, message, open_store, person

LARGE = 2_000


async def session(store, run: str, number: int) -> None:  # type: ignore[no-untyped-def]
    """One client: mail, its delivery now and then, an opt-out now and then."""
    for turn in range(1_000_000):
        name = f"{run}-{number}-{turn}"
        size = LARGE * 2 if turn % 5 == 0 else 100
        await store.mail.accept(message(name, size=size), b"x" * size, [copy(name)], [], 0)
        print("mail", name, size, flush=True)
        if turn % 3 == 0:
            await store.mail.change([CopyChange(name, 1, CopyState.SENT, 0.0, 1, "250 ok")])
            print("sent", name, size, flush=True)
        if turn % 4 == 0:
            await store.consents.withdraw(1, person(f"{name}@ok.test"), at=1.0, channel="link")
            print("optout", name, 0, flush=True)


async def main() -> None:
    """Open and fill."""
    store = await open_store(Path(sys.argv[1]), SystemClock(), large_body=LARGE)
    await asyncio.gather(*(session(store, sys.argv[2], number) for number in range(8)))


asyncio.run(main())
