from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from tests.unit.web.book import Site, serve


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Site]:
    async with serve(invalid_tokens_per_minute=5) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="module")
async def site(running: Site) -> Site:
    """The pages, with nothing left of the test before; tests run in the loop of their module."""
    running.forget()
    return running


@pytest_asyncio.fixture(loop_scope="module")
async def web(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    # Plain HTTP on loopback: reading the trust store would be most of the time that a test takes.
    async with httpx.AsyncClient(base_url=site.url, verify=False) as client:
        yield client
