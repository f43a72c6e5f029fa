"""Consents that are about to run out (A12): a report. Nobody is asked again by bulk mail."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Query
from pydantic import Field

from relay.api.calling import Me, Using
from relay.api.cursors import After, Limit, decode, encode, strange
from relay.api.route import ApiRoute
from relay.api.values import Moment, Shown, moment
from relay.model import Basis

router = APIRouter(route_class=ApiRoute, tags=["Consents"])


class ExpiringShown(Shown):
    """One person's consent that ends soon."""

    address: str | None = Field(description="Null once it was erased.")
    brand: str | None
    list: str | None = Field(description="With a null brand: everything of yours.")
    basis: Basis
    since: Moment
    expires: Moment
    why: Literal["date", "unused"] = Field(
        description="`date`: it has an end; `unused`: no mail left under it for so long."
    )
    unused_days: int


ExpiringItems: TypeAlias = list[ExpiringShown]


class ExpiringPage(Shown):
    """A page of them."""

    consents: ExpiringItems
    next: str | None = Field(description="Give it as `after` for the next page; null at the end.")


@router.get(
    "/consents/expiring",
    summary="Show consents that end soon",
    description="They end by their own date, or because no mail left under them for so long. Ask"
    " these people when they visit you, not by mail: that would need the consent that ends.",
)
async def expiring(
    tenant: Me,
    services: Using,
    days: Annotated[int, Query(ge=1, le=3_650, description="How far to look ahead.")] = 30,
    after: After = None,
    limit: Limit = 100,
) -> ExpiringPage:
    """Of this tenant."""
    (cursor,) = decode(after, str) if after is not None else (None,)
    try:
        page = await services.expiring.soon(tenant, days=days, after=cursor, limit=limit)
    except ValueError as error:
        raise strange() from error
    return ExpiringPage(
        consents=[
            ExpiringShown(
                address=one.address,
                brand=one.brand,
                list=one.list,
                basis=one.lapse.basis,
                since=moment(one.lapse.since),
                expires=moment(one.lapse.at),
                why=one.lapse.why,
                unused_days=one.lapse.unused_days,
            )
            for one in page.items
        ],
        next=encode(page.next) if page.next is not None else None,
    )
