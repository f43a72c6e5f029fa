"""What we know of one recipient for one list now, from the acts on record.

A consent is given at a scope (tenant › brand › list) and covers everything below; a block at a
scope stops it and all below, whatever consents exist above (clauses A2, B12, B21, B22). Doubt
about which act came last goes against sending. What others put on record about a person after
that person has left never counts, for no list: only the person's own act brings mail back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from relay.model import (
    Act,
    Automation,
    Basis,
    Kind,
    MailingList,
    ScopeLevel,
    Standing,
    StandingState,
)

OPTED_OUT: Final = frozenset({StandingState.WITHDRAWN, StandingState.COMPLAINED})
"""The person has said no: by an opt-out or by a complaint."""
BLOCKS: Final = OPTED_OUT | {StandingState.SUPPRESSED}
"""What stops mail, whatever consents there are."""
_ABSENT = Standing(StandingState.ABSENT)
_STRENGTH = {
    Basis.CONFIRMED: 6,
    Basis.APPROVED: 5,
    Basis.CUSTOMER: 4,
    Basis.ATTESTED: 3,
    Basis.OFFLINE: 1,
    Basis.NONE: 0,
}
_AUTOMATED = 2
"""Strength of a confirmation that looks as if a machine had made it."""
_DAY: Final = 86_400
_NO_LIST: Final = -1
WIDTH: Final = {ScopeLevel.TENANT: 2, ScopeLevel.BRAND: 1, ScopeLevel.LIST: 0}
"""How much each level covers: more than those of a smaller number."""


def standing(
    acts: Sequence[Act], *, tenant_id: int, mailing_list: MailingList | None, now: float
) -> Standing:
    """The standing of one recipient; ``now`` in seconds since the epoch.

    ``acts`` may be of any tenant and scope: only those covering the list count (without a list,
    only tenant-wide ones). After a block only the person's own later act reopens: a confirmation
    by us, unless it was certainly a machine's, or a signed event of an approved source; imports and
    attestations never do, and one that was put on record after the person left any part of this
    tenant does not count at all.
    """
    if not acts:
        return _ABSENT
    operator_suppressed = bounce_suppressed = False
    blocks: list[Act] = []
    consents: list[Act] = []
    for act in acts:
        if act.state is StandingState.SUPPRESSED and _expired(act, now):
            continue
        if act.tenant_id is None:
            operator_suppressed |= act.state is StandingState.SUPPRESSED
        elif act.tenant_id != tenant_id:
            continue
        elif _is_bounce(act):
            bounce_suppressed = True
        elif not _covers(act, mailing_list):
            continue
        elif act.state in BLOCKS:
            blocks.append(act)
        elif _counts(act):
            consents.append(act)
    known = _known(blocks, consents, now)
    if not (operator_suppressed or bounce_suppressed):
        return known
    return replace(
        known, bounce_suppressed=bounce_suppressed, operator_suppressed=operator_suppressed
    )


def widest_consent(
    acts: Sequence[Act], *, tenant_id: int, mailing_list: MailingList | None, now: float
) -> Act | None:
    """The consent that an opt-out from a mail of this list closes: the widest that covered it.

    Looks at consents in force first. When none is (the link was used before), the latest one that
    covered the list, so that a second click closes the same scope and never a wider one. None:
    there never was a consent, and the opt-out is tenant-wide (clause B21).
    """
    covering = [act for act in acts if act.tenant_id == tenant_id and _covers(act, mailing_list)]
    blocks = [act for act in covering if act.state in BLOCKS and not _is_bounce(act)]
    grants = [act for act in covering if act.state is StandingState.GRANTED and _counts(act)]
    in_force = [act for act in grants if not _expired(act, now) and not _ended(act, blocks)]
    if in_force:
        return max(in_force, key=lambda act: (WIDTH[level(act)], _order(act)))
    return max(grants, key=_order, default=None)


def level(act: Act) -> ScopeLevel:
    """The scope at which an act was made."""
    if act.list_id is not None:
        return ScopeLevel.LIST
    return ScopeLevel.BRAND if act.brand_id is not None else ScopeLevel.TENANT


def brand_itself(tenant_id: int, brand_id: int | None) -> MailingList:
    """Stands for a brand where a list is asked for: a list of it that nobody ever spoke of."""
    return MailingList(_NO_LIST, tenant_id, "", Kind.COMMERCIAL, "", "", brand_id)


def _known(blocks: Sequence[Act], consents: Iterable[Act], now: float) -> Standing:
    if blocks:
        consents = [act for act in consents if _reopens_all(act, blocks)]
        if not any(act.state is StandingState.GRANTED for act in consents):
            block = max(blocks, key=_order)
            return Standing(block.state, since=block.at, event_id=block.event_id)
    granted: list[Act] = []
    expired: Act | None = None
    pending: Act | None = None
    for act in consents:
        if act.state is StandingState.PENDING:
            if not _expired(act, now) and (pending is None or _order(act) > _order(pending)):
                pending = act
        elif _expired(act, now):
            if expired is None or _order(act) > _order(expired):
                expired = act
        else:
            granted.append(act)
    if granted:
        return _granted(granted, now)
    if pending is not None:
        return Standing(StandingState.PENDING, pending.basis, pending.at, pending.event_id)
    if expired is not None:
        return Standing(StandingState.EXPIRED, expired.basis, expired.at, expired.event_id)
    return _ABSENT


def _granted(living: Sequence[Act], now: float) -> Standing:
    best = living[0] if len(living) == 1 else max(living, key=_rank)
    # A weaker ground never keeps a stronger one alive: a list imported again and again would.
    # Confirmed and approved keep each other alive; both are enough.
    least = min(_strength(best), _STRENGTH[Basis.APPROVED])
    last = max(last_sign(act) for act in living if _strength(act) >= least)
    return Standing(
        state=StandingState.GRANTED,
        basis=best.basis,
        since=best.at,
        event_id=best.event_id,
        automated=best.automated,
        unused_days=max(0, int((now - last) // _DAY)),
    )


def last_sign(act: Act) -> float:
    """When a consent was given, or mail last left under it; epoch seconds."""
    return act.at if act.used_at is None else max(act.at, act.used_at)


def _counts(act: Act) -> bool:
    return act.own_act or not act.after_optout or act.state is not StandingState.GRANTED


def _covers(act: Act, mailing_list: MailingList | None) -> bool:
    if act.list_id is not None:
        return mailing_list is not None and mailing_list.id == act.list_id
    if act.brand_id is not None:
        return mailing_list is not None and mailing_list.brand_id == act.brand_id
    return True


def _reopens_all(act: Act, blocks: Iterable[Act]) -> bool:
    # The ledger says what came first, not the clock, which may have been set back between the two.
    # What a source dates itself must be later by its date as well: it may be sent in late.
    witnessed = act.basis is Basis.CONFIRMED
    by_person = act.own_act and act.automated is not Automation.CERTAIN
    return by_person and all(
        act.event_id > block.event_id and (witnessed or act.at >= block.at) for block in blocks
    )


def _ended(grant: Act, blocks: Iterable[Act]) -> bool:
    """Whether a block at the grant's own scope or wider came after it."""
    width = WIDTH[level(grant)]
    wider = [block for block in blocks if WIDTH[level(block)] >= width]
    return bool(wider) and not _reopens_all(grant, wider)


def _is_bounce(act: Act) -> bool:
    return act.state is StandingState.SUPPRESSED and act.detail.startswith("bounce")


def _expired(act: Act, now: float) -> bool:
    return act.expires_at is not None and act.expires_at <= now


def _order(act: Act) -> tuple[float, int]:
    return act.at, act.event_id


def _strength(act: Act) -> int:
    return _AUTOMATED if act.automated is Automation.CERTAIN else _STRENGTH[act.basis]


def _rank(act: Act) -> tuple[int, float, int]:
    return _strength(act), act.at, act.event_id
