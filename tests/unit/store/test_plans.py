"""Nothing that is done for every act, row or minute reads a table that grows from end to end."""

from __future__ import annotations

import re

from relay.model import Basis
from relay.store import ImportRow, Store
from relay.store.idempotency import Answered
from relay.store.sqlite.transaction import Session, Transaction
from tests.support.clock import FakeClock
from tests.unit.store.samples import newsletter, person, tenant

GROWING = frozenset(
    {"events", "event_data", "subjects", "import_rows", "consents", "suppressions", "messages"}
    | {"signups", "outbox", "signup_attempts", "person_mails", "idempotency_keys"}
    | {"one_click_urls"}
)
ANN = person("ann@ok.test")
ANSWER = Answered("r" * 64, 200, "{}")


def scans(session: Session, statement: str) -> list[str]:
    """What of its plan reads a growing table, or a whole index of it, from end to end."""
    plan = session.raw.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    aliases = dict(re.findall(r"(?:FROM|JOIN|,|UPDATE)\s+(\w+)\s+(?:AS\s+)?(\w+)", statement))
    named = {alias: table for table, alias in aliases.items()}
    found = []
    for *_, step in plan:
        read = re.match(r"SCAN (\w+)", step)
        # Of all that waits in one lane, to find what is about one person.
        wide = "outbox_due (tenant_id=? AND lane=?)" in step
        if wide or (read is not None and named.get(read[1], read[1]) in GROWING):
            found.append(f"{step}: {' '.join(statement.split())}")
    return found


async def test_no_scan_for_an_act_nor_each_minute(store: Store, clock: FakeClock) -> None:
    shop = await store.registry.add_tenant(tenant())
    news = await store.registry.add_list(newsletter(shop.id))
    await store.webhooks.add(shop.id, "https://shop.test/hook", at=1.0)
    seen: list[str] = []
    readers = store._readers

    def watch(session: Session) -> None:
        session.raw.set_trace_callback(seen.append)

    await store.writer.write(watch)
    for reader in readers:
        await reader.read(watch)

    # For every act.
    now = clock.now()
    await store.consents.grant(
        shop.id, ANN, basis=Basis.CONFIRMED, at=now, own_act=True, list_id=news.id, address="a@ok"
    )
    event = await store.consents.withdraw(shop.id, ANN, at=now + 1, channel="page", list_id=news.id)
    await store.consents.came_back(shop.id, ANN, event)
    await store.consents.address_of(ANN, shop.id)
    await store.consents.show(ANN)
    await store.own_events.of(ANN.wide, shop.id)
    await store.changes.of_person(shop.id, ANN, after=(0, 0), limit=100)
    await store.proofs.referred(shop.id, ANN.wide, ids=[event], acceptances=[1])
    await store.idempotency.keep(shop.id, "k", ANSWER, now)
    await store.person_mails.claim(
        ANN.wide, "link", shop.id, at=now, seconds=60, per_tenant=1, per_person=1
    )
    # When something has to be told, and on every look at the metrics.
    for lane in await store.outbox.lanes():
        assert await store.outbox.next(lane, now + 2) is not None
    # Every minute.
    await store.outbox.give_up_old(now - 1)
    await store.outbox.purge_dead(now - 1)
    await store.signups.lapse(now=now, lifetime=1, kept=1)
    await store.one_click_urls.forget_old(now)
    await store.mail.purge_records(now)
    await store.mail.counts()
    # When the operator asks for it.
    await store.outbox.retry(shop.id)
    await store.webhooks.remove(shop.id, "https://shop.test/hook")

    def look(tx: Transaction) -> list[str]:
        tx.raw.set_trace_callback(None)
        wanted = r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b"
        return [line for one in set(seen) if re.match(wanted, one) for line in scans(tx, one)]

    assert await store.writer.write(look) == []
    assert any("FROM signups" in one for one in seen), "nothing was watched"


async def test_each_imported_row_is_verified_by_its_person(store: Store) -> None:
    for kind in ("consent", "optout"):
        number = await store.imports.begin(kind, 1, at=9.0)  # type: ignore[arg-type]
        row = ImportRow(2, ANN, "ann@ok.test", 8.0, Basis.APPROVED)
        await store.imports.stage(number, [row])
        await store.imports.commit(number)
    seen: list[str] = []
    for reader in store._readers:
        await reader.read(lambda session: session.raw.set_trace_callback(seen.append))
    assert (await store.ledger.verify()).ok
    looks = [one for one in set(seen) if re.match(r"SELECT 1 FROM (consents|suppressions)", one)]
    assert len(looks) == 2

    def plans(tx: Transaction) -> list[str]:
        rows = [tx.raw.execute(f"EXPLAIN QUERY PLAN {one}").fetchall() for one in looks]
        return sorted(step for [(*_, step)] in rows)

    assert await store.writer.write(plans) == [
        "SEARCH consents USING INDEX consents_exact (exact=? AND tenant_id=?)",
        "SEARCH suppressions USING INDEX suppressions_wide (wide=?)",
    ]
