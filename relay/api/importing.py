"""Files of consents that the tenant vouches for."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request

from relay.api.body import limited
from relay.api.calling import Active, OwnList, Using
from relay.api.patterns import SHA256
from relay.api.problems import ApiProblem, Kind, ProblemItem, invalid
from relay.api.recording import refused
from relay.api.route import ApiRoute
from relay.api.values import Shown
from relay.consent.recording import RecordingRefused

MAX_FILE: Final = 50_000_000
"""Octets of one file."""
FILE_SECONDS: Final = 600.0
"""Seconds that a client has to send it."""

router = APIRouter(route_class=ApiRoute, tags=["Imports"])

_CSV: Final[dict[str, Any]] = {
    "required": True,
    "description": "UTF-8; columns address, basis (customer, attested, offline), collected_at, and"
    " any columns of evidence.",
    "content": {
        "text/csv": {
            "schema": {"type": "string"},
            "example": "address,basis,collected_at,origin\r\n"
            "anna@example.org,attested,2026-11-22,counter\r\n",
        }
    },
}


class ImportShown(Shown):
    """A file that is in force, all of it at once."""

    event: int = Field(description="Number in your own chain.")
    rows: int
    opted_out: int = Field(description="Rows of people who opted out before: without effect.")
    bad: int = Field(description="Rows that were left out (`skip_bad`).")


@router.post(
    "/lists/{list}/imports",
    summary="Import a file of consents",
    description="After somebody has accepted the terms for exactly this file and list (`POST"
    " /lists/{list}/acceptances`). All or nothing, unless `skip_bad`; nobody who opted out comes"
    " back by it. At most 50 MB.",
    openapi_extra={"requestBody": _CSV},
)
async def take(
    request: Request,
    tenant: Active,
    mailing_list: OwnList,
    services: Using,
    source: Annotated[
        str,
        Query(max_length=40, description="Slug of the system that collected it.", examples=["pos"]),
    ],
    sha256: Annotated[
        str,
        Query(
            pattern=SHA256,
            description="SHA-256 of the file, in hex: names the acceptance.",
            examples=["0" * 63 + "1"],
        ),
    ],
    skip_bad: Annotated[bool, Query(description="Leave bad rows out.")] = False,
) -> ImportShown:
    """The digest stands in the query, so that a repeated request is known by it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/csv":
        raise ApiProblem(Kind.MEDIA, "Send the file itself, and Content-Type: text/csv with it.")
    digest = sha256.lower()
    try:
        if await services.terms.find(tenant, mailing_list, digest) is None:
            raise invalid(
                "Nobody has accepted the terms in force for this list and this file. Read them,"
                " have them accepted, then send the file again.",
                parameter="sha256",
            )
        report = await services.importing.run(
            tenant,
            mailing_list,
            source=source,
            body=_checked(limited(request, MAX_FILE, FILE_SECONDS), digest),
            skip_bad=skip_bad,
        )
    except RecordingRefused as error:
        raise refused(error, ()) from error
    if report.seq is None:
        items = [ProblemItem(detail=f"Line {line}: {why}.") for line, why in report.named]
        raise ApiProblem(
            Kind.INVALID,
            f"Nothing was imported; bad rows: {report.bad}. Mend them, or ask for skip_bad.",
            *items,
        )
    return ImportShown(
        event=report.seq, rows=report.rows, opted_out=report.opted_out, bad=report.bad
    )


async def _checked(body: AsyncIterator[bytes], expected: str) -> AsyncIterator[bytes]:
    digest = hashlib.sha256()
    async for octets in body:
        digest.update(octets)
        yield octets
    if digest.hexdigest() != expected:
        raise invalid("The file that came has another SHA-256. Send it again.", parameter="sha256")
