"""Changes of consent, for software that polls."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from pydantic import Field

from relay.api.calling import Me, Using
from relay.api.cursors import After, Limit, decode, encode, strange
from relay.api.route import ApiRoute
from relay.api.values import Anything, Moment, Shown, moment, without_ids
from relay.model import Directory
from relay.store.people.changes import Change, StrangeMark

router = APIRouter(route_class=ApiRoute, tags=["Events"])

_INTERNAL: Final = frozenset(
    {"list", "brand", "exact", "wide", "line", "at", "import", "source", "kept"}
)
"""Ids that count over all tenants, and what is shown under other names."""


class ChangeShown(Shown):
    """One change, as it was recorded."""

    event: int = Field(description="Number in your own chain.", ge=1)
    time: Moment
    type: str = Field(
        description="`consent.pending` (asked, not yet confirmed), `consent.granted`,"
        " `consent.imported`, `optout`, `optout.imported`, `complaint`, `bounce` (for good),"
        " `suppression.lifted`, `erasure`; later releases may add more.",
        examples=["optout"],
    )
    list: str | None = Field(description="Slug of the list that it concerns; null: see brand.")
    brand: str | None = Field(description="Slug; null with a null list: everything of yours.")
    data: Anything | None = Field(
        description="What was recorded, by type; null once it was erased."
    )


class EventShown(ChangeShown):
    """One change with the person."""

    address: str | None = Field(
        description="The person's address; null when we do not have it, or it was erased."
    )


class Events(Shown):
    """Changes, oldest first."""

    events: list[EventShown]
    next: str = Field(description="Give it as `after` when you ask again; also when it is empty.")
    more: bool = Field(description="There is more already: ask again at once.")


@router.get(
    "/events",
    summary="Read what has changed",
    description="Consents asked for and given, opt-outs, complaints, bounces, imports, erasures:"
    " oldest first, each once. Keep `next` and ask again with it, for ever. A page may be empty"
    " although there is more.",
)
async def events(tenant: Me, services: Using, after: After = None, limit: Limit = 100) -> Events:
    """From the tenant's own chain."""
    seq, mark = decode(after, int, str) if after is not None else (0, "")
    try:
        page = await services.store.changes.after(tenant.id, seq, bytes.fromhex(mark), limit)
    except (StrangeMark, ValueError) as error:
        raise strange(
            "It does not belong to what is on record here: it was changed, or the relay was"
            " restored from a backup. Begin without it, and expect events again that you know."
        ) from error
    directory = services.store.directory
    return Events(
        events=[
            EventShown(**shown(directory, change), address=change.address)
            for change in page.changes
        ],
        next=encode(page.seq, page.mark.hex()),
        more=page.more,
    )


def shown(directory: Directory, change: Change) -> dict[str, Any]:
    """The members of ``ChangeShown``."""
    data = change.data or {}
    mailing_list = directory.lists.get(_number(data.get("list")))
    brand = directory.brands.get(_number(data.get("brand")))
    rest = {name: without_ids(value) for name, value in data.items() if name not in _INTERNAL}
    if change.source is not None:
        rest["source"] = change.source
    return {
        "event": change.seq,
        "time": moment(change.at),
        "type": change.type,
        "list": mailing_list.slug if mailing_list is not None else None,
        "brand": brand.slug if brand is not None else None,
        "data": rest if change.data is not None else None,
    }


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1
