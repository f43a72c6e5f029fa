"""Erasure on a person's request: the address goes, the opt-out stays."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field

from relay.api.calling import Me, Using
from relay.api.route import ApiRoute
from relay.api.values import Given, MailAddress, Moment, Shown, mailbox, moment

router = APIRouter(route_class=ApiRoute, tags=["Consents"])


class ErasureWanted(Given):
    """Whom to erase."""

    address: MailAddress


class ErasureShown(Shown):
    """What is gone, and what goes later."""

    removed: dict[str, int] = Field(description="How much of each sort is gone.")
    remaining_messages: int = Field(
        description="Messages that others still wait for and that name the person."
    )
    remaining_until: Moment | None = Field(description="When the last of them is gone.")
    overwritten: bool = Field(
        description="False: what deletion leaves behind in files is overwritten later."
    )


@router.post(
    "/erasures",
    summary="Erase a person",
    description="Takes the address and everything on record about the person out of your tenant."
    " The opt-out stays, as a keyed hash: no mail follows, and a later import does not bring the"
    " person back. It cannot be undone.",
)
async def erase(wanted: ErasureWanted, tenant: Me, services: Using) -> ErasureShown:
    """At this tenant alone."""
    person = mailbox(wanted.address, pointer="#/address")
    done = await services.erasing.erase(person, tenant_id=tenant.id)
    until = done.remaining_until
    return ErasureShown(
        removed=dict(done.removed),
        remaining_messages=done.remaining_messages,
        remaining_until=moment(until) if until is not None else None,
        overwritten=done.overwritten,
    )
