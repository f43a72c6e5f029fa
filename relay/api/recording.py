"""Consents that were given elsewhere, one at a time, with the evidence that each basis needs."""

from __future__ import annotations

from collections.abc import Container
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints

from relay.api.calling import Active, Using
from relay.api.patterns import SHA256, VISIBLE
from relay.api.problems import ApiProblem, Kind, ProblemItem, not_found
from relay.api.route import ENDS_IN, ApiRoute
from relay.api.values import FormUrl, Given, IpAddress, Line, MailAddress, Shown, Slug, UserAgent
from relay.consent.recording import Recorded, RecordingRefused
from relay.consent.signed import LONGEST_TOKEN
from relay.model import Basis

router = APIRouter(route_class=ApiRoute, tags=["Consents"])

Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Day = Annotated[
    str,
    StringConstraints(min_length=8, max_length=40),
    Field(description="ISO 8601 date or time.", examples=["2026-11-22"]),
]
Digest = Annotated[str, StringConstraints(pattern=SHA256), Field(examples=["0" * 63 + "1"])]
NoticeId = Annotated[int, Field(ge=1, lt=2**62, description="Id of a stored version.")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=4_000)]


class ApprovedConsent(Given):
    """Signed by a source that the operator approved: the person's own act."""

    basis: Literal["approved"]
    list: Slug
    token: Annotated[
        str,
        StringConstraints(min_length=1, max_length=LONGEST_TOKEN, pattern=VISIBLE),
        Field(description="A JWT under Ed25519 with the claims that the reference names."),
    ]


class CustomerConsent(Given):
    """An existing customer, with an order as evidence."""

    basis: Literal["customer"]
    list: Slug
    address: MailAddress
    order_hash: Annotated[Digest, Field(description="SHA-256 of the order number, in hex.")]
    date: Annotated[Day, Field(description="Of the sale.")]
    product_group: Name
    notice: NoticeId
    optout_offered: bool = Field(description="The person could refuse at the checkout.")


class AttestedConsent(Given):
    """On your own word, for which somebody accepts the terms (`GET /terms`)."""

    basis: Literal["attested"]
    list: Slug
    address: MailAddress
    collected_at: Day
    origin: Annotated[Text, Field(description="Where and how the consent was collected.")]
    version: Annotated[Line, Field(description="Of the terms that are accepted.")]
    accepted_by: Annotated[Name, Field(description="Name of the person who accepts them.")]
    notice: Annotated[NoticeId | Words | None, Field(description="What the person was shown.")] = (
        None
    )
    form_url: FormUrl | None = None
    ip: IpAddress | None = None
    user_agent: UserAgent | None = None


class OfflineConsent(Given):
    """On paper or by phone: counts once the person has confirmed it by mail."""

    basis: Literal["offline"]
    list: Slug
    address: MailAddress
    channel: Literal["paper", "phone"]
    date: Day
    collected_by: Annotated[Name, Field(description="Who took it down.")]


AnyConsent: TypeAlias = Annotated[
    ApprovedConsent | CustomerConsent | AttestedConsent | OfflineConsent,
    Field(discriminator="basis"),
]


class RecordedShown(Shown):
    """What became of it."""

    basis: Basis
    event: int | None = Field(description="Number in your own chain; null: nothing was recorded.")
    effective: bool = Field(
        description="False: the person has opted out, and this does not bring them back."
    )
    note: str = Field(description="Why mail may be held all the same; empty: nothing to say.")


@router.post(
    "/consents",
    status_code=201,
    summary="Record a consent",
    description="With its evidence, as its basis wants it. Basis `confirmed` cannot be recorded:"
    " only a person's answer to the relay's own mail makes it (`POST"
    " /lists/{list}/subscriptions`). After an opt-out nothing here brings a person back but a later"
    " signed event of an approved source.",
    responses={200: {"model": RecordedShown, "description": "Without effect: opted out."}},
    openapi_extra={ENDS_IN: [Kind.NOT_FOUND]},
)
async def record(
    wanted: AnyConsent, tenant: Active, services: Using, response: Response
) -> RecordedShown:
    """One consent; files of them go to ``imports``."""
    mailing_list = services.store.directory.list_of(tenant.id, wanted.list)
    if mailing_list is None:
        raise not_found()
    said = wanted.model_dump(exclude={"basis", "list"}, mode="json")
    recording = services.recording
    try:
        match wanted:
            case ApprovedConsent():
                done = await recording.approved(tenant, mailing_list, wanted.token)
            case CustomerConsent():
                done = await recording.customer(tenant, mailing_list, **said)
            case AttestedConsent():
                done = await recording.attested(tenant, mailing_list, **said)
            case OfflineConsent():
                done = await recording.offline(tenant, mailing_list, **said)
    except RecordingRefused as error:
        if isinstance(wanted, ApprovedConsent):
            # What is wrong is a claim in the token, whatever its name.
            raise refused(error, (), otherwise="token") from error
        raise refused(error, type(wanted).model_fields) from error
    if not done.effective:
        response.status_code = 200
    return _shown(done)


def refused(
    error: RecordingRefused, members: Container[str], *, otherwise: str | None = None
) -> ApiProblem:
    """The sentence, with a pointer to the member of the body that it begins with, if it does;
    else to the member ``otherwise``."""
    sentence = f"{error}"
    first = sentence.partition(" ")[0].rstrip(":")
    member = first if first in members else otherwise
    item = ProblemItem(detail=f"{sentence}.", pointer=f"#/{member}" if member else None)
    return ApiProblem(Kind.INVALID, "Correct what errors names, then send it again.", item)


def _shown(done: Recorded) -> RecordedShown:
    return RecordedShown(basis=done.basis, event=done.seq, effective=done.effective, note=done.note)
