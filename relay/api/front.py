"""The door of the API: who calls, and how often. Nothing behind it is reached without a key, but
for the description of the API itself, which programs read before they have one."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.api.paths import DOCUMENT
from relay.api.problems import ApiProblem, Kind, describe, respond
from relay.model import ApiKey, Directory, Tenant
from relay.ports import Clock
from relay.settings import Settings
from relay.web.client_address import client_address, networks
from relay.web.leaky_buckets import LeakyBuckets

log = logging.getLogger("relay.api")

_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,200}=*) *", re.IGNORECASE)
_FIELDS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose software asks."""

    key: ApiKey
    tenant: Tenant


class Front:
    """Lets in who brings a valid key, on every path alike, and counts."""

    def __init__(
        self,
        app: ASGIApp,
        directory: Callable[[], Directory],
        settings: Settings,
        clock: Clock,
    ) -> None:
        """Raises ValueError when ``http.trusted_proxies`` names something that is no network."""
        self._app = app
        self._directory = directory
        self._trusted = networks(settings.http.trusted_proxies)
        self._invalid = LeakyBuckets(settings.api.invalid_keys_per_minute, clock)
        # The same bucket does for the requests of each key.
        self._requests = LeakyBuckets(settings.api.requests_per_minute, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on with its ``Caller`` in ``request.state.caller``."""
        started = False

        async def send_with_fields(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(_FIELDS)
            await send(message)

        request = Request(scope, receive)
        try:
            if request.url.path != DOCUMENT:
                request.state.caller = self._admit(request)
            await self._app(scope, receive, send_with_fields)
        except ApiProblem as problem:
            await respond(problem)(scope, receive, send_with_fields)
        except Exception as error:
            # Starlette raises again what it has answered, for the server to log: with the text of
            # the exception, which may hold an address.
            if not hasattr(request.state, "failure"):
                log.error("request failed, answer %s: %s", started, describe(error))

    def _admit(self, request: Request) -> Caller:
        caller = self._caller(request.headers.getlist("authorization"))
        if caller is None:
            peer = request.client.host if request.client else ""
            forwarded = request.headers.getlist("x-forwarded-for")
            wait = self._invalid.count(client_address(peer, forwarded, self._trusted))
            if wait > 0:
                raise _too_many(wait, "requests without a valid key from this address")
            raise ApiProblem(
                Kind.UNAUTHORIZED,
                "Send Authorization: Bearer KEY with a key that is in force. The operator makes"
                " one with `consent-relay apikey add TENANT NAME`.",
                headers={"WWW-Authenticate": 'Bearer realm="consent-relay"'},
            )
        wait = self._requests.count(f"key {caller.key.id}")
        if wait > 0:
            raise _too_many(wait, "requests with this key")
        return caller

    def _caller(self, fields: list[str]) -> Caller | None:
        match = _BEARER.fullmatch(fields[0]) if len(fields) == 1 else None
        if match is None:
            return None
        directory = self._directory()
        key = directory.api_keys.get(hashlib.sha256(match[1].encode()).digest())
        tenant = directory.tenants.get(key.tenant_id) if key is not None else None
        return Caller(key, tenant) if key is not None and tenant is not None else None


def _too_many(wait: float, what: str) -> ApiProblem:
    seconds = math.ceil(wait)
    return ApiProblem(
        Kind.TOO_MANY,
        f"Too many {what} in a minute. Wait {seconds} s, then go on more slowly.",
        headers={"Retry-After": str(seconds)},
    )
