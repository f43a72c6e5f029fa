"""Each notice is sent once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.clock import FakeClock
from tests.unit.store.samples import open_store


async def test_a_notice_is_claimed_once(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock)
    claims = await asyncio.gather(*(store.notices.claim(1, "digest", 5) for _ in range(5)))
    assert sorted(claims) == [False] * 4 + [True]
    await store.close()
    store = await open_store(tmp_path, clock)
    assert not await store.notices.claim(1, "digest", 5)
    assert await store.notices.claim(1, "first-hold", 5)
    assert await store.notices.claim(2, "digest", 5)
    assert await store.notices.claim(1, "digest", 6)
    await store.close()
