"""Versions of notices: content-addressed, numbered for each list, and in the ledger."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from relay.decide.notice import Notice, digest
from relay.store import Store
from tests.support.clock import FakeClock

NOTICE = Notice(
    "en", "News", "1/week", "Shop", "Shop Ltd", "Street 1", "", "i@shop.test", "", "Yes"
)


async def types(store: Store, tenant_id: int) -> list[object]:
    return [event["data"] async for event in store.ledger.export(tenant_id)]


async def test_the_same_words_are_the_same_version(store: Store, clock: FakeClock) -> None:
    first = await store.notice_versions.ensure(1, 7, NOTICE, at=clock.now())
    clock.advance(5)
    assert await store.notice_versions.ensure(1, 7, NOTICE, at=clock.now()) == first
    assert (first.version, first.content, first.digest) == (1, NOTICE, digest(NOTICE))
    assert await types(store, 1) == [
        {"list": 7, "version": 1, "language": "en", "digest": digest(NOTICE)}
    ]


async def test_versions_count_for_each_list(store: Store, clock: FakeClock) -> None:
    dutch = replace(NOTICE, language="nl", question="Ja")
    made = [
        await store.notice_versions.ensure(1, list_id, notice, at=clock.now())
        for list_id, notice in ((7, NOTICE), (7, dutch), (8, NOTICE), (7, NOTICE))
    ]
    assert [version.version for version in made] == [1, 2, 1, 1]
    assert made[3] == made[0]
    assert await store.notice_versions.of_list(7) == made[:2]
    assert await store.notice_versions.version(made[2].id) == made[2]
    assert await store.notice_versions.version(99) is None


async def test_many_at_once_make_one(store: Store, clock: FakeClock) -> None:
    made = await asyncio.gather(
        *(store.notice_versions.ensure(1, 7, NOTICE, at=clock.now()) for _ in range(10))
    )
    assert len(set(made)) == 1
    assert len(await types(store, 1)) == 1


async def test_ids_tell_nothing_of_other_tenants(store: Store, clock: FakeClock) -> None:
    """A number that counts would, and would name other words after a restore."""
    made = [await store.notice_versions.ensure(1, n, NOTICE, at=clock.now()) for n in range(5)]
    ids = [version.id for version in made]
    assert len(set(ids)) == 5
    assert min(abs(one - other) for one in ids for other in ids if one != other) > 5
    assert all(0 < one <= 2**48 for one in ids)
