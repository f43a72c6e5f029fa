"""What the functions behind the routes are handed: who calls, and the services."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Path
from starlette.requests import Request

from relay.api.front import Caller
from relay.api.problems import ApiProblem, Kind, not_found
from relay.api.services import Services
from relay.model import MailingList, Tenant, TenantState


async def _caller(request: Request) -> Caller:
    return cast("Caller", request.state.caller)


async def _services(request: Request) -> Services:
    return cast("Services", request.app.state.services)


async def _tenant(caller: Annotated[Caller, Depends(_caller)]) -> Tenant:
    return caller.tenant


async def active(tenant: Annotated[Tenant, Depends(_tenant)]) -> Tenant:
    """The calling tenant, unless it is suspended. Raises ApiProblem."""
    if tenant.state is TenantState.SUSPENDED:
        raise ApiProblem(
            Kind.SUSPENDED,
            "The operator has suspended this tenant: it can read, erase, and record opt-outs, no"
            " more. Ask the operator what has to change.",
        )
    return tenant


async def _list(
    tenant: Annotated[Tenant, Depends(_tenant)],
    services: Annotated[Services, Depends(_services)],
    mailing_list: Annotated[
        str, Path(alias="list", description="Slug of one of the tenant's lists.", examples=["news"])
    ],
) -> MailingList:
    found = services.store.directory.list_of(tenant.id, mailing_list)
    if found is None:
        raise not_found()
    return found


Called = Annotated[Caller, Depends(_caller)]
Using = Annotated[Services, Depends(_services)]
Me = Annotated[Tenant, Depends(_tenant)]
"""The tenant whose key it is, suspended or not."""
Active = Annotated[Tenant, Depends(active)]
"""The tenant, which is not suspended."""
OwnList = Annotated[MailingList, Depends(_list)]
"""The tenant's list in the path."""
