"""Consents on the word of others: once for each number, and nothing of the erased."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.ports import NewEvent
from relay.store import Store
from relay.store.erasure.erasure import Person
from relay.store.people.recordings import Number, NumberTaken
from relay.store.sqlite.transaction import Transaction
from tests.support.clock import FakeClock
from tests.unit.store.samples import address, open_store, person

ANN = person("ann@ok.test")
NUMBER = Number(1, "aa", "bb")
EVENT = NewEvent(
    1,
    "consent.granted",
    9.0,
    ANN,
    {"brand": None, "list": 3, "basis": "approved", "own_act": True, "expires_at": None},
)


async def test_a_number_counts_once(store: Store) -> None:
    first = await store.recordings.record(EVENT, address="ann@ok.test", number=NUMBER)
    assert await store.recordings.record(EVENT, address="ann@ok.test", number=NUMBER) == first
    with pytest.raises(NumberTaken):
        await store.recordings.record(EVENT, address="x", number=Number(1, "aa", "cc"))
    for other in (Number(2, "aa", "cc"), Number(1, "ab", "bb"), None):
        assert await store.recordings.record(EVENT, address="ann@ok.test", number=other) != first
    assert await store.consents.address_of(ANN, None) == "ann@ok.test"
    assert (await store.ledger.verify()).events == 4


async def test_the_spelling_that_the_person_gave_stays(store: Store) -> None:
    """A tenant's own word must not send a person's letters to another spelling."""
    await store.recordings.record(EVENT, address="Ann@ok.test")
    await store.recordings.record(EVENT, address="ann@ok.test")
    assert await store.consents.address_of(ANN, None) == "Ann@ok.test"


async def test_at_the_same_moment_it_counts_once(store: Store) -> None:
    done = await asyncio.gather(
        *(store.recordings.record(EVENT, address="a@ok.test", number=NUMBER) for _ in range(20))
    )
    assert len(set(done)) == 1


async def test_a_number_is_known_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    store = await open_store(tmp_path, clock)
    first = await store.recordings.record(EVENT, address="ann@ok.test", number=NUMBER)
    await store.close()
    store = await open_store(tmp_path, clock)
    assert await store.recordings.record(EVENT, address="ann@ok.test", number=NUMBER) == first
    await store.close()


async def test_nothing_of_an_erased_person_is_kept(store: Store) -> None:
    who = Person.of(address("ann@ok.test"), ANN)
    await store.erasure.remove(who, await store.erasure.find(who, None), None, 5.0)
    assert await store.recordings.record(EVENT, address="ann@ok.test", number=NUMBER) is None

    def count(tx: Transaction) -> int:
        tables = ("consents", "subjects", "signed_consents")
        return sum(tx.raw.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables)

    assert await store.writer.write(count) == 0
