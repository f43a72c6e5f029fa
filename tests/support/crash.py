"""The rig that kills the relay under load and then asks where every acknowledged mail is.

The clients keep a ledger of what they were told, the upstream one of what it took (synced before
its 250); both outlive the relay. What the relay acknowledged must afterwards be upstream, held,
waiting, or in a drop record; who was told that an opt-out is done must not be written to again.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.house import CONSENTED, LEAVING, LEFT, mail
from tests.support.relay_process import Relay
from tests.support.smtp_client import SmtpClient

CLIENTS = 6
OPT_OUT_EVERY = 0.05
"""Seconds between two opt-outs."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One mail that the relay said 250 to."""

    test_id: str
    queue_id: str
    recipients: tuple[str, ...]
    at: float


@dataclass(slots=True)
class Findings:
    """What the rig found; everything but the counts should be empty."""

    acknowledged: int = 0
    opted_out: int = 0
    kills: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)
    """``(queue id, recipient)`` acknowledged and nowhere."""
    forgotten: list[str] = field(default_factory=list)
    """Who was told of an opt-out that is not in force."""
    written_to: list[str] = field(default_factory=list)
    """Who got mail more than a second after being told of the opt-out."""
    without_consent: list[str] = field(default_factory=list)
    """Who got mail without ever having said yes."""
    damaged: list[str] = field(default_factory=list)
    """Test ids of mails that arrived other than they were sent."""
    doubled: int = 0
    """Deliveries beyond the first of a mail to a recipient."""

    @property
    def red(self) -> bool:
        """Whether a promise was broken."""
        broken = (self.lost, self.forgotten, self.written_to, self.without_consent, self.damaged)
        return any(broken)


@contextmanager
def ledger_sink(ledger: Path) -> Iterator[int]:
    """The upstream as a process of its own; its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.smtp_sink", "--ledger", str(ledger)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline().split()[1])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class CrashRig:
    """One run: ``await CrashRig(relay, ledger, seed).run(kills)``; ``relay`` is stopped."""

    def __init__(self, relay: Relay, ledger: Path, seed: int) -> None:
        self.relay = relay
        self.ledger = ledger
        self.random = random.Random(seed)
        self.acknowledged: list[Acknowledged] = []
        self.opted_out: dict[str, float] = {}
        self.links: dict[str, str] = {}
        self.stopping = False

    async def run(self, kills: int, before_load: Callable[[], None] = lambda: None) -> Findings:
        """Load, kill ``kills`` times at random moments, let it settle, and look."""
        self.relay.start()
        await self.collect_links()
        before_load()
        load = [asyncio.create_task(self.client(random.Random(f"{n}"))) for n in range(CLIENTS)]
        load.append(asyncio.create_task(self.leavers()))
        for _ in range(kills):
            await asyncio.sleep(self.random.uniform(0.05, 0.8))
            await asyncio.to_thread(self.relay.kill)
            await asyncio.to_thread(self.relay.start)
        await asyncio.sleep(0.3)
        self.stopping = True
        await asyncio.gather(*load)
        return await self.look(kills)

    # --- load ---------------------------------------------------------------------------------

    async def collect_links(self) -> None:
        """Have a newsletter delivered to everybody who is going to leave; keep the links."""
        content = mail("links", sender="news@shop.test", headers=["X-Test-Id: links"])
        async with SmtpClient(self.relay.smtp_port) as client:
            await client.hello()
            await client.login(*self.relay.secrets["shop-news"])
            reply = await client.deliver("news@shop.test", LEAVING, content)
        assert reply.counts == {"sent": len(LEAVING)}, str(reply)
        eventually(lambda: len(self.delivered()) >= len(LEAVING), "every link to arrive")
        for one in self.delivered():
            found = re.search(r"^List-Unsubscribe: <https?://[^/]+(/u/[^>]+)>", one.header, re.M)
            assert found is not None, one.header
            self.links[one.recipients[0]] = found[1]

    async def client(self, choice: random.Random) -> None:
        """One sender: a connection for each mail, whatever happens to the relay."""
        while not self.stopping:
            try:
                await self.one_mail(choice)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.02)

    async def one_mail(self, choice: random.Random) -> None:
        test_id = uuid.UUID(int=choice.getrandbits(128)).hex
        fate = choice.random()
        stranger = f"no{choice.randrange(1000)}@ok.test"
        recipients = (
            [choice.choice(CONSENTED)]
            if fate < 0.6
            else choice.sample(CONSENTED, 3)
            if fate < 0.8
            else [stranger]
            if fate < 0.9
            else [choice.choice(LEFT), choice.choice(CONSENTED)]
        )
        if choice.random() < 0.3:
            recipients = [*recipients, choice.choice(LEAVING)]
        content = mail(
            test_id,
            sender="news@shop.test",
            headers=[f"X-Test-Id: {test_id}"],
            body=f"{test_id}\r\n" * choice.choice((1, 100, 1000)),
        )
        async with SmtpClient(self.relay.smtp_port) as client:
            if (await client.hello()).code != 250:
                return
            if (await client.login(*self.relay.secrets["shop-news"])).code != 235:
                return
            reply = await client.deliver("news@shop.test", recipients, content)
            if reply.code == 250:
                assert reply.queue_id is not None
                self.acknowledged.append(
                    Acknowledged(test_id, reply.queue_id, tuple(recipients), time.time())
                )

    async def leavers(self) -> None:
        """One-click opt-outs, one after the other; only a 200 counts as told."""
        for person, link in self.links.items():
            if self.stopping:
                return
            for _ in range(3):
                try:
                    status = await self.one_click(link)
                except OSError:
                    status = 0
                if status == 200:
                    self.opted_out[person] = time.time()
                    break
                await asyncio.sleep(OPT_OUT_EVERY)
            await asyncio.sleep(OPT_OUT_EVERY)

    async def one_click(self, path: str) -> int:
        body = urllib.parse.urlencode({"List-Unsubscribe": "One-Click"})
        request = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self.relay.http_port)
        try:
            writer.write(request.encode())
            line = await asyncio.wait_for(reader.readline(), 10)
        finally:
            writer.transport.abort()
        found = re.match(rb"HTTP/1\.1 (\d+)", line)
        return int(found[1]) if found else 0

    # --- afterwards -----------------------------------------------------------------------------

    async def look(self, kills: int) -> Findings:
        """Settle, then compare what was acknowledged with what is where."""
        eventually(lambda: self.relay.json("spool", "list") == [], "the spool to empty", 60)
        delivered = self.delivered()
        findings = Findings(len(self.acknowledged), len(self.opted_out), kills)
        arrived = Counter((one.test_id, to) for one in delivered for to in one.recipients)
        recorded = self.recorded()
        for one in self.acknowledged:
            for seq, recipient in enumerate(one.recipients, start=1):
                if (one.test_id, recipient) not in arrived and (
                    f"{one.queue_id}.{seq}" not in recorded
                ):
                    findings.lost.append((one.queue_id, recipient))
        findings.doubled = sum(count - 1 for count in arrived.values())
        known = {*CONSENTED, *LEAVING}
        notices = {"owner@shop.test", "news@shop.test"}
        for arrival in delivered:
            for to in arrival.recipients:
                if to not in known | notices:
                    findings.without_consent.append(to)
                if arrival.test_id != "links" and arrival.at > self.opted_out.get(to, 2e10) + 1:
                    findings.written_to.append(to)
        findings.damaged = [one.test_id for one in delivered if one.bare or one.ends]
        findings.forgotten = await self.forgotten()
        return findings

    def recorded(self) -> set[str]:
        """Ids of the copies that are held, or dropped with a record in the ledger."""
        held = {row["id"] for row in self.relay.json("quarantine", "list")}
        events = self.relay.run("ledger", "export", "shop").stdout
        return held | {event["data"]["copy"] for event in dropped_events(events)}

    async def forgotten(self) -> list[str]:
        """Who opted out and would still be written to."""
        async with SmtpClient(self.relay.smtp_port) as client:
            await client.hello()
            await client.login(*self.relay.secrets["shop-news"])
            people = list(self.opted_out)
            if not people:
                return []
            content = mail("again", sender="news@shop.test", headers=["X-Test-Id: again"])
            reply = await client.deliver("news@shop.test", people, content)
        assert reply.code == 250, str(reply)
        if reply.counts == {"dropped": len(people)}:
            return []
        dropped = self.recorded()
        return [
            person
            for seq, person in enumerate(people, start=1)
            if f"{reply.queue_id}.{seq}" not in dropped
        ]

    def delivered(self) -> list[Entry]:
        """The upstream's ledger so far; a line that is still being written is not there yet."""
        whole = self.ledger.read_bytes().rpartition(b"\n")[0]
        return [entry(line) for line in whole.splitlines()]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the upstream's ledger."""

    at: float
    recipients: Sequence[str]
    test_id: str
    header: str
    bare: int
    ends: Sequence[str]


def entry(line: bytes) -> Entry:
    """A line of the upstream's ledger."""
    read = json.loads(line)
    return Entry(
        at=read["at"],
        recipients=read["to"],
        test_id=read["id"],
        header=read["header"],
        bare=read["bare"],
        ends=read["ends"],
    )


def dropped_events(export: str) -> list[dict[str, dict[str, str]]]:
    """The ``copy.dropped`` events in what ``ledger export`` printed, with their data."""
    runs = json.loads(export)["tenants"][0]["runs"]
    return [
        json.loads(link["content"])
        for run in runs
        for link in run
        if link["type"] == "copy.dropped" and link["content"] is not None
    ]
