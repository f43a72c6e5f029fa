"""The terms that a tenant accepts before its own word for consent is taken (A11)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from relay.api.calling import Active, Me, OwnList, Using
from relay.api.patterns import SHA256
from relay.api.recording import refused
from relay.api.route import ApiRoute
from relay.api.values import Given, Line, Moment, Shown, moment
from relay.consent.recording import RecordingRefused

router = APIRouter(route_class=ApiRoute, tags=["Imports"])


class TermsShown(Shown):
    """The terms in force."""

    version: str = Field(description="Send it when somebody accepts them.")
    digest: str = Field(description="SHA-256 over all texts.")
    texts: dict[str, str] = Field(
        description="By language; `und` for a text of the operator's own."
    )


class NewAcceptance(Given):
    """A person accepts the terms for one file."""

    version: Annotated[Line, Field(description="Of the terms that were shown.")]
    accepted_by: Annotated[
        str,
        StringConstraints(min_length=1, max_length=200),
        Field(description="Name of the person who accepts them.", examples=["Anna Jansen"]),
    ]
    content_digest: Annotated[
        str,
        StringConstraints(pattern=SHA256),
        Field(
            description="SHA-256 of the file that will be imported, in hex: `sha256sum FILE`.",
            examples=["0" * 63 + "1"],
        ),
    ]


class AcceptanceShown(Shown):
    """An acceptance that is on record."""

    event: int = Field(description="Number in your own chain.")
    version: str
    digest: str = Field(description="Of the terms.")
    content_digest: str
    accepted_by: str
    time: Moment


@router.get("/terms", summary="Read the terms for attested consents")
async def terms(tenant: Me, services: Using) -> TermsShown:
    """As they are in force now."""
    found = services.terms.terms()
    return TermsShown(version=found.version, digest=found.digest, texts=dict(found.texts))


@router.post(
    "/lists/{list}/acceptances",
    status_code=201,
    summary="Accept the terms for a file",
    description="Before the file is imported. Who accepted which text, when and for which content"
    " goes on record.",
)
async def accept(
    wanted: NewAcceptance, tenant: Active, mailing_list: OwnList, services: Using
) -> AcceptanceShown:
    """For one content of one list."""
    try:
        done = await services.terms.accept(
            tenant,
            mailing_list,
            version=wanted.version,
            accepted_by=wanted.accepted_by,
            content_digest=wanted.content_digest,
        )
    except RecordingRefused as error:
        raise refused(error, NewAcceptance.model_fields) from error
    return AcceptanceShown(
        event=done.seq,
        version=done.version,
        digest=done.digest,
        content_digest=done.content_digest,
        accepted_by=done.accepted_by,
        time=moment(done.at),
    )
