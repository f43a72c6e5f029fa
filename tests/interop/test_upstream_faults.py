"""The pool against Postfix's smtp-sink, which knows how upstreams fail (smtp-sink(1))."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.egress.upstream import UpstreamPool
from relay.model import Outcome, Receipt
from relay.ports import Envelope
from relay.settings import Upstream
from relay.tasks import Tasks
from tests.support.ports import free_port

SINK = shutil.which("smtp-sink", path=os.environ.get("PATH", "") + ":/usr/sbin")
pytestmark = pytest.mark.skipif(SINK is None, reason="smtp-sink (Debian: postfix) is not installed")

MESSAGES = 30
DELIVERED, DEFERRED, REFUSED = Outcome.DELIVERED, Outcome.DEFERRED, Outcome.REFUSED
Sink = Callable[..., Awaitable[tuple[UpstreamPool, Path]]]


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """Starts smtp-sink with the given flags; gives a pool towards it and where it keeps mail."""
    tasks = Tasks()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(tasks.drain, 5.0)
        # As root smtp-sink insists on becoming somebody else, who cannot enter tmp_path.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.chmod(folder, 0o777)
        user = ("-u", "nobody") if os.geteuid() == 0 else ()

        async def start(*flags: str) -> tuple[UpstreamPool, Path]:
            port, dump = free_port(), folder / "dump"
            assert SINK is not None
            process = await asyncio.create_subprocess_exec(
                SINK, *user, "-4", "-D", str(dump), *flags, f"127.0.0.1:{port}", "100"
            )

            async def stop() -> None:
                if process.returncode is None:
                    process.kill()
                await process.wait()

            stack.push_async_callback(stop)
            await listening(port, process)
            settings = Upstream(
                address=f"127.0.0.1:{port}",
                tls="none",
                max_connections=5,
                command_timeout=20,
                final_timeout=20,
            )
            pool = UpstreamPool(settings, "relay.example", SystemClock(), tasks)
            stack.push_async_callback(pool.close)
            return pool, dump

        yield start


async def listening(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until ``process`` accepts on ``port``."""
    async with asyncio.timeout(10):
        while True:
            assert process.returncode is None, "smtp-sink does not start"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


async def send(pool: UpstreamPool, number: int, *, eight_bit: bool = False) -> Receipt:
    content = (
        b"From: news@t1.test\r\nSubject: number-%d.\r\n\r\n" % number,
        b".dot\r\n" + (b"\xe9\r\n" if eight_bit else b""),
    )
    envelope = Envelope("news@t1.test", (f"r{number}@ok.test",), False, eight_bit, 100)
    (receipt,) = await pool.send(envelope, content)
    return receipt


def arrivals(dump: Path) -> list[int]:
    """How often each message is at the sink."""
    kept = dump.read_bytes() if dump.exists() else b""
    return [kept.count(b"Subject: number-%d." % number) for number in range(MESSAGES)]


@pytest.mark.parametrize(
    ("flags", "outcome", "trouble"),
    [
        ("", DELIVERED, False),
        ("-e", DELIVERED, False),
        ("-p", DELIVERED, False),
        ("-N", DELIVERED, False),
        ("-8", DELIVERED, False),
        ("-m 5", DELIVERED, False),
        ("-f EHLO", DELIVERED, False),
        ("-q CONNECT", DEFERRED, False),
        ("-Q CONNECT", DEFERRED, False),
        ("-r CONNECT", DEFERRED, False),
        ("-f CONNECT", DEFERRED, True),
        ("-q EHLO", DEFERRED, False),
        ("-r EHLO", DEFERRED, False),
        ("-f EHLO,HELO", DEFERRED, True),
        ("-q MAIL", DEFERRED, False),
        ("-Q MAIL", DEFERRED, False),
        ("-r MAIL", DEFERRED, False),
        ("-f MAIL", DEFERRED, True),
        ("-q RCPT", DEFERRED, False),
        ("-Q RCPT", DEFERRED, False),
        ("-r RCPT", DEFERRED, False),
        ("-f RCPT", REFUSED, False),
        ("-q DATA", DEFERRED, False),
        ("-Q DATA", DEFERRED, False),
        ("-r DATA", DEFERRED, False),
        ("-f DATA", REFUSED, False),
        ("-q .", DEFERRED, False),
        ("-Q .", DEFERRED, False),
        ("-r .", DEFERRED, False),
        ("-f .", REFUSED, False),
    ],
)
async def test_every_fault_has_the_right_outcome(
    sink: Sink, flags: str, outcome: Outcome, trouble: bool
) -> None:
    pool, dump = await sink(*flags.split())
    receipts = await asyncio.gather(*(send(pool, number) for number in range(MESSAGES)))
    assert {receipt.outcome for receipt in receipts} == {outcome}
    assert {receipt.our_trouble for receipt in receipts} == {trouble}
    if outcome is DELIVERED:
        assert arrivals(dump) == [1] * MESSAGES
    elif flags not in ("-q .", "-Q ."):
        # A refused transaction is at the sink's dump only as far as it got: never twice.
        assert max(arrivals(dump)) <= 1
    unknown = all(receipt.text.startswith("outcome unknown") for receipt in receipts)
    assert unknown is (flags == "-q .")


@pytest.mark.parametrize("flags", ["-w 1", "-W .:1"])
async def test_a_slow_upstream_is_waited_for(sink: Sink, flags: str) -> None:
    pool, dump = await sink(*flags.split())
    receipts = await asyncio.gather(*(send(pool, number) for number in range(5)))
    assert {receipt.outcome for receipt in receipts} == {DELIVERED}
    assert sum(arrivals(dump)) == 5


async def test_an_answer_before_the_content_is_an_answer(sink: Sink) -> None:
    pool, _ = await sink("-A", "0")
    receipt = await send(pool, 0)
    assert (receipt.outcome, receipt.code) == (REFUSED, 550)


async def test_eight_bit_content_for_a_seven_bit_upstream(sink: Sink) -> None:
    pool, dump = await sink("-8")
    receipt = await send(pool, 0, eight_bit=True)
    assert (receipt.outcome, receipt.enhanced) == (REFUSED, "5.6.3")
    assert sum(arrivals(dump)) == 0


async def test_content_arrives_octet_for_octet(sink: Sink) -> None:
    pool, dump = await sink()
    assert (await send(pool, 7, eight_bit=True)).outcome is DELIVERED
    kept = dump.read_bytes().replace(b"\r\n", b"\n")
    assert b"\nSubject: number-7.\n\n.dot\n\xe9\n" in kept
