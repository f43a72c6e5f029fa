"""Overwrites what deletion leaves behind in the store's files.

SQLite deletes a row by letting go of its place. ``secure_delete = FAST`` zeroes that place while
its page stays in use, but three leftovers remain:

- **Free pages** keep what stood on them. They are filled with rows of zeros until none is left,
  and these rows are deleted again with ``secure_delete = ON``, which zeroes each page as it goes
  free, list pages included. Each step takes up at most ``STEP_PAGES`` pages in a transaction that
  mail shares, so nothing waits longer than for one large message. The file grows by a
  page or two, the WAL by what a checkpoint of SQLite's own takes back as usual.
- **The WAL** keeps pages as they were. ``wal_checkpoint(TRUNCATE)`` empties it, between two
  transactions, and only when no reader stands on an old snapshot: it never waits in the writer's
  thread, but is tried again for some seconds. While a backup copies the store it cannot succeed;
  the result says so, and housekeeping comes back.
- **Slack** of pages in use: when SQLite moves rows between neighbouring pages, their old octets may
  stay in the unused middle of a page, out of reach of any statement. So afterwards all files are
  searched for the address as it may be spelled there. When it is still in the database and the
  database is small, VACUUM rewrites it (well under a second for ``VACUUM_BELOW``); a large one is
  never rewritten while mail waits: the result says so, and the same command with the relay stopped
  does it.

Blocks that the file system has given back (deleted body files, a truncated WAL) are the operator's:
disk encryption or the file system's own means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.ports import StoreTrouble
from relay.store.backup import DATABASE, KEYS
from relay.store.erasure.spelled import search, spellings
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.lock import LOCK
from relay.store.sqlite.transaction import Transaction

STEP_PAGES: Final = 256
"""Pages that one step overwrites: 1 MiB."""
VACUUM_BELOW: Final = 64 * 1024 * 1024
"""Octets up to which a database may be rewritten while mail waits."""
TRUNCATE_TRIES: Final = 50
TRUNCATE_PAUSE: Final = 0.1
"""Seconds between tries to empty the WAL."""
_NOT_SEARCHED: Final = frozenset({KEYS, "reserve", LOCK, f"{DATABASE}-shm"})


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What came of it."""

    done: bool
    """Free pages and the WAL are overwritten."""
    problem: str
    """Why not, in one sentence; empty when done."""
    found_in: tuple[str, ...]
    """Files, relative to the data directory, in which one of the texts still stands, or is part
    of a longer one."""


class Scrub:
    """Used by one task at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir: Final = data_dir
        self._turn: Final = asyncio.Lock()
        self._writer: Writer

    def attach(self, writer: Writer) -> None:
        """Hand over the connection."""
        self._writer = writer

    async def run(
        self,
        texts: Sequence[str] = (),
        *,
        rewrite: bool = False,
        vacuum_below: int | None = VACUUM_BELOW,
    ) -> Scrubbed:
        """Overwrite the leftovers, then look for ``texts`` (addresses) in all files.

        ``rewrite`` the database also when they are not found in it, because more was erased than
        they say. ``vacuum_below`` in octets; None: rewrite a database of any size when it has to
        be, which holds up all mail meanwhile. Never raises for trouble of the store: it is in the
        result.
        """
        async with self._turn:
            try:
                return await self._run(texts, rewrite, vacuum_below)
            except StoreTrouble as error:
                return Scrubbed(False, f"The store could not be overwritten: {error}.", ())

    async def _run(self, texts: Sequence[str], rewrite: bool, vacuum_below: int | None) -> Scrubbed:
        full = await self._overwrite_free_pages()
        emptied = await self._empty_wal()
        found = await self._search(texts)
        size = self._size(DATABASE)
        if (rewrite or DATABASE in found) and (vacuum_below is None or size <= vacuum_below):
            small = size <= VACUUM_BELOW
            await self._writer.write(lambda tx: _vacuum_after(tx, small))
            emptied = await self._empty_wal()
            found = await self._search(texts)
        if not full:
            why = "Free pages came back faster than they could be overwritten."
        elif not emptied:
            why = "A long read, such as a backup, keeps the write-ahead log from being emptied."
        else:
            why = ""
        return Scrubbed(not why, why, found)

    async def _overwrite_free_pages(self) -> bool:
        """Whether there was a moment without any free page of before."""
        free = await self._writer.write(lambda tx: _free_pages(tx))
        left = free
        # Mail frees pages meanwhile, and those are taken first: twice the steps, then give up.
        for _ in range(2 * (free // STEP_PAGES) + 8):
            if left == 0:
                break
            left = await self._writer.write(_fill)
        while await self._writer.write(_clear):
            pass
        return left == 0

    async def _empty_wal(self) -> bool:
        for attempt in range(TRUNCATE_TRIES):
            if attempt:
                await asyncio.sleep(TRUNCATE_PAUSE)
            busy: list[bool] = await self._writer.write(_truncate_after)
            if busy == [False]:
                return True
        return False

    async def _search(self, texts: Sequence[str]) -> tuple[str, ...]:
        needles = spellings(texts)
        if not needles:
            return ()
        return await asyncio.to_thread(search, self._data_dir, needles, _NOT_SEARCHED)

    def _size(self, name: str) -> int:
        return (self._data_dir / name).stat().st_size


# --- in the writer's thread -----------------------------------------------------------------


def _free_pages(tx: Transaction) -> int:
    (pages,) = tx.raw.execute("PRAGMA freelist_count").fetchone()
    return int(pages)


def _fill(tx: Transaction) -> int:
    """Put zeros on some free pages; returns how many are left."""
    free = _free_pages(tx)
    if free:
        (size,) = tx.raw.execute("PRAGMA page_size").fetchone()
        # A little less than the pages hold: what little the row takes besides comes on top.
        octets = max(1, min(free, STEP_PAGES) * (size - 8) - size // 2)
        tx.raw.execute("INSERT INTO filler (octets) VALUES (zeroblob(?))", (octets,))
    return _free_pages(tx)


def _clear(tx: Transaction) -> bool:
    """Delete one row of zeros; False when there was none."""
    tx.raw.execute("PRAGMA secure_delete = ON").fetchone()
    try:
        gone = tx.raw.execute("DELETE FROM filler WHERE id = (SELECT max(id) FROM filler)")
        return gone.rowcount > 0
    finally:
        tx.raw.execute("PRAGMA secure_delete = FAST").fetchone()


def _truncate_after(tx: Transaction) -> list[bool]:
    """Empty the WAL once ``tx`` has committed; the list then says whether a reader was in the
    way."""
    busy: list[bool] = []

    def truncate() -> None:
        (blocked, *_) = tx.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        busy.append(bool(blocked))

    tx.after(truncate)
    return busy


def _vacuum_after(tx: Transaction, small: bool) -> None:
    """Rewrite the database once ``tx`` has committed; a small one without a temporary file."""

    def vacuum() -> None:
        tx.raw.execute(f"PRAGMA temp_store = {'MEMORY' if small else 'DEFAULT'}")
        try:
            tx.raw.execute("VACUUM")
        finally:
            tx.raw.execute("PRAGMA temp_store = DEFAULT")

    tx.after(vacuum)
