"""What the relay takes: memory after many mails and under a bomb, disk for a large mailing."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import RECIPIENT, SENDER, CountingSink, Load, measure
from tests.bench.systems import new_relay
from tests.support.ports import free_port
from tests.support.smtp_client import Reply, SmtpClient

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """One line of the table."""

    what: str
    octets: int
    limit: int
    """What we allow ourselves, in octets."""


def sizes(messages: int) -> Iterator[Size]:
    """Measure each in turn; ``messages`` is the length of the long run."""
    with tempfile.TemporaryDirectory(prefix="bench-relay-") as directory:
        with CountingSink() as sink, new_relay(Path(directory) / "relay", sink.port) as relay:
            half = Load(messages=messages // 2)
            measure(half, relay.smtp_port, sink)
            before = relay.rss
            measure(half, relay.smtp_port, sink)
            after = relay.rss
            yield Size(f"resident memory after {messages // 2:,} mails", before, 150 * MEGABYTE)
            yield Size(f"resident memory after {messages:,} mails", after, 150 * MEGABYTE)
            growth = asyncio.run(empty_lines(relay.smtp_port, relay.reset_peak))
            yield Size(
                f"most added by 32 MB of empty lines (reply: {growth.code} {growth.enhanced})",
                max(0, relay.peak_rss - after),
                64 * MEGABYTE,
            )
            relay.stop()
        yield Size(
            "disk for one mail of 10 MB to 1,000 recipients, all waiting",
            asyncio.run(large_mailing(Path(directory) / "mailing")),
            20 * MEGABYTE,
        )


async def empty_lines(port: int, begin: Callable[[], None]) -> Reply:
    """Send a mail of 32 MB of empty lines; the last reply."""
    async with SmtpClient(port) as client:
        await client.hello()
        await client.envelope(SENDER, RECIPIENT)
        await client.command("DATA")
        begin()
        await client.send(f"From: {SENDER}\r\nTo: {RECIPIENT}\r\n\r\n".encode())
        for _ in range(32):
            await client.send(b"\r\n" * (MEGABYTE // 2))
        await client.send(b".\r\n")
        return await client.reply(within=300)


async def large_mailing(directory: Path) -> int:
    """Octets by which the data folder grows; nothing listens upstream, so that all copies wait."""
    recipients = [f"reader{number}@example.test" for number in range(1000)]
    relay = new_relay(directory, free_port(), recipients)
    line = b"x" * 76 + b"\r\n"
    content = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\n\r\n".encode()
    content += line * (10 * MEGABYTE // len(line))
    with relay:
        before = disk(directory / "data")
        async with SmtpClient(relay.smtp_port) as client:
            await client.hello()
            reply = await client.deliver(SENDER, recipients, content)
        if reply.code != 250:
            raise RuntimeError(f"the mailing was not taken: {reply}")
        grown = disk(directory / "data") - before
        relay.kill()
    return grown


def disk(directory: Path) -> int:
    """Octets on disk below a folder."""
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
