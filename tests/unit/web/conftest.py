from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from tests.unit.web.book import Site, serve


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with serve(invalid_tokens_per_minute=5) as running:
        yield running


@pytest_asyncio.fixture
async def web(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    # Plain HTTP on loopback: reading the trust store would be most of the time that a test takes.
    async with httpx.AsyncClient(base_url=site.url, verify=False) as client:
        yield client
