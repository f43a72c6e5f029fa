"""Deletes and blanks what is on record about a person, within one transaction."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from relay.store.erasure.traces import Found, Person, exacts_of
from relay.store.ledger.chain import OPERATOR_CHAIN
from relay.store.people.person_mails import CONFIRMATION, KEPT_SECONDS
from relay.store.sqlite.transaction import Transaction

LIVE: Final = "('waiting', 'held')"
_Count: TypeAlias = Callable[[str, str, Sequence[Any]], None]


def end(tx: Transaction, copies: Sequence[tuple[str, int]]) -> list[str]:
    """End copies at once, with the bodies that no other copy needs; returns the messages whose
    body files nobody needs any more."""
    tx.raw.executemany(
        "UPDATE copies SET state = 'deleted' WHERE message_id = ? AND seq = ?"  # noqa: S608
        f" AND state IN {LIVE}",
        copies,
    )
    gone = (
        "DELETE FROM bodies WHERE message_id = ?1 AND NOT EXISTS (SELECT 1 FROM copies"  # noqa: S608
        f" WHERE message_id = ?1 AND state IN {LIVE}) RETURNING message_id, in_file"
    )
    rows = [row for message in _once(copies) for row in tx.raw.execute(gone, message).fetchall()]
    return [number for number, in_file in rows if in_file]


def take_away(
    tx: Transaction, person: Person, found: Found, tenant_id: int | None, at: float
) -> Counter[tuple[int, str]]:
    """Delete and blank; returns how many of each sort, by tenant id. ``at`` in epoch seconds."""
    counts: Counter[tuple[int, str]] = Counter()
    exacts = found.exacts | exacts_of(tx, person)
    wide, keys = person.keys.wide.hex(), json.dumps(sorted(exacts))

    def count(sort: str, statement: str, parameters: Sequence[Any]) -> None:
        # Each statement returns the tenant of each row it touched.
        for (tenant,) in tx.raw.execute(statement, parameters).fetchall():
            counts[tenant, sort] += 1

    both = (wide, tenant_id)
    count(
        "events",
        "DELETE FROM event_data WHERE event_id IN (SELECT e.id FROM event_data d"
        " JOIN events e ON e.id = d.event_id WHERE d.wide = ?1"
        " AND (?2 IS NULL OR e.tenant_id = ?2) AND e.type != 'erasure'"
        " AND NOT (e.type = 'optout' AND json_extract(d.json, '$.data.channel') = 'erasure'))"
        " RETURNING (SELECT tenant_id FROM events WHERE id = event_id)",
        both,
    )
    count(
        "imported rows",
        "UPDATE import_rows SET json = NULL, salt = NULL, exact = wide, basis = 'none',"
        " at = (SELECT iif(i.kind = 'consent', i.at, import_rows.at) FROM imports i"
        " WHERE i.id = import_id) WHERE wide = ?1 AND json IS NOT NULL"
        " AND (?2 IS NULL OR import_id IN (SELECT id FROM imports WHERE tenant_id = ?2))"
        " RETURNING (SELECT tenant_id FROM imports WHERE id = import_id)",
        both,
    )
    count(
        "consents",
        "DELETE FROM consents WHERE exact IN (SELECT value FROM json_each(?1))"
        " AND (?2 IS NULL OR tenant_id = ?2) RETURNING tenant_id",
        (keys, tenant_id),
    )
    # Without the address a webhook tells nothing. The sender's own one-click address does, and
    # holds none: it may still arrive.
    count(
        "notifications",
        "DELETE FROM outbox WHERE exact IN (SELECT value FROM json_each(?1))"
        " AND NOT (kind = 'one-click' AND state = 'waiting')"
        " AND (?2 IS NULL OR tenant_id = ?2) RETURNING tenant_id",
        (keys, tenant_id),
    )
    # No erasure makes room for more mail: what left of late goes on counting for the caps.
    tx.raw.execute(
        "INSERT INTO person_mails (wide, tenant_id, kind, at)"
        " SELECT wide, tenant_id, ?3, posted_at FROM signups WHERE wide = ?1"
        " AND (?2 IS NULL OR tenant_id = ?2) AND posted_at > ?4",
        (*both, CONFIRMATION, at - KEPT_SECONDS),
    )
    count(
        "sign-ups",
        "DELETE FROM signups WHERE wide = ?1 AND (?2 IS NULL OR tenant_id = ?2)"
        " RETURNING tenant_id",
        both,
    )
    count(
        "one-click addresses",
        "DELETE FROM one_click_urls WHERE tenant_id IN (SELECT id FROM tenants) AND wide = ?1"
        " AND (?2 IS NULL OR tenant_id = ?2) RETURNING tenant_id",
        both,
    )
    _forget_mail(tx, found, count)
    for number in found.told:
        gone = "DELETE FROM outbox WHERE id = ? RETURNING tenant_id"
        count("notifications", gone, (number,))
    for reply in found.replies:
        gone = "DELETE FROM idempotency_keys WHERE tenant_id = ? AND key = ? RETURNING tenant_id"
        count("answers of the API", gone, reply)
    # The address itself goes when no other tenant has it from the person.
    addresses = tx.raw.execute(
        "DELETE FROM subjects WHERE wide = ?1 AND (?2 IS NULL OR NOT (EXISTS (SELECT 1 FROM"
        " consents c WHERE c.exact = subjects.exact) OR EXISTS (SELECT 1 FROM signups s"
        " WHERE s.wide = ?1 AND s.exact = subjects.exact)))",
        both,
    ).rowcount
    # To a tenant the number would tell whether another one has the address.
    if addresses and tenant_id is None:
        counts[OPERATOR_CHAIN, "addresses"] += addresses
    return counts


def _forget_mail(tx: Transaction, found: Found, count: _Count) -> None:
    for copy in found.copies:
        count(
            "copies",
            "DELETE FROM copies WHERE message_id = ? AND seq = ? AND state NOT IN"  # noqa: S608
            f" {LIVE} RETURNING tenant_id",
            copy,
        )
    for message in _once(found.copies):
        count(
            "messages",
            "DELETE FROM messages WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM copies"
            " WHERE message_id = ?1) AND NOT EXISTS (SELECT 1 FROM bodies WHERE message_id = ?1)"
            " RETURNING tenant_id",
            message,
        )
    for number in found.written:
        # What still has to leave needs its sender; it is counted as remaining.
        count(
            "senders and subjects",
            "UPDATE messages SET mail_from = '', from_address = '', subject = '' WHERE id = ?1"
            " AND NOT EXISTS (SELECT 1 FROM bodies WHERE message_id = ?1) RETURNING tenant_id",
            (number,),
        )
    for copy in found.answers:
        count(
            "answers",
            "UPDATE copies SET last_reply = '', findings = NULL WHERE message_id = ? AND seq = ?"
            " RETURNING tenant_id",
            copy,
        )


def _once(copies: Iterable[tuple[str, int]]) -> list[tuple[str]]:
    return [(number,) for number in dict.fromkeys(number for number, _ in copies)]
