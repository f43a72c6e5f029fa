from __future__ import annotations

from dataclasses import replace

from relay.model import CopyState, Reason
from relay.store import Store
from relay.store.mail.held import START
from tests.unit.store.samples import copy, message

HELD = CopyState.HELD


async def test_only_held_copies_of_the_tenant_that_others_wrote(store: Store) -> None:
    await store.mail.accept(message("m1", n=2), b"x", [copy("m1", 1, HELD), copy("m1", 2)], [], 0)
    ours = replace(message("m2"), ours=True)
    await store.mail.accept(ours, b"x", [copy("m2", 1, HELD)], [], 0)
    theirs = replace(message("m3"), tenant_id=2)
    await store.mail.accept(theirs, b"x", [copy("m3", 1, HELD)], [], 0)
    page = await store.held.page(1, after=START, limit=10)
    assert [record.id for record in page] == ["m1.1"]
    for number in ("m1.2", "m2.1", "m3.1", "m1", "m1.x", "m1.9999999999", "", "m1.\u00b2"):
        assert await store.held.one(1, number) is None, number
    assert await store.held.one(1, "m1.1") == page[0]
    assert await store.held.one(2, "m1.1") is None


async def test_pages_follow_each_other_and_keep_to_the_reason(store: Store) -> None:
    for number in range(5):
        reason = Reason.WITHDRAWN if number % 2 else Reason.NO_CONSENT
        held = copy(f"m{number}", 1, HELD, reason=reason)
        await store.mail.accept(message(f"m{number}", at=1_000.0 + number), b"x", [held], [], 0)
    seen: list[str] = []
    after = START
    while page := await store.held.page(1, after=after, limit=2):
        seen += [record.id for record in page]
        after = (page[-1].at, page[-1].message_id, page[-1].seq)
    assert seen == [f"m{number}.1" for number in range(5)]
    withdrawn = await store.held.page(1, after=START, limit=9, reason=Reason.WITHDRAWN)
    assert [record.id for record in withdrawn] == ["m1.1", "m3.1"]
