"""Repeated writes act once (draft-ietf-httpapi-idempotency-key-header).

A client that got no answer sends the same request with the same key again, and gets the answer
that the first one got. What is stored holds no address and no secret: the key and the request only
as keyed hashes, the answer without what the relay itself keeps nowhere in clear.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from relay.api.problems import ApiProblem, Kind, invalid
from relay.ports import Clock, StoreTrouble
from relay.store.idempotency import Answered, IdempotencyKeys

log = logging.getLogger("relay.api")

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r'"([!-~]{1,255})"|([!-~]{1,255})')

Answer = Callable[[], Awaitable[Response]]


class Idempotency:
    """Runs each request once for its key and tenant."""

    def __init__(self, answers: IdempotencyKeys, secret: bytes, clock: Clock) -> None:
        """``secret`` keys the hashes: a request may hold an address, and so may a key."""
        self._answers = answers
        self._secret = secret
        self._clock = clock
        self._under_way: set[tuple[int, str]] = set()

    async def once(
        self,
        request: Request,
        body: bytes,
        answer: Answer,
        *,
        unkept: Collection[str] = (),
    ) -> Response:
        """What ``answer`` gives, or gave to the same request in the last 24 hours.

        ``unkept`` names members of the answer that are stored as null. Only what was done is
        stored; a request that was refused may be mended and sent again with the same key.
        Raises ApiProblem, StoreTrouble, and whatever ``answer`` raises.
        """
        given = request.headers.getlist(HEADER)
        if not given:
            return await answer()
        match = _KEY.fullmatch(given[0].strip()) if len(given) == 1 else None
        if match is None:
            detail = "It must be one string of 1 to 255 visible ASCII characters."
            raise invalid(detail, parameter=HEADER)
        tenant_id: int = request.state.caller.tenant.id
        key = self._hash(match[1] or match[2])
        target = f"{request.method} {request.url.path}?{request.url.query}"
        said = self._hash(f"{target}\n{request.headers.get('content-type', '')}", body)
        async with self._claim(tenant_id, key):
            before = await self._answers.find(tenant_id, key, self._clock.now())
            if before is None:
                response = await answer()
                await self._keep(tenant_id, key, said, response, unkept)
                return response
            if not hmac.compare_digest(before.request, said):
                raise ApiProblem(
                    Kind.KEY_REUSED,
                    "This key was used for another request in the last 24 hours. Take a new key"
                    " for each request, and repeat a request exactly as it was.",
                )
            return Response(
                before.body or None,
                before.status,
                {REPLAYED: "true"},
                media_type="application/json" if before.body else None,
            )

    @asynccontextmanager
    async def _claim(self, tenant_id: int, key: str) -> AsyncIterator[None]:
        # In memory: one process answers, and a restart leaves nothing under way.
        claim = (tenant_id, key)
        if claim in self._under_way:
            raise ApiProblem(
                Kind.UNDER_WAY,
                "The first request with this key has no answer yet. Send it again in a moment.",
                headers={"Retry-After": "1"},
            )
        self._under_way.add(claim)
        try:
            yield
        finally:
            self._under_way.discard(claim)

    async def _keep(
        self, tenant_id: int, key: str, said: str, response: Response, unkept: Collection[str]
    ) -> None:
        if not 200 <= response.status_code < 300:
            return
        body = bytes(response.body).decode("utf-8")
        if unkept:
            document: dict[str, Any] = json.loads(body)
            body = json.dumps({**document, **dict.fromkeys(unkept)}, ensure_ascii=False)
        try:
            answered = Answered(said, response.status_code, body)
            await self._answers.keep(tenant_id, key, answered, self._clock.now())
        except StoreTrouble:
            # It is done and durable: an answer that says otherwise would be wrong.
            log.warning("the answer to an idempotent request could not be stored")

    def _hash(self, text: str, body: bytes = b"") -> str:
        said = hashlib.sha256(text.encode("utf-8", "surrogateescape"))
        said.update(b"\0" + body)
        return hmac.digest(self._secret, b"api\0" + said.digest(), hashlib.sha256).hex()
