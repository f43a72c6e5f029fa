from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
import trustme

from relay.tasks import Tasks
from relay.transform.sign import generate_key
from tests.unit.egress.scripted import Bench

try:
    import uvloop
except ImportError:  # the relay runs without it
    uvloop = None  # type: ignore[assignment]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Whatever touches the network runs on both event loops: their transports differ."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if "bench" in getattr(item, "fixturenames", ()) and uvloop is not None:
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture(scope="session")
def pem() -> bytes:
    """One RSA-2048 key for the whole run: making one takes long."""
    return generate_key()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    tasks = Tasks()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(tasks.drain, 5.0)
        yield Bench(tasks, stack)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA) -> ssl.SSLContext:
    """A server certificate for 127.0.0.1 and localhost, by ``authority``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context
