"""The same commands while a daemon has the store, and when its socket is gone."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.operate.control import ControlServer
from relay.operate.local import open_context
from relay.operate.operations import OPERATIONS
from relay.operate.session import SOCKET
from relay.settings_file import load
from relay.tasks import Tasks
from tests.unit.cli.conftest import Command


@pytest.fixture
def daemon(shop: Command, tmp_path: Path) -> Iterator[Path]:
    """Another thread holds the store and answers on the socket; yields the socket."""
    settings, _ = load(tmp_path / "relay" / "relay.toml", {})
    started, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        tasks = Tasks()
        async with open_context(settings) as context:
            server = ControlServer(settings.data_dir / SOCKET, context, tasks, OPERATIONS)
            await server.start()
            started.set()
            await stop.wait()
            await server.stop()
            await tasks.drain(5)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    yield settings.data_dir / SOCKET
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def test_commands_go_through_the_daemon(daemon: Path, shop: Command, tmp_path: Path) -> None:
    assert [row["slug"] for row in shop("tenant", "list", "--json").json] == ["shop"]
    rows = "".join(f"p{number}@example.org,approved,2026-01-02\n" for number in range(1_300))
    file = tmp_path / "a.csv"
    file.write_text("address,basis,collected_at\n" + rows)
    done = shop("consent", "import", "shop", "news", file, "--source", "form", "--json")
    assert done.json["imported"] == 1_300
    assert shop("consent", "show", "p1299@example.org").status == 0
    (tenant,) = shop("ledger", "export", "shop", "--json").json["tenants"]
    assert len(tenant["runs"][0]) == 1
    assert len(tenant["runs"][0][0]["rows"]) == 1_300
    assert shop("ledger", "verify").status == 0
    assert shop("tenant", "show", "nobody").status == 1
    assert shop("backup", tmp_path / "b.tar").status == 0
    assert (tmp_path / "b.tar").stat().st_mode & 0o077 == 0


def test_a_daemon_without_its_socket_is_named(daemon: Path, shop: Command) -> None:
    daemon.unlink()
    done = shop("tenant", "list")
    assert done.status == 1
    assert "is in use by process" in done.err
