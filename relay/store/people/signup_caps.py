"""The caps on confirmation mail, read in the transaction that records.

They are counted from what is on record, so that a restart resets none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.model import SubjectKeys
from relay.store.sqlite.transaction import Transaction

MINUTE: Final = 60.0
DAY: Final = 86_400.0

_NEIGHBOURS: Final = (
    "SELECT count(*), coalesce(sum(wide = ?), 0) FROM signup_attempts WHERE network = ? AND at > ?"
)
_ATTEMPT: Final = (
    "INSERT INTO signup_attempts (network, wide, at) VALUES (?, ?, ?)"
    " ON CONFLICT (network, wide) DO UPDATE SET at = excluded.at"
)
_MAILS_TO_PERSON: Final = """
SELECT count(*), coalesce(sum(tenant_id = ?), 0) FROM signups WHERE wide = ? AND posted_at > ?
"""
_OPEN_ELSEWHERE: Final = """
SELECT count(*) FROM signups
 WHERE wide = ? AND tenant_id = ? AND state IN ('posting', 'posted', 'mailed') AND at > ?
   AND list_id NOT IN (SELECT value FROM json_each(?))
"""
_MAILS_OF_TENANT: Final = """
SELECT count(*), coalesce(sum(form = ? AND posted_at > ?), 0) FROM signups
 WHERE tenant_id = ? AND posted_at > ?
"""


@dataclass(frozen=True, slots=True)
class Caps:
    """How much confirmation mail may leave; every number is a most."""

    to_person_of_tenant: int
    """Mails to one person for one tenant in 24 hours; ``+tags`` are one person."""
    open_of_person: int
    """Requests of one person at one tenant that wait for an answer."""
    to_person: int
    """Mails to one person for all tenants in 24 hours."""
    persons_of_network: int
    """Persons asked for from one client network in a minute."""
    of_form: int
    """Mails that one form causes in a minute."""
    of_tenant: int
    """Mails for one tenant in 24 hours."""
    lifetime: float
    """Seconds for which a request can be answered."""


def too_many(tx: Transaction, network: str, keys: SubjectKeys, *, now: float, caps: Caps) -> bool:
    """Whether a client network asks for one person too many; if not, this one is counted.

    Every request counts, whatever comes of it: else the answer would tell of the person.
    """
    wide = keys.wide.hex()
    tx.raw.execute("DELETE FROM signup_attempts WHERE at <= ?", (now - MINUTE,))
    persons, this_one = tx.raw.execute(_NEIGHBOURS, (wide, network, now - MINUTE)).fetchone()
    if not this_one and persons >= caps.persons_of_network:
        return True
    tx.raw.execute(_ATTEMPT, (network, wide, now))
    return False


def mail_allowed(
    tx: Transaction,
    tenant_id: int,
    keys: SubjectKeys,
    *,
    form: str,
    same_scope: str,
    now: float,
    caps: Caps,
) -> bool:
    """Whether one more mail may leave; ``same_scope`` is a JSON array of the lists whose open
    requests this one would replace."""
    wide = keys.wide.hex()
    to_person, of_tenant = tx.raw.execute(_MAILS_TO_PERSON, (tenant_id, wide, now - DAY)).fetchone()
    (waiting,) = tx.raw.execute(
        _OPEN_ELSEWHERE, (wide, tenant_id, now - caps.lifetime, same_scope)
    ).fetchone()
    mails, of_form = tx.raw.execute(
        _MAILS_OF_TENANT, (form, now - MINUTE, tenant_id, now - DAY)
    ).fetchone()
    return bool(
        of_tenant < caps.to_person_of_tenant
        and to_person < caps.to_person
        and waiting < caps.open_of_person
        and of_form < caps.of_form
        and mails < caps.of_tenant
    )
