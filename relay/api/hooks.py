"""Doors for the webhooks of the tenant's other software: opt-outs by its own links reach us."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Path
from pydantic import Field

from relay.api.calling import Active, Me, Using
from relay.api.problems import ApiProblem, Kind, not_found
from relay.api.route import ENDS_IN, UNKEPT, ApiRoute
from relay.api.services import Services
from relay.api.values import Given, Moment, Shown, Slug, moment
from relay.decide.hook_formats import HookFormat
from relay.model import Tenant
from relay.store.outbox.inbound_hooks import HookTaken, InboundHook

router = APIRouter(route_class=ApiRoute, tags=["Webhooks"])

HookName = Annotated[Slug, Field(description="Your name for it.", examples=["listmonk"])]


class NewHook(Given):
    """A door to open."""

    name: HookName
    format: Annotated[HookFormat, Field(strict=False, description="Whose webhooks come in.")]
    list: Annotated[
        Slug | None,
        Field(description="What people leave who are named there; null: everything of yours."),
    ] = None


class HookShown(Shown):
    """A door."""

    name: str
    format: HookFormat
    list: str | None
    since: Moment


class HookMade(HookShown):
    """A door with its address."""

    url: str | None = Field(
        description="Shown this once, for your other software; null in a replayed answer. Whoever"
        " knows it can record opt-outs."
    )


HookList: TypeAlias = list[HookShown]


class HooksShown(Shown):
    """All of them."""

    hooks: HookList


@router.get("/hooks", summary="List inbound webhooks")
async def listing(tenant: Me, services: Using) -> HooksShown:
    """Without addresses; a tenant has few, so that this is always the whole list."""
    return HooksShown(hooks=[_shown(services, hook) for hook in await _of(services, tenant)])


@router.post(
    "/hooks",
    status_code=201,
    summary="Open an inbound webhook",
    description="Gives an address for the webhooks of other software, so that an opt-out there is"
    " an opt-out here. It can only ever stop mail.",
    openapi_extra={UNKEPT: ["url"], ENDS_IN: [Kind.NOT_FOUND, Kind.CONFLICT]},
)
async def add(wanted: NewHook, tenant: Active, services: Using) -> HookMade:
    """Its address is in the answer to the first request only."""
    directory = services.store.directory
    mailing_list = directory.list_of(tenant.id, wanted.list) if wanted.list is not None else None
    if wanted.list is not None and mailing_list is None:
        raise not_found()
    try:
        made, secret = await services.store.inbound_hooks.add(
            tenant.id,
            mailing_list.id if mailing_list is not None else None,
            wanted.format.value,
            wanted.name,
            at=services.clock.now(),
        )
    except HookTaken as error:
        raise ApiProblem(
            Kind.CONFLICT, "There is one of that name. Take another name, or delete it first."
        ) from error
    base = services.settings.http.public_url.rstrip("/")
    return HookMade(**_shown(services, made).model_dump(), url=f"{base}/hooks/{secret}")


@router.delete("/hooks/{name}", summary="Close an inbound webhook")
async def remove(
    name: Annotated[str, Path(max_length=40, examples=["listmonk"])], tenant: Me, services: Using
) -> HookShown:
    """Its address is unknown from then on."""
    found = next((hook for hook in await _of(services, tenant) if hook.name == name), None)
    if found is None or not await services.store.inbound_hooks.remove(found.id):
        raise not_found()
    return _shown(services, found)


async def _of(services: Services, tenant: Tenant) -> list[InboundHook]:
    found = await services.store.inbound_hooks.listing()
    return [hook for hook in found if hook.tenant_id == tenant.id]


def _shown(services: Services, hook: InboundHook) -> HookShown:
    directory = services.store.directory
    mailing_list = directory.mailing_list(hook.list_id)
    return HookShown(
        name=hook.name,
        format=HookFormat(hook.format),
        list=mailing_list.slug if mailing_list is not None else None,
        since=moment(hook.created_at),
    )
