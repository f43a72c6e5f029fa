"""Where a person stands in what has no index by person: copies, messages, running text.

Each look reads one page and says where the next begins, so that it can be done in short reads while
mail goes on, or all at once within a restore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from relay.decide.address import AddressError, parse_address
from relay.model import Address, CopyState, SubjectKeys
from relay.ports import CopyChange
from relay.store.sqlite.transaction import Session

_PAGE: Final = 5_000
"""Rows that one read looks at."""

_EXACTS: Final = """
SELECT exact FROM subjects WHERE wide = ?1
UNION SELECT exact FROM event_data WHERE wide = ?1 AND exact IS NOT NULL
UNION SELECT exact FROM import_rows WHERE wide = ?1
UNION SELECT exact FROM signups WHERE wide = ?1
"""
_SPELLED: Final = """
SELECT address FROM subjects s
 WHERE s.wide = ?1 AND s.address IS NOT NULL
   AND (?2 IS NULL
        OR EXISTS (SELECT 1 FROM consents c WHERE c.exact = s.exact AND c.tenant_id = ?2)
        OR EXISTS (SELECT 1 FROM signups u WHERE u.exact = s.exact AND u.tenant_id = ?2))
"""
_COPIES: Final = """
SELECT message_id, seq, tenant_id, state, next_at, attempts, wire,
       coalesce(wide_address, exact_address, wire), exact, last_reply, coalesce(findings, '')
  FROM copies WHERE (message_id, seq) > (?, ?) ORDER BY message_id, seq LIMIT ?
"""
_MESSAGES: Final = """
SELECT rowid, id, tenant_id, mail_from, from_address, subject FROM messages
 WHERE rowid > ? ORDER BY rowid LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Who is to be erased: every spelling with the same wide key."""

    keys: SubjectKeys
    """Of the spelling that was given."""
    wide: str = ""
    """The wide key itself, in clear; empty when only the keyed hash is known (a restore)."""
    texts: frozenset[str] = frozenset()
    """The spellings that are known, as given and in lower case."""

    @classmethod
    def of(cls, address: Address, keys: SubjectKeys) -> Person:
        """The person whose mailbox ``address`` is."""
        spelled = (address.wire, address.wire.lower(), address.exact, address.wide)
        return cls(keys, address.wide, frozenset(spelled))


@dataclass(slots=True)
class Found:
    """Where a person was found in what has no index by person."""

    exacts: set[str]
    """Keyed hashes of all spellings."""
    texts: set[str]
    """All spellings, as given and in lower case."""
    live: list[CopyChange]
    """Copies that wait or are held, as changes that end them."""
    copies: list[tuple[str, int]]
    """All copies to the person, live ones too."""
    written: list[str]
    """Messages from the person, or with the address in the subject."""
    answers: list[tuple[str, int]]
    """Copies to others that name the person in an answer or finding."""
    told: list[int]
    """Notifications that name the person."""
    replies: list[tuple[int, str]]
    """Kept answers of the API that name the person."""


def exacts_of(session: Session, person: Person) -> set[str]:
    """Keyed hashes (hex) of every spelling of the address that is on record."""
    rows = session.raw.execute(_EXACTS, (person.keys.wide.hex(),))
    return {exact for (exact,) in rows} | {person.keys.exact.hex()}


def known(session: Session, person: Person, tenant_id: int | None) -> Found:
    """The spellings of the address that are on record, and nothing found yet. For one tenant those
    that it has from the person: what is removed must not tell it of another's."""
    rows = session.raw.execute(_SPELLED, (person.keys.wide.hex(), tenant_id))
    texts = {text for (address,) in rows for text in (address, address.lower())} | person.texts
    return Found(exacts_of(session, person), texts, [], [], [], [], [], [])


def look_at_copies(
    session: Session,
    person: Person,
    tenant_id: int | None,
    found: Found,
    after: tuple[str, int],
) -> tuple[str, int] | None:
    """Add what one page holds; returns where the next begins, None at the end."""
    page = session.raw.execute(_COPIES, (*after, _PAGE)).fetchall()
    for number, seq, tenant, state, next_at, attempts, wire, wide, exact, *words in page:
        if tenant_id not in (None, tenant):
            continue
        if exact in found.exacts or (person.wide and wide == person.wide):
            found.copies.append((number, seq))
            found.texts |= {wire, wire.lower()}
            if exact is not None:
                found.exacts.add(exact)
            if state in ("waiting", "held"):
                found.live.append(CopyChange(number, seq, CopyState.DELETED, next_at, attempts))
        elif any(_names(found.texts, word.lower()) for word in words):
            found.answers.append((number, seq))
    return (page[-1][0], page[-1][1]) if page else None


def look_at_messages(
    session: Session, person: Person, tenant_id: int | None, found: Found, after: int
) -> int | None:
    """Add what one page holds; returns where the next begins, None at the end."""
    page = session.raw.execute(_MESSAGES, (after, _PAGE)).fetchall()
    for _, number, tenant, mail_from, from_address, subject in page:
        if tenant_id not in (None, tenant):
            continue
        senders = (mail_from, from_address)
        if any(_is(person, found, sender) for sender in senders) or (
            _names(found.texts, subject.lower())
        ):
            found.written.append(number)
            spelled = [sender for sender in senders if _is(person, found, sender)]
            found.texts |= {text for one in spelled for text in (one, one.lower())}
    return page[-1][0] if page else None


def look_at_texts(session: Session, tenant_id: int | None, found: Found) -> None:
    """What holds an address in running text: small tables, looked through whole."""
    # SQLite's lower() knows the letters of ASCII alone, and so does that of octets.
    for text in {text.encode().lower().decode() for text in found.texts}:
        found.told += [
            number
            for (number,) in session.raw.execute(
                "SELECT id FROM outbox WHERE instr(lower(json || url || last_answer), ?1)"
                " AND (?2 IS NULL OR tenant_id = ?2)",
                (text, tenant_id),
            )
        ]
        found.replies += session.raw.execute(
            "SELECT tenant_id, key FROM idempotency_keys"
            " WHERE instr(lower(key || coalesce(body, '')), ?1)"
            " AND (?2 IS NULL OR tenant_id = ?2)",
            (text, tenant_id),
        ).fetchall()


def _names(texts: Iterable[str], words: str) -> bool:
    """Whether an address stands in some words (in lower case) as a whole."""
    return any(
        re.search(rf"(?<![\w.+-]){re.escape(text)}(?![\w-])", words) is not None
        for text in texts
        if text in words
    )


def _is(person: Person, found: Found, wire: str) -> bool:
    if not wire:
        return False
    if wire.lower() in found.texts:
        return True
    try:
        return bool(person.wide) and parse_address(wire).wide == person.wide
    except AddressError:
        return False
