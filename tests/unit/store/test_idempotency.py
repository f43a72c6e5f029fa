from __future__ import annotations

from pathlib import Path

import pytest

from relay.store import Store, idempotency
from relay.store.idempotency import KEPT_SECONDS, Answered
from tests.support.clock import FakeClock
from tests.unit.store.samples import open_store

ANSWER = Answered("r" * 64, 200, '{"recorded":true}')


async def test_an_answer_survives_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    first = await open_store(tmp_path / "data", clock)
    await first.idempotency.keep(1, "k", ANSWER, clock.now())
    await first.close()
    second = await open_store(tmp_path / "data", clock)
    assert await second.idempotency.find(1, "k", clock.now()) == ANSWER
    assert await second.idempotency.find(2, "k", clock.now()) is None
    await second.close()


async def test_old_answers_are_forgotten(store: Store, clock: FakeClock) -> None:
    await store.idempotency.keep(1, "old", ANSWER, clock.now())
    clock.advance(KEPT_SECONDS)
    assert await store.idempotency.find(1, "old", clock.now()) is None
    await store.idempotency.keep(1, "new", ANSWER, clock.now())
    rows = await store.writer.write(
        lambda tx: tx.raw.execute("SELECT key FROM idempotency_keys").fetchall()
    )
    assert rows == [("new",)]


async def test_one_answer_forgets_a_few_old_ones_at_most(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_ONCE", 2)
    for number in range(4):
        await store.idempotency.keep(1, f"old{number}", ANSWER, clock.now())
        clock.advance(1)
    clock.advance(KEPT_SECONDS)
    await store.idempotency.keep(1, "new", ANSWER, clock.now())
    rows = await store.writer.write(
        lambda tx: tx.raw.execute("SELECT key FROM idempotency_keys ORDER BY key").fetchall()
    )
    assert rows == [("new",), ("old2",), ("old3",)]
