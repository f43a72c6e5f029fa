"""What has to be done now and then: expiry, digests, and what must survive a restart."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

from relay.consent.erasing import Erasing
from relay.consent.opt_in import OptIn
from relay.consent.passing_on import PassingOn
from relay.pipeline.notices import Notices
from relay.ports import Clock, StoreTrouble
from relay.settings import Settings
from relay.store.store import Store
from relay.throttle.gcra import GcraThrottle

log = logging.getLogger("relay.housekeeping")

MINUTE = 60.0
DAY = 86_400
THROTTLE_FILE = "throttle.json"


class Housekeeping:
    """Runs once a minute; trouble in one round is logged and the next round comes all the same."""

    def __init__(
        self,
        *,
        store: Store,
        notices: Notices,
        opt_in: OptIn,
        passing_on: PassingOn,
        erasing: Erasing,
        throttle: GcraThrottle,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._notices = notices
        self._opt_in = opt_in
        self._passing_on = passing_on
        self._erasing = erasing
        self._throttle = throttle
        self.settings = settings
        self._clock = clock

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.round()
            except StoreTrouble as error:
                log.warning("housekeeping waits for the next round: %s", error)
            except Exception:
                # One contact that no notice can be written to must not end all expiry.
                log.exception("a round of housekeeping failed")
            await asyncio.sleep(MINUTE)

    async def round(self) -> None:
        """Expire held mail and unanswered requests, forget old records, send digests, save the
        throttle.

        Raises StoreTrouble.
        """
        now = self._clock.now()
        self.save_throttle()
        # Yesterday's digest goes out before anything that it would name can expire.
        await self._notices.digests()
        while expired := await self._store.mail.expire_held(now):
            await self._notices.expired(expired)
        forget_before = now - self.settings.limits.record_days * DAY
        forgotten = 1
        while forgotten:
            forgotten = await self._store.mail.purge_records(forget_before)
        await self._opt_in.lapse()
        await self._passing_on.tidy(dead_before=forget_before)
        await self._store.imports.clear_stale(now - DAY)
        await self._erasing.finish()

    def save_throttle(self) -> None:
        """Keep what tenants have spent, so that a restart is no way around a rate."""
        path = self._path()
        temporary = path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(self._throttle.dump()))
            temporary.replace(path)
        except OSError as error:
            # A full disk must stop neither the expiry that makes room nor an orderly end.
            log.warning("what tenants have spent is not saved: %s", error)

    def restore_throttle(self) -> None:
        """Go on with what the former run had spent; a missing or broken file is a fresh start."""
        try:
            self._throttle.load(json.loads(self._path().read_text()))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("the throttle starts afresh: %s: %s", self._path(), error)

    def _path(self) -> Path:
        return self.settings.data_dir / THROTTLE_FILE
