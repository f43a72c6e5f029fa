"""Mail of the tenant that is held: what, why, and what becomes of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from relay.api.calling import Active, Me, Using
from relay.api.cursors import After, Limit, decode, encode
from relay.api.problems import not_found
from relay.api.route import ApiRoute
from relay.api.values import Moment, Shown, moment
from relay.model import Action, CopyState, Directory, Kind, Reason
from relay.ports import CopyChange, NewEvent
from relay.store.mail.held import START
from relay.store.mail.rows import CopyRecord

router = APIRouter(route_class=ApiRoute, tags=["Quarantine"])

CopyId = Annotated[
    str,
    Path(alias="id", max_length=60, description="Id of a held copy.", examples=["4cH2xY8.1"]),
]


class HeldCopy(Shown):
    """One recipient's copy of a message that is held."""

    id: str
    time: Moment = Field(description="When it was taken; UTC.")
    list: str | None = Field(description="Slug; null when the mail belonged to none.")
    from_: str = Field(
        serialization_alias="from", description="Address in From, else the envelope sender."
    )
    to: str = Field(description="The recipient of this copy.")
    subject: str
    reason: Reason | None


class HeldCopies(Shown):
    """A page of the quarantine, oldest first."""

    copies: list[HeldCopy]
    next: str | None = Field(description="Give it as `after` for the next page; null at the end.")


class FindingShown(Shown):
    """One rule that fired."""

    rule: str = Field(description="Rulebook and rule.", examples=["strict-opt-in/no-consent"])
    action: str
    reason: Reason
    detail: str
    cite: list[str] = Field(description="Clauses that the rule rests on.")


class HeldInFull(HeldCopy):
    """One held copy with every finding and its header block; never the body."""

    rule: str | None = Field(description="The rule that decided.")
    kind: Kind
    size: int = Field(description="Octets of the body.")
    expires: Moment | None = Field(description="When it is deleted.")
    findings: list[FindingShown]
    header: str = Field(description="Header block, as it was taken.")


class Released(Shown):
    """What the judge said."""

    id: str
    released: bool = Field(description="True: it is on its way.")
    action: str = Field(description="deliver, or what keeps it here.", examples=["deliver"])
    reason: Reason | None
    rule: str | None


class Deleted(Shown):
    """A copy that is gone."""

    id: str


@router.get("/quarantine", summary="List held mail")
async def listing(
    tenant: Me,
    services: Using,
    after: After = None,
    limit: Limit = 100,
    reason: Annotated[Reason | None, Query(description="Only what is held for this.")] = None,
) -> HeldCopies:
    """Oldest first."""
    place = START
    if after is not None:
        at, message_id, seq = decode(after, float, str, int)
        place = (at, message_id, seq)
    found = await services.store.held.page(tenant.id, after=place, limit=limit + 1, reason=reason)
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return HeldCopies(
        copies=[_shown(services.store.directory, record) for record in page],
        next=encode(last.at, last.message_id, last.seq) if last is not None else None,
    )


@router.get("/quarantine/{id}", summary="Show one held copy")
async def show(copy_id: CopyId, tenant: Me, services: Using) -> HeldInFull:
    """With findings and header; bodies stay where they are."""
    record = await _record(copy_id, tenant.id, services)
    message = await services.store.mail.message(record.message_id)
    header = message.header if message is not None else b""
    return HeldInFull(
        **_shown(services.store.directory, record).model_dump(),
        rule=record.rule,
        kind=record.kind,
        size=record.body_size,
        expires=moment(record.expires_at) if record.expires_at else None,
        findings=[
            FindingShown(
                rule=finding.rule,
                action=finding.action.slug,
                reason=finding.reason,
                detail=finding.detail,
                cite=list(finding.cite),
            )
            for finding in record.findings
        ],
        header=header.decode("utf-8", "replace"),
    )


@router.post(
    "/quarantine/{id}/release",
    summary="Judge a held copy again",
    description="It leaves when nothing speaks against it any more, for example because the person"
    " has consented meanwhile; else it stays, and the answer says why. To have mail treated as"
    " another kind than it was taken for, ask the operator.",
)
async def release(copy_id: CopyId, tenant: Active, services: Using) -> Released:
    """Never with a kind that the tenant sets: that would be a way around every rule."""
    record = await _record(copy_id, tenant.id, services)
    try:
        verdict = await services.release(record.id, None, "asked for over the API")
    except KeyError as error:
        raise not_found() from error
    return Released(
        id=record.id,
        released=verdict.action <= Action.DELAY,
        action=verdict.action.slug,
        reason=verdict.reason,
        rule=verdict.rule,
    )


@router.post("/quarantine/{id}/delete", summary="Delete a held copy")
async def delete(copy_id: CopyId, tenant: Me, services: Using) -> Deleted:
    """For good; the event stays."""
    record = await _record(copy_id, tenant.id, services)
    now = services.clock.now()
    change = CopyChange(
        message_id=record.message_id,
        seq=record.seq,
        state=CopyState.DELETED,
        next_at=now,
        attempts=record.attempts,
        last_reply=record.last_reply,
        reason=record.reason,
    )
    said = {"copy": record.id, "was": CopyState.HELD.value}
    await services.store.mail.change(
        [change], [NewEvent(tenant.id, "copy.deleted", now, None, said)]
    )
    return Deleted(id=record.id)


async def _record(copy_id: str, tenant_id: int, services: Using) -> CopyRecord:
    record = await services.store.held.one(tenant_id, copy_id)
    if record is None:
        raise not_found()
    return record


def _shown(directory: Directory, record: CopyRecord) -> HeldCopy:
    mailing_list = directory.mailing_list(record.list_id)
    return HeldCopy(
        id=record.id,
        time=moment(record.at),
        list=mailing_list.slug if mailing_list is not None else None,
        from_=record.from_address or record.mail_from,
        to=record.to,
        subject=record.subject,
        reason=record.reason,
    )
