"""Tells senders' software what people said: signed webhooks, and the senders' one-click addresses.

What has to be told is in the outbox since the event itself (``relay.store.outbox``); here it is
sent, at least once, until it has arrived or a day of silence has followed the last of ten attempts.
Each place of each tenant has a lane with one call at a time, so that what is told of a person
arrives in order, and a dead place delays nobody else's.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from relay.egress.outbound_http import Answer
from relay.ports import Clock, StoreTrouble
from relay.store.outbox.outbox import WEBHOOK, Lane, Notice, host_of
from relay.store.outbox.webhooks import SECRET_PREFIX
from relay.store.store import Store
from relay.tasks import Tasks

log = logging.getLogger("relay.passing_on")

SCHEDULE: Final = (5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200, 86_400)
"""Seconds until the next attempt after each failed one; after one more it is given up."""
LIFETIME: Final = 4 * 86_400
"""Seconds after which it is given up in any case: behind a dead place few get their attempts."""
JITTER: Final = 0.2
"""By how much of itself a pause is stretched at most, so that places are not hit in step."""
CALLS: Final = 32
"""Calls under way at once."""
CALLS_PER_TENANT: Final = 4
"""Of one tenant; its places, not other tenants', wait for each other."""
LONGEST_LANE_PAUSE: Final = 300.0
"""Seconds for which a place that does not answer is left alone, with all that waits for it."""
STORE_PAUSE: Final = 30.0
LOOK_AGAIN: Final = 60.0
"""Seconds after which the outbox is looked at even when nobody says that there is something."""

_ONE_CLICK_BODY: Final = b"List-Unsubscribe=One-Click"

LaneKey: TypeAlias = tuple[int, str]


class Caller(Protocol):
    """Makes one HTTP call (``relay.egress.outbound_http``)."""

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        """POST ``content``; never raises for what the network does."""


class PassingOn:
    """Empties the outbox."""

    def __init__(
        self,
        *,
        store: Store,
        http: Caller,
        clock: Clock,
        tasks: Tasks,
        seen: Callable[[str, str, str], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``seen`` is told tenant slug, kind and result of each attempt; ``jitter`` gives numbers
        from 0 to 1."""
        self._store: Final = store
        self._http: Final = http
        self._clock: Final = clock
        self._tasks: Final = tasks
        self._seen: Final = seen
        self._jitter: Final = jitter
        self._something_new: Final = asyncio.Event()
        self._busy: Final[dict[LaneKey, asyncio.Task[None]]] = {}
        self._paused: Final[dict[LaneKey, tuple[int, float]]] = {}
        """Failures in a row, and until when the lane is left alone, in seconds of the monotonic
        clock: one that is set back must not silence a place for as long."""
        self._calls: Final = asyncio.Semaphore(CALLS)
        self._calls_of: Final[defaultdict[int, asyncio.Semaphore]] = defaultdict(
            lambda: asyncio.Semaphore(CALLS_PER_TENANT)
        )

    async def run(self) -> None:
        """Work until cancelled; what is under way then is sent again after the next start."""
        loop = asyncio.get_running_loop()

        def told() -> None:
            loop.call_soon_threadsafe(self._something_new.set)

        def retried(tenant_id: int) -> None:
            loop.call_soon_threadsafe(self._afresh, tenant_id)

        self._store.outbox.told, self._store.outbox.retried = told, retried
        try:
            while True:
                self._something_new.clear()
                pause = await self._start_due()
                try:
                    async with asyncio.timeout(pause):
                        await self._something_new.wait()
                except TimeoutError:
                    continue
        finally:
            self._store.outbox.told = lambda: None
            self._store.outbox.retried = lambda tenant_id: None
            for task in self._busy.values():
                task.cancel()

    async def once(self) -> None:
        """Send what is due now, and return when all of it has been tried."""
        await self._start_due()
        while self._busy:
            await asyncio.wait(self._busy.values())

    async def tidy(self, *, dead_before: float) -> None:
        """Give up and forget what is old: dead letters written before a time (seconds since the
        epoch), and one-click addresses after 60 days. Raises StoreTrouble."""
        now = self._clock.now()
        while old := await self._store.outbox.give_up_old(now - LIFETIME):
            for tenant_id, kind in old:
                self._seen(self._slug(tenant_id), kind, "dead")
        while await self._store.outbox.purge_dead(dead_before):
            pass
        while await self._store.one_click_urls.forget_old(now):
            pass

    # --- lanes -------------------------------------------------------------------------------

    async def _start_due(self) -> float:
        """Start every lane that has something to send now; returns the seconds until the next."""
        now, steady = self._clock.now(), self._clock.monotonic()
        try:
            lanes = await self._store.outbox.lanes()
        except StoreTrouble as error:
            log.warning("what has to be told waits: %s", error)
            return STORE_PAUSE
        there = {(lane.tenant_id, lane.name) for lane in lanes}
        for key in self._paused.keys() - there:
            del self._paused[key]
        pause = LOOK_AGAIN
        for lane in lanes:
            key = (lane.tenant_id, lane.name)
            if key in self._busy:
                continue
            left = max(lane.next_at - now, self._paused.get(key, (0, steady))[1] - steady)
            if left > 0:
                pause = min(pause, left)
                continue
            self._busy[key] = self._tasks.start(self._work(key, lane), f"telling {lane.name}")
        return pause

    async def _work(self, key: LaneKey, lane: Lane) -> None:
        """Send what is due in one lane, one after the other, until nothing is or it fails."""
        try:
            while True:
                # Read when it is this lane's turn: by then the place, or the person's address, may
                # be gone.
                async with self._calls_of[lane.tenant_id], self._calls:
                    notice = await self._store.outbox.next(lane, self._clock.now())
                    if notice is None:
                        return
                    answer = await self._call(notice)
                await self._settle(notice, answer)
                if not answer.taken:
                    self._pause(key)
                    return
                self._paused.pop(key, None)
        except StoreTrouble as error:
            log.warning("what has to be told waits: %s", error)
            self._paused[key] = (0, self._clock.monotonic() + STORE_PAUSE)
        except Exception:
            # A bug must cost this lane a pause, not the others their sender.
            log.exception("telling %s failed", lane.name)
            self._paused[key] = (0, self._clock.monotonic() + LONGEST_LANE_PAUSE)
        finally:
            del self._busy[key]
            self._something_new.set()

    def _afresh(self, tenant_id: int) -> None:
        """Leave no place of a tenant alone any longer."""
        for key in [key for key in self._paused if key[0] == tenant_id]:
            del self._paused[key]
        self._something_new.set()

    def _pause(self, key: LaneKey) -> None:
        failures = self._paused.get(key, (0, 0.0))[0] + 1
        seconds = min(SCHEDULE[0] * 2 ** min(failures - 1, 10), LONGEST_LANE_PAUSE)
        self._paused[key] = (failures, self._clock.monotonic() + seconds)

    # --- one notice --------------------------------------------------------------------------

    async def _call(self, notice: Notice) -> Answer:
        if notice.kind == WEBHOOK:
            return await self._http.post(notice.url, *signed(notice, int(self._clock.now())))
        # RFC 8058 section 3.2: no cookie, no authorisation, nothing else in the body.
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._http.post(notice.url, _ONE_CLICK_BODY, headers)

    async def _settle(self, notice: Notice, answer: Answer) -> None:
        slug, host = self._slug(notice.tenant_id), host_of(notice.url)
        if answer.taken:
            await self._store.outbox.sent(notice)
            self._seen(slug, notice.kind, "delivered")
            return
        if answer.gone:
            log.warning("%s of %s at %s says that it is gone for good", notice.kind, slug, host)
        now = self._clock.now()
        if notice.attempts >= len(SCHEDULE) or now - notice.created_at > LIFETIME:
            await self._store.outbox.give_up(notice, answer.text)
            self._seen(slug, notice.kind, "dead")
            log.error("%s of %s at %s is given up: %s", notice.kind, slug, host, answer.text)
            return
        pause = SCHEDULE[notice.attempts] * (1 + JITTER * self._jitter())
        await self._store.outbox.postpone(notice, now + pause, answer.text)
        self._seen(slug, notice.kind, "failed")
        log.info("%s of %s at %s: %s", notice.kind, slug, host, answer.text)

    def _slug(self, tenant_id: int) -> str:
        tenant = self._store.directory.tenants.get(tenant_id)
        return tenant.slug if tenant is not None else "-"


def signed(notice: Notice, timestamp: int) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a webhook after the Standard Webhooks specification: HMAC-SHA256 under
    its secret over ``id.timestamp.body``; ``timestamp`` in seconds since the epoch."""
    said = json.loads(notice.payload)
    body = json.dumps({**said, "address": notice.address}, ensure_ascii=False).encode()
    number = str(said["id"])
    key = base64.b64decode((notice.secret or "").removeprefix(SECRET_PREFIX))
    mac = hmac.digest(
        key, b".".join((number.encode(), str(timestamp).encode(), body)), hashlib.sha256
    )
    return body, {
        "Content-Type": "application/json",
        "webhook-id": number,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode('ascii')}",
    }
