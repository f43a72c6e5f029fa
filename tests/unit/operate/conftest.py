"""An opened relay: real store, real rulebooks, a clock that stands still."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.operate import keyfiles
from relay.operate.context import Context
from relay.operate.local import open_context
from relay.settings import Settings
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    keyfiles.make(data_dir)
    return Settings(data_dir=data_dir)


@pytest.fixture
async def context(settings: Settings, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Context]:
    async with open_context(settings, clock) as opened:
        yield opened


@pytest.fixture
async def shop(context: Context) -> Context:
    """With a tenant ``shop`` that has a domain-less list ``news`` and an approved source."""
    from relay.operate import lists, sources, tenants
    from relay.operate.choices import ListKind

    await tenants.add(context, "shop", "Shop BV", "Street 1, Town", "owner@shop.example")
    await lists.add(context, "shop", "news", ListKind.COMMERCIAL, "News", "1/week")
    await sources.add(context, "form", approved=True)
    await sources.add(context, "paper", approved=False)
    return context
