"""The control socket, with a real server, a real store and real clients."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.operate.context import Context
from relay.operate.control import ControlServer
from relay.operate.control_client import ControlClient
from relay.operate.errors import OperationError
from relay.operate.progress import Progress
from relay.operate.registry import Registry
from relay.operate.tenants import listing
from relay.ports import Json, StoreTrouble
from relay.tasks import Tasks


async def add(context: Context, one: int, two: int = 1) -> Json:
    return one + two


async def refuse(context: Context, status: int) -> Json:
    raise OperationError("the answer is no", status)


async def break_down(context: Context) -> Json:
    raise ZeroDivisionError("a secret word")


async def in_trouble(context: Context) -> Json:
    raise StoreTrouble("the disk is gone")


async def work(context: Context, progress: Progress) -> Json:
    for done in range(3):
        progress(done, 3)
    return "done"


async def count(context: Context, to: int, stumble: int = -1) -> AsyncIterator[Json]:
    for number in range(to):
        if number == stumble:
            raise OperationError("too far")
        yield number


REGISTRY = Registry(
    {
        "add": add,
        "refuse": refuse,
        "break_down": break_down,
        "in_trouble": in_trouble,
        "work": work,
        "count": count,
        "tenant.list": listing,
    }
)


@pytest.fixture
async def path(context: Context, tmp_path: Path) -> AsyncIterator[Path]:
    tasks = Tasks()
    socket = tmp_path / "control.sock"
    server = ControlServer(socket, context, tasks, REGISTRY)
    await server.start()
    yield socket
    await server.stop()
    assert await tasks.drain(5) == 0, "a session outlived the server"
    assert not socket.exists()


@pytest.fixture
async def client(path: Path) -> AsyncIterator[ControlClient]:
    connected = await ControlClient.connect(path)
    assert connected is not None
    yield connected
    await connected.close()


async def test_socket_is_its_owners_alone(path: Path) -> None:
    mode = (await asyncio.to_thread(path.stat)).st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_several_requests_on_one_connection(client: ControlClient) -> None:
    assert await client.call("add", {"one": 2}) == 3
    assert await client.call("add", {"one": 2, "two": 2}) == 4
    assert await client.call("tenant.list", {}) == []


@pytest.mark.parametrize("status", [1, 2])
async def test_refusals_keep_their_status(client: ControlClient, status: int) -> None:
    with pytest.raises(OperationError, match="the answer is no") as caught:
        await client.call("refuse", {"status": status})
    assert caught.value.status == status
    assert await client.call("add", {"one": 1}) == 2


@pytest.mark.parametrize(
    ("name", "given", "words", "status"),
    [
        ("add", {}, "one", 2),
        ("add", {"one": "x"}, "one", 2),
        ("add", {"one": 1, "three": 3}, "three", 2),
        ("nothing", {}, "knows no operation 'nothing'", 2),
        ("in_trouble", {}, "the disk is gone", 1),
    ],
)
async def test_wrong_requests(
    client: ControlClient, name: str, given: dict[str, Any], words: str, status: int
) -> None:
    with pytest.raises(OperationError) as caught:
        await client.call(name, given)
    assert words in caught.value.sentence
    assert caught.value.status == status


async def test_a_fault_is_logged_and_tells_nothing(
    client: ControlClient, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OperationError) as caught:
        await client.call("break_down", {})
    assert "secret word" not in caught.value.sentence
    assert "break_down failed" in caplog.text
    assert await client.call("add", {"one": 1}) == 2


async def test_progress_comes_before_the_result(client: ControlClient) -> None:
    seen: list[tuple[int, int | None]] = []
    assert await client.call("work", {}, lambda done, total: seen.append((done, total))) == "done"
    assert seen == [(0, 3), (1, 3), (2, 3)]


async def test_stream(client: ControlClient) -> None:
    assert [item async for item in client.stream("count", {"to": 2_000})] == list(range(2_000))
    assert await client.call("add", {"one": 1}) == 2


async def test_stream_that_fails_in_between(client: ControlClient) -> None:
    items = client.stream("count", {"to": 9, "stumble": 2})
    assert [await anext(items), await anext(items)] == [0, 1]
    with pytest.raises(OperationError, match="too far"):
        await anext(items)
    assert await client.call("add", {"one": 1}) == 2


async def test_client_that_leaves_in_the_middle(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"call": "count", "with": {"to": 400000}}\n')
    await reader.readline()
    writer.transport.abort()
    other = await ControlClient.connect(path)
    assert other is not None
    assert await other.call("add", {"one": 1}) == 2
    await other.close()


@pytest.mark.parametrize(
    "line", [b"hello\n", b"[]\n", b"{}\n", b'{"call": "add", "with": 5}\n', b"\xff\xfe\n"]
)
async def test_garbage_gets_an_answer(path: Path, line: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    answer = json.loads(await reader.readline())
    assert answer["status"] == 2
    writer.close()
    await writer.wait_closed()


async def test_nobody_listens(tmp_path: Path) -> None:
    assert await ControlClient.connect(tmp_path / "control.sock") is None


async def test_socket_of_a_former_run_is_replaced(context: Context, tmp_path: Path) -> None:
    socket = tmp_path / "control.sock"
    first = ControlServer(socket, context, Tasks(), REGISTRY)
    await first.start()
    second = ControlServer(socket, context, Tasks(), REGISTRY)
    await second.start()
    client = await ControlClient.connect(socket)
    assert client is not None
    await client.close()
    await second.stop()
    await first.stop()


async def test_deep_directory(context: Context, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    tasks = Tasks()
    server = ControlServer(deep / "control.sock", context, tasks, REGISTRY)
    await server.start()
    client = await ControlClient.connect(deep / "control.sock")
    assert client is not None
    assert await client.call("add", {"one": 1}) == 2
    await client.close()
    await server.stop()
    await tasks.drain(5)


async def test_daemon_that_stops_between_requests(context: Context, tmp_path: Path) -> None:
    tasks = Tasks()
    server = ControlServer(tmp_path / "control.sock", context, tasks, REGISTRY)
    await server.start()
    client = await ControlClient.connect(tmp_path / "control.sock")
    assert client is not None
    assert await client.call("add", {"one": 1}) == 2
    await server.stop()
    assert await tasks.drain(5) == 0
    with pytest.raises(OperationError, match="closed the connection"):
        await client.call("add", {"one": 1})
    await client.close()
