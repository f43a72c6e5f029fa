"""The caps on confirmation mail, read in the transaction that records.

They are counted from what is on record, so that a restart resets none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.model import SubjectKeys
from relay.store.people.person_mails import CONFIRMATION
from relay.store.sqlite.transaction import Transaction

MINUTE: Final = 60.0
DAY: Final = 86_400.0
MOST_REQUESTS: Final = 10
"""Requests of one person at one tenant that are put on record in 24 hours, mailed or not."""

_NEIGHBOURS: Final = (
    "SELECT count(*), coalesce(sum(wide = ?), 0) FROM signup_attempts WHERE network = ? AND at > ?"
)
_ATTEMPT: Final = (
    "INSERT INTO signup_attempts (network, wide, at) VALUES (?, ?, ?)"
    " ON CONFLICT (network, wide) DO UPDATE SET at = excluded.at"
)
# Of requests that were erased, ``person_mails`` still knows that mail left.
_OF_PERSON: Final = f"""
SELECT coalesce(sum(posted_at > ?1), 0), coalesce(sum(tenant_id = ?2 AND posted_at > ?1), 0),
       coalesce(sum(tenant_id = ?2 AND at > ?1), 0)
  FROM (SELECT tenant_id, at, posted_at FROM signups WHERE wide = ?3
        UNION ALL
        SELECT tenant_id, at, at FROM person_mails WHERE wide = ?3 AND kind = '{CONFIRMATION}')
"""  # noqa: S608 - constants
_OPEN_ELSEWHERE: Final = """
SELECT count(*) FROM signups
 WHERE wide = ? AND tenant_id = ? AND state IN ('posting', 'posted', 'mailed') AND at > ?
   AND list_id NOT IN (SELECT value FROM json_each(?))
"""
_MAILS_OF_TENANT: Final = f"""
SELECT count(*) + (SELECT count(*) FROM person_mails
                    WHERE tenant_id = ?3 AND at > ?4 AND kind = '{CONFIRMATION}'),
       coalesce(sum(form = ?1 AND posted_at > ?2), 0)
  FROM signups WHERE tenant_id = ?3 AND posted_at > ?4
"""  # noqa: S608 - constants


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


@dataclass(frozen=True, slots=True)
class Room:
    """What the caps leave for a request."""

    on_record: bool
    """A new one may be put on record. What cannot be mailed for a reason of this tenant's own is
    not: strangers could fill the ledger with it. Other tenants' mail makes no difference here."""
    mail: bool
    """Its mail may leave."""


def room(
    tx: Transaction,
    tenant_id: int,
    keys: SubjectKeys,
    *,
    form: str,
    same_scope: str,
    now: float,
    caps: Caps,
) -> Room:
    """What may come of one more request; ``same_scope`` is a JSON array of the lists whose open
    requests this one would replace."""
    wide = keys.wide.hex()
    to_person, of_tenant, requests = tx.raw.execute(
        _OF_PERSON, (now - DAY, tenant_id, wide)
    ).fetchone()
    (waiting,) = tx.raw.execute(
        _OPEN_ELSEWHERE, (wide, tenant_id, now - caps.lifetime, same_scope)
    ).fetchone()
    mails, of_form = tx.raw.execute(
        _MAILS_OF_TENANT, (form, now - MINUTE, tenant_id, now - DAY)
    ).fetchone()
    here = (
        of_tenant < caps.to_person_of_tenant
        and waiting < caps.open_of_person
        and of_form < caps.of_form
        and mails < caps.of_tenant
    )
    return Room(
        on_record=here and requests < MOST_REQUESTS, mail=here and to_person < caps.to_person
    )
