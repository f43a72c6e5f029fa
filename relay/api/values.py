"""Types of what goes in and out, and how they read in the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from typing import Annotated, TypeAlias

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from relay.api.patterns import LANGUAGE, ONE_LINE, SLUG, WEB_ADDRESS
from relay.api.problems import invalid
from relay.consent.opt_in_events import LONGEST_AGENT, one_line
from relay.decide.address import MAX_ADDRESS, AddressError, parse_address
from relay.model import Address
from relay.ports import Json


class Given(BaseModel):
    """A body that a client sends; members that nobody declared are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Shown(BaseModel):
    """A body that we send."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


def _plain_ip(text: str) -> str:
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an address has no zone here")
        return str(address.ipv4_mapped or address)
    return str(address)


MailAddress = Annotated[
    str,
    StringConstraints(min_length=3, max_length=MAX_ADDRESS, pattern=ONE_LINE),
    Field(description="A mail address (RFC 5321).", examples=["anna@example.org"]),
]
IpAddress = Annotated[
    str,
    StringConstraints(max_length=45),
    AfterValidator(_plain_ip),
    Field(
        description="The person's IP address, not yours.",
        examples=["192.0.2.44"],
        json_schema_extra={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
    ),
]
Line = Annotated[str, StringConstraints(max_length=300, pattern=ONE_LINE)]
"""One line of text."""
UserAgent = Annotated[
    str,
    StringConstraints(max_length=2_000),
    AfterValidator(lambda text: one_line(text, LONGEST_AGENT)),
    Field(description="Of the person's browser; what is longer than 300 characters is cut."),
]
FormUrl = Annotated[
    str,
    StringConstraints(max_length=2_000, pattern=WEB_ADDRESS),
    Field(
        description="Where the form stands that the person filled in.",
        examples=["https://shop.example/newsletter"],
    ),
]
Locale = Annotated[
    str,
    StringConstraints(max_length=35, pattern=LANGUAGE),
    Field(description="Language tag of the person, as nl or en-GB.", examples=["nl"]),
]
Slug = Annotated[
    str,
    StringConstraints(max_length=40, pattern=SLUG),
    Field(examples=["news"]),
]
Moment = Annotated[datetime, Field(description="UTC.", examples=["2026-11-22T06:29:00Z"])]
Anything: TypeAlias = dict[str, object]
"""Members that differ by the kind of the entry."""
AddressParameter = Annotated[
    str,
    Query(
        min_length=3,
        max_length=MAX_ADDRESS,
        description="A mail address (RFC 5321), percent-encoded as any query value.",
        examples=["anna@example.org"],
    ),
]


def moment(at: float) -> datetime:
    """Epoch seconds as a time in UTC."""
    return datetime.fromtimestamp(at, UTC)


def mailbox(text: str, *, pointer: str | None = None, parameter: str | None = None) -> Address:
    """The address that a client sent. Raises ApiProblem that names its place."""
    try:
        return parse_address(text)
    except AddressError as error:
        raise invalid(
            f"It is not a mail address: {error}.", pointer=pointer, parameter=parameter
        ) from error


def without_ids(value: Json) -> Json:
    """Recorded data without the ids of events: those count over all tenants."""
    if isinstance(value, dict):
        return {
            name: without_ids(member)
            for name, member in value.items()
            if not (name in ("event", "signup", "consent", "import") and isinstance(member, int))
        }
    if isinstance(value, list | tuple):
        return [without_ids(member) for member in value]
    return value
