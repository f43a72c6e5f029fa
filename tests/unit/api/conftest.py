from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.api_rig import Rig, api_rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with api_rig(tmp_path) as running:
        yield running
