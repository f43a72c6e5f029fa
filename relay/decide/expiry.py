"""When a consent runs out: by the date on it, or by a rulebook's patience with disuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from relay.decide.rulebook import Policy
from relay.decide.standing import standing
from relay.decide.terms import INDEX, TERMS, Fact
from relay.model import Act, Basis, Kind, MailingList, Standing, StandingState, Tenant

DAY: Final = 86_400
_UNUSED: Final = INDEX["unused_days"]


@dataclass(frozen=True, slots=True)
class Lapse:
    """A consent that counts now and will not any more."""

    at: float
    """Epoch seconds; by disuse to the day."""
    why: Literal["date", "unused"]
    basis: Basis
    since: float
    """When it was given; epoch seconds."""
    unused_days: int


def disuse_limit(policy: Policy, tenant: Tenant, basis: Basis) -> int | None:
    """From how many days of disuse on some rule objects to a mailing under a consent of this
    basis; None when none ever does (clauses A12, B5)."""
    known: dict[str, Fact] = {
        "kind": Kind.COMMERCIAL,
        "declared": True,
        "standing": StandingState.GRANTED,
        "basis": basis,
        "tenant_admits_attested": tenant.attested_admitted,
    }
    facts = [known.get(term.name, term.usual) for term in TERMS]
    limits = []
    for rule in policy.rules:
        days = dict(rule.tests).get(_UNUSED)
        if isinstance(days, range):
            facts[_UNUSED] = days.start
            if rule.fires(tuple(facts)):
                limits.append(days.start)
    return min(limits, default=None)


def lapse(
    acts: Sequence[Act],
    *,
    tenant: Tenant,
    mailing_list: MailingList | None,
    policy: Policy,
    now: float,
    until: float,
) -> Lapse | None:
    """How the consent for a list (without one, for the tenant as a whole) ends between ``now`` and
    ``until``, epoch seconds, if nothing is sent and nothing is said; None when it does not."""

    def alive(person: Standing) -> bool:
        limit = disuse_limit(policy, tenant, person.basis)
        return person.state is StandingState.GRANTED and (
            limit is None or person.unused_days < limit
        )

    person = standing(acts, tenant_id=tenant.id, mailing_list=mailing_list, now=now)
    if not alive(person) or alive(
        standing(acts, tenant_id=tenant.id, mailing_list=mailing_list, now=until)
    ):
        return None
    ends: list[tuple[float, Literal["date", "unused"]]] = [
        (act.expires_at, "date")
        for act in acts
        if act.event_id == person.event_id and act.expires_at is not None
    ]
    limit = disuse_limit(policy, tenant, person.basis)
    if limit is not None:
        ends.append((now + (limit - person.unused_days) * DAY, "unused"))
    at, why = min(ends)
    return Lapse(min(at, until), why, person.basis, person.since or 0.0, person.unused_days)
