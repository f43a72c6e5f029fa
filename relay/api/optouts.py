"""Opt-outs that reach the tenant by other ways, and unsubscribe links for its own templates."""

from __future__ import annotations

import secrets
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter
from pydantic import Field, StringConstraints

from relay.api.calling import Called, Me, Using
from relay.api.problems import Kind, not_found
from relay.api.route import ANSWERS_ANEW, ENDS_IN, ApiRoute
from relay.api.values import Given, MailAddress, Shown, Slug, mailbox
from relay.clock import DAY
from relay.decide.address import AddressError, parse_address
from relay.decide.keys import subject_keys
from relay.model import ScopeLevel
from relay.transform.token import Purpose, Token, mint

MOST_LINKS: Final = 1_000

router = APIRouter(route_class=ApiRoute, tags=["Opt-outs"])


class OptOut(Given):
    """An opt-out to record."""

    address: MailAddress
    list: Annotated[
        Slug | None, Field(description="The list that the person left; null: everything.")
    ] = None


class OptedOut(Shown):
    """An opt-out that is durable and in force."""

    recorded: bool = Field(
        description="False when the same was said within the last minute, and is in force."
    )
    scope: ScopeLevel = Field(
        description="How much has stopped: the widest consent that covered the list."
    )
    event: int = Field(description="Number of the event in your own chain.", ge=1)


Addresses: TypeAlias = list[Annotated[str, StringConstraints(max_length=1_000)]]


class LinksWanted(Given):
    """Addresses that need links."""

    list: Slug
    addresses: Addresses = Field(
        min_length=1, max_length=MOST_LINKS, examples=[["anna@example.org"]]
    )


class Link(Shown):
    """The link of one address, or why there is none."""

    address: str = Field(description="As it was sent.")
    url: str | None = Field(description="Stops the mail in one step, for ever; null: see problem.")
    problem: str | None = Field(description="Why there is no link; null when there is one.")


class Links(Shown):
    """Links in the order of the addresses."""

    links: list[Link]


@router.post(
    "/optouts",
    summary="Record an opt-out",
    description="Durable and in force when the answer comes, also for mail that waits or is held."
    " It closes the widest consent that covered the list, and everything below; without a list,"
    " everything of yours. Nothing but the person's own later confirmation takes it back.",
    openapi_extra={ENDS_IN: [Kind.NOT_FOUND]},
)
async def opt_out(wanted: OptOut, caller: Called, services: Using) -> OptedOut:
    """Suspended tenants too: an opt-out is never turned away."""
    tenant, directory = caller.tenant, services.store.directory
    person = mailbox(wanted.address, pointer="#/address")
    mailing_list = directory.list_of(tenant.id, wanted.list) if wanted.list is not None else None
    if wanted.list is not None and mailing_list is None:
        raise not_found()
    done = await services.withdrawing.withdraw(
        tenant,
        subject_keys(services.pepper, person),
        mailing_list=mailing_list,
        channel="api",
        evidence={"by": "api", "key": caller.key.name},
    )
    return OptedOut(
        recorded=done.recorded,
        scope=done.scope,
        event=await services.store.changes.sequence(tenant.id, done.event_id),
    )


@router.post(
    "/links",
    summary="Make unsubscribe links",
    description="One link for each address, for use in your own templates and preference pages."
    " Mail that goes through the relay gets its link by itself. Nothing is recorded.",
    openapi_extra={ANSWERS_ANEW: True, ENDS_IN: [Kind.NOT_FOUND]},
)
async def links(wanted: LinksWanted, tenant: Me, services: Using) -> Links:
    """Links never expire, so that a suspended tenant's mail needs them too."""
    mailing_list = services.store.directory.list_of(tenant.id, wanted.list)
    if mailing_list is None:
        raise not_found()
    base = services.settings.http.public_url.rstrip("/")
    day = int(services.clock.now() // DAY)

    def link(text: str) -> Link:
        try:
            person = parse_address(text)
        except AddressError as error:
            return Link(address=text, url=None, problem=f"It is not a mail address: {error}.")
        token = Token(
            purpose=Purpose.UNSUBSCRIBE,
            tenant_id=tenant.id,
            list_id=mailing_list.id,
            keys=subject_keys(services.pepper, person),
            nonce=secrets.randbits(32),
            issue_day=day,
        )
        url = f"{base}/u/{mint(token, services.token_keys)}"
        return Link(address=text, url=url, problem=None)

    return Links(links=[link(text) for text in wanted.addresses])
