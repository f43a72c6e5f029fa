"""Where the tenant's software is told of changes, in place of asking for them."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints

from relay.api.calling import Active, Me, Using
from relay.api.patterns import WEB_ADDRESS
from relay.api.problems import ApiProblem, Kind, invalid, not_found
from relay.api.route import ENDS_IN, UNKEPT, ApiRoute
from relay.api.values import Given, Moment, Shown, moment
from relay.egress.outbound_http import OutboundHttp
from relay.store.outbox.webhooks import WebhookError

router = APIRouter(route_class=ApiRoute, tags=["Webhooks"])

Url = Annotated[
    str,
    StringConstraints(max_length=2_000, pattern=WEB_ADDRESS),
    Field(examples=["https://shop.example/hooks/consent"]),
]


class NewWebhook(Given):
    """A place to tell."""

    url: Url


class WebhookShown(Shown):
    """A place that is told."""

    url: str
    since: Moment


class WebhookMade(WebhookShown):
    """A place that is told from now on, with the secret that signs what it is told."""

    secret: str | None = Field(
        description="Shown this once (Standard Webhooks: `whsec_…`); null in a replayed answer."
    )


WebhookList: TypeAlias = list[WebhookShown]


class WebhooksShown(Shown):
    """All of them."""

    webhooks: WebhookList


@router.get("/webhooks", summary="List webhooks")
async def listing(tenant: Me, services: Using) -> WebhooksShown:
    """Without secrets; a tenant has few, so that this is always the whole list."""
    found = await services.store.webhooks.all(tenant.id)
    return WebhooksShown(
        webhooks=[WebhookShown(url=one.url, since=moment(one.created_at)) for one in found]
    )


@router.post(
    "/webhooks",
    status_code=201,
    summary="Add a webhook",
    description="From now on every consent and opt-out is posted to the address, signed. It must"
    " be an https address that is reachable from the internet.",
    openapi_extra={UNKEPT: ["secret"], ENDS_IN: [Kind.CONFLICT]},
)
async def add(wanted: NewWebhook, tenant: Active, services: Using) -> WebhookMade:
    """The secret is made here."""
    outbound = OutboundHttp(services.settings.outbound.allow_networks)
    why = outbound.refusal(wanted.url)
    if why is not None:
        raise invalid(f"It cannot be called: {why}.", pointer="#/url")
    try:
        made = await services.store.webhooks.add(tenant.id, wanted.url, at=services.clock.now())
    except WebhookError as error:
        raise ApiProblem(Kind.CONFLICT, f"Nothing was added: {error}.") from error
    return WebhookMade(url=made.url, since=moment(made.created_at), secret=made.secret)


@router.delete(
    "/webhooks",
    summary="Remove a webhook",
    description="What was not told yet is forgotten, too.",
    openapi_extra={ENDS_IN: [Kind.NOT_FOUND]},
)
async def remove(
    url: Annotated[str, Query(max_length=2_000, description="As it was added.")],
    tenant: Me,
    services: Using,
) -> WebhookShown:
    """By its address, which is its name."""
    try:
        gone = await services.store.webhooks.remove(tenant.id, url)
    except WebhookError as error:
        raise not_found() from error
    return WebhookShown(url=gone.url, since=moment(gone.created_at))
