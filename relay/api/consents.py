"""What is on record about one person."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field

from relay.api.calling import Me, Using
from relay.api.cursors import After, Limit, decode, encode
from relay.api.events import ChangeShown, shown
from relay.api.route import ApiRoute
from relay.api.values import AddressParameter, Moment, Shown, mailbox, moment
from relay.decide.keys import subject_keys
from relay.decide.standing import standing
from relay.model import Basis, Kind, StandingState

router = APIRouter(route_class=ApiRoute, tags=["Consents"])


class StandingShown(Shown):
    """Where the person stands with one list now."""

    list: str | None = Field(description="Slug; null: mail of yours that belongs to no list.")
    kind: Kind | None = Field(
        description="What the list sends: opt-outs stop commercial mail alone, and none else needs"
        " consent. Null with a null list."
    )
    state: StandingState
    basis: Basis
    since: Moment | None = Field(description="Null when nothing is on record for it.")
    bounce_suppressed: bool = Field(description="Mail to the address bounces for good: none goes.")
    operator_suppressed: bool = Field(description="The operator lets no mail go to the address.")


class PersonalChange(ChangeShown):
    """One line of a person's timeline."""

    exact: bool = Field(
        description="False: said under another spelling (+tag) of the address, and of weight for"
        " opt-outs only."
    )


class Record(Shown):
    """One person's record at this tenant."""

    address: str
    standings: list[StandingShown] = Field(description="Empty when nothing is on record.")
    timeline: list[PersonalChange] = Field(description="Oldest first, in the order of recording.")
    next: str | None = Field(description="Give it as `after` for the rest; null at the end.")


@router.get(
    "/consents",
    summary="Show one person's consents",
    description="Where the person stands with each list, and everything on record with its"
    " evidence. A request that waits for its confirmation shows as pending, no more: whether mail"
    " went out is between the relay and the person.",
)
async def show(
    address: AddressParameter,
    tenant: Me,
    services: Using,
    after: After = None,
    limit: Limit = 100,
) -> Record:
    """Of this tenant alone."""
    person = mailbox(address, parameter="address")
    keys = subject_keys(services.pepper, person)
    seq, line = decode(after, int, int) if after is not None else (0, 0)
    found = await services.store.changes.of_person(
        tenant.id, keys, after=(seq, line), limit=limit + 1
    )
    changes = found[:limit]
    (acts,) = await services.store.consents.acts(tenant.id, [keys])
    directory, now = services.store.directory, services.clock.now()
    own = [found for found in directory.lists.values() if found.tenant_id == tenant.id]
    standings = []
    for mailing_list in (None, *sorted(own, key=lambda found: found.slug)) if acts else ():
        known = standing(acts, tenant_id=tenant.id, mailing_list=mailing_list, now=now)
        standings.append(
            StandingShown(
                list=mailing_list.slug if mailing_list is not None else None,
                kind=mailing_list.kind if mailing_list is not None else None,
                state=known.state,
                basis=known.basis,
                since=moment(known.since) if known.since is not None else None,
                bounce_suppressed=known.bounce_suppressed,
                operator_suppressed=known.operator_suppressed,
            )
        )
    last = changes[-1] if len(found) > limit else None
    return Record(
        address=person.wire,
        standings=standings,
        timeline=[
            PersonalChange(**shown(directory, change), exact=change.exact == keys.exact.hex())
            for change in changes
        ],
        next=encode(last.seq, last.line) if last is not None else None,
    )
