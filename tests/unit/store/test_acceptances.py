"""Acceptances of the terms: with their event, found again by what they are for."""

from __future__ import annotations

from dataclasses import replace

from relay.store import Store
from relay.store.people.acceptances import Acceptance

ONE = Acceptance(1, 3, "B. Baker", 9.0, "v1", "a" * 64, "b" * 64)


async def test_the_latest_of_these_terms_for_this_content(store: Store) -> None:
    first = await store.acceptances.add(ONE)
    second = await store.acceptances.add(replace(ONE, accepted_by="C. Clerk", at=10.0))
    found = await store.acceptances.find(1, 3, terms_digest="a" * 64, content_digest="b" * 64)
    assert found == replace(ONE, accepted_by="C. Clerk", at=10.0, event_id=second)
    assert second > first
    for tenant, mailing_list, terms, content in (
        (2, 3, "a", "b"),
        (1, 4, "a", "b"),
        (1, 3, "c", "b"),
        (1, 3, "a", "c"),
    ):
        assert (
            await store.acceptances.find(
                tenant, mailing_list, terms_digest=terms * 64, content_digest=content * 64
            )
            is None
        )


async def test_each_is_an_event(store: Store) -> None:
    await store.acceptances.add(ONE)
    (event,) = [one async for one in store.ledger.export(1)]
    assert (event["type"], event["subject"]) == ("terms.accepted", None)
    assert (await store.ledger.verify()).ok
