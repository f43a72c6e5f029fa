"""What is done once a minute, on days when something is in the way."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from relay.consent.erasing import Erasing
from relay.consent.opt_in import OptIn
from relay.consent.passing_on import PassingOn
from relay.operate import housekeeping
from relay.operate.context import Context
from relay.operate.housekeeping import THROTTLE_FILE, Housekeeping
from relay.pipeline.notices import Notices
from relay.settings import Settings
from relay.throttle.gcra import GcraThrottle
from relay.throttle.spec import parse


class Told:
    """Stands for the notices; ``error`` is what writing one raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.digests_asked = asyncio.Queue[None]()
        self.error = error

    async def digests(self) -> None:
        self.digests_asked.put_nowait(None)
        if self.error is not None:
            raise self.error

    async def expired(self, copies: Sequence[object]) -> None:
        """Nothing is held here."""


class Idle:
    """Stands for services that have nothing to tidy."""

    async def lapse(self) -> int:
        return 0

    async def finish(self) -> bool:
        return True

    async def tidy(self, *, dead_before: float) -> None:
        """Nothing is old."""


def keeper(context: Context, told: Told) -> Housekeeping:
    return Housekeeping(
        store=context.store,
        notices=cast("Notices", told),
        opt_in=cast("OptIn", Idle()),
        passing_on=cast("PassingOn", Idle()),
        erasing=cast("Erasing", Idle()),
        throttle=GcraThrottle(lambda _: parse("1/hour"), lambda _, __: parse("1/hour")),
        settings=context.settings,
        clock=context.clock,
    )


async def test_what_tenants_have_spent_survives_a_restart(context: Context) -> None:
    before = keeper(context, Told())
    before._throttle.take(1, "ok.test", 1, context.clock.now())
    before.save_throttle()
    after = keeper(context, Told())
    after.restore_throttle()
    assert after._throttle.wait(1, "ok.test", context.clock.now()) > 0


@pytest.fixture
def nothing_can_be_saved(settings: Settings) -> None:
    (settings.data_dir / THROTTLE_FILE).with_suffix(".new").mkdir()


@pytest.mark.usefixtures("nothing_can_be_saved")
async def test_a_throttle_that_cannot_be_saved_stops_neither_expiry_nor_the_end(
    context: Context,
) -> None:
    """As on a full disk, where expiry is what makes room again."""
    told = Told()
    await keeper(context, told).round()
    assert told.digests_asked.qsize() == 1
    keeper(context, told).save_throttle()


async def test_a_notice_that_cannot_be_written_does_not_end_housekeeping(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "MINUTE", 0.0)
    told = Told(ValueError("a header field with a line break"))
    running = asyncio.ensure_future(keeper(context, told).run())
    for _ in range(3):
        await told.digests_asked.get()
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
