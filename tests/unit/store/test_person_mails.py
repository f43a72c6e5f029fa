"""Letters to persons are counted by person, over all spellings, and across restarts."""

from __future__ import annotations

from pathlib import Path

from relay.store import Store
from tests.support.clock import FakeClock
from tests.unit.store.samples import open_store

WHO, DAY = b"w" * 16, 86_400.0


async def claim(store: Store, tenant: int, at: float, kind: str = "view") -> bool:
    return await store.person_mails.claim(
        WHO, kind, tenant, at=at, seconds=DAY, per_tenant=2, per_person=3
    )


async def test_caps_are_per_tenant_and_per_person(store: Store) -> None:
    assert [await claim(store, 1, 10.0) for _ in range(3)] == [True, True, False]
    assert [await claim(store, 2, 20.0) for _ in range(2)] == [True, False]
    assert await claim(store, 1, 20.0, kind="other")


async def test_a_day_later_there_is_room_again_and_refusals_took_none(store: Store) -> None:
    assert [await claim(store, 1, 10.0) for _ in range(9)].count(True) == 2
    assert not await claim(store, 1, 10.0 + DAY - 1)
    assert [await claim(store, 1, 10.0 + DAY) for _ in range(3)] == [True, True, False]


async def test_counts_survive_a_restart_and_old_ones_go(tmp_path: Path) -> None:
    store = await open_store(tmp_path, FakeClock())
    await claim(store, 1, 10.0)
    await claim(store, 1, 10.0)
    await store.close()
    store = await open_store(tmp_path, FakeClock())
    assert not await claim(store, 1, 11.0)
    await claim(store, 1, 10.0 + 3 * DAY)
    rows = await store.writer.write(
        lambda tx: tx.raw.execute("SELECT count(*) FROM person_mails").fetchone()
    )
    assert rows == (1,)
    await store.close()
