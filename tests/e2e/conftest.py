"""A relay process for black-box tests: real configuration, sockets, command line."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.house import build_house
from tests.support.relay_process import Relay
from tests.support.smtp_sink import SinkThread, SmtpSink

MakeRelay = Callable[..., Relay]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Relay:
    """The house as it is before any test, stopped."""
    return build_house(tmp_path_factory.mktemp("house") / "relay")


@pytest.fixture
def make_relay(template: Relay, tmp_path: Path) -> Iterator[MakeRelay]:
    """``make_relay(upstream_port, settings)``: a stopped relay of the test's own."""
    made: list[Relay] = []

    def make(upstream: int, settings: Mapping[str, Any] | None = None, **options: Any) -> Relay:
        relay = Relay(
            tmp_path / f"relay{len(made)}", upstream, settings, template=template, **options
        )
        made.append(relay)
        return relay

    yield make
    for relay in made:
        if relay.process is not None:
            relay.kill()
        print("\n".join(["--- the relay's stderr:", *relay.stderr[-200:]]))


@pytest.fixture
def upstream() -> Iterator[SinkThread]:
    """A recording upstream of the test's own."""
    with SinkThread() as thread:
        yield thread


@pytest.fixture
def relay(make_relay: MakeRelay, upstream: SinkThread) -> Relay:
    """A running relay of the test's own in front of ``upstream``."""
    return make_relay(upstream.sink.port).start()


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[SinkThread]:
    """The upstream of ``shared_relay``."""
    with SinkThread() as thread:
        yield thread


@pytest.fixture(scope="session")
def shared_relay(
    template: Relay, shared_upstream: SinkThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Relay]:
    """One running relay for all tests that leave it as it was and use recipients of their own."""
    directory = tmp_path_factory.mktemp("shared") / "relay"
    with Relay(directory, shared_upstream.sink.port, template=template) as relay:
        yield relay


@pytest.fixture
def shared_sink(shared_upstream: SinkThread) -> SmtpSink:
    """What reached the upstream of ``shared_relay``."""
    return shared_upstream.sink
