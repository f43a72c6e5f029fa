"""Telling senders' software, over real HTTP: signed, again and again, in order, never too early."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from relay.consent.passing_on import LIFETIME, SCHEDULE, PassingOn, signed
from relay.egress.outbound_http import Answer, OutboundHttp
from relay.model import Basis, Tenant
from relay.ports import OneClick, StoreTrouble
from relay.store.outbox.outbox import Notice
from relay.store.outbox.webhooks import Webhook
from relay.store.store import Store
from relay.tasks import Tasks
from tests.support.clock import FakeClock
from tests.support.eventually import eventually_async
from tests.support.ports import free_port
from tests.support.receiver import Call, Receiver
from tests.unit.store.samples import copy, message, open_store, person, tenant

ANN = person("ann@ok.test")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def receiver(authority: trustme.CA) -> Iterator[Receiver]:
    with Receiver(authority) as running:
        yield running


@dataclass
class Rig:
    """A store with a tenant ``shop``, and the sender around it."""

    store: Store
    clock: FakeClock
    http: OutboundHttp
    tasks: Tasks = field(default_factory=Tasks)
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    async def build(self) -> None:
        self.shop: Tenant = await self.store.registry.add_tenant(tenant("shop"))
        self.passing = self.make(self.http.post)

    def make(
        self, post: Callable[[str, bytes, Mapping[str, str]], object], jitter: float = 0.0
    ) -> PassingOn:
        class Caller:
            async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
                answer = await post(url, content, headers)  # type: ignore[misc]
                assert isinstance(answer, Answer)
                return answer

        return PassingOn(
            store=self.store,
            http=Caller(),
            clock=self.clock,
            tasks=self.tasks,
            seen=lambda *told: self.seen.append(told),
            jitter=lambda: jitter,
        )

    async def hook(self, url: str, owner: Tenant | None = None) -> Webhook:
        return await self.store.webhooks.add((owner or self.shop).id, url, at=1.0)

    async def grant(self, address: str = "ann@ok.test") -> None:
        await self.store.consents.grant(
            self.shop.id,
            person(address),
            basis=Basis.CONFIRMED,
            at=self.clock.now(),
            own_act=True,
            address=address,
        )

    async def leave(
        self, address: str = "ann@ok.test", owner: Tenant | None = None, channel: str = "page"
    ) -> None:
        await self.store.consents.withdraw(
            (owner or self.shop).id, person(address), at=self.clock.now(), channel=channel
        )

    async def remember(self, url: str) -> None:
        await self.store.mail.accept(message("m"), b"hello", [copy("m")], [], 0, OneClick(ANN, url))

    def results(self) -> list[str]:
        return [result for _, _, result in self.seen]


@pytest.fixture
async def rig(tmp_path: Path, authority: trustme.CA) -> AsyncIterator[Rig]:
    clock = FakeClock()
    store = await open_store(tmp_path / "data", clock)
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    made = Rig(store, clock, OutboundHttp(("127.0.0.0/8",), tls=tls))
    await made.build()
    yield made
    await made.tasks.drain(0)
    await store.close()


def verified(call: Call, secret: str) -> bool:
    """The receiver's side, as the Standard Webhooks specification tells it, of nothing of ours."""
    key = base64.b64decode(secret[len("whsec_") :])
    said = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    expected = base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
    given = [one.split(",", 1) for one in call.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(mac, expected) for version, mac in given)


def test_the_signature_of_the_specification() -> None:
    """The example that the libraries of Standard Webhooks test themselves with."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    example = Call(
        "/",
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
    )
    assert verified(example, secret)
    notice = Notice(1, 1, "webhook", "webhook:1", "https://a.test/", '{"id":"evt_1"}', 0, 0.0,
                    secret, "ann@ok.test")  # fmt: skip
    body, headers = signed(notice, 1_614_265_330)
    assert verified(Call("/", headers, body), secret)
    assert not verified(Call("/", headers, body + b" "), secret)
    assert not verified(Call("/", {**headers, "webhook-timestamp": "1614265331"}, body), secret)


async def test_an_opt_out_arrives_signed_with_the_address(rig: Rig, receiver: Receiver) -> None:
    hook = await rig.hook(receiver.url + "hook")
    await rig.grant()
    await rig.passing.once()
    rig.clock.advance(5)
    await rig.leave()
    await rig.passing.once()
    granted, left = receiver.calls
    assert verified(granted, hook.secret)
    assert verified(left, hook.secret)
    assert left.headers["webhook-timestamp"] == str(int(rig.clock.now()))
    assert left.headers["content-type"] == "application/json"
    said = json.loads(left.body)
    assert said["id"] == left.headers["webhook-id"]
    assert (said["type"], said["address"], said["tenant"]) == ("optout", "ann@ok.test", "shop")
    assert (said["channel"], said["scope"]) == ("page", "tenant")
    assert await rig.store.outbox.counts() == {}
    assert rig.seen == [("shop", "webhook", "delivered")] * 2


async def test_an_erased_person_is_not_named(rig: Rig, receiver: Receiver) -> None:
    await rig.hook(receiver.url)
    await rig.grant()
    await rig.leave()
    await rig.store.writer.write(lambda tx: tx.raw.execute("DELETE FROM subjects"))
    await rig.passing.once()
    assert [json.loads(call.body)["address"] for call in receiver.calls] == [None, None]


async def test_the_senders_own_one_click_address(rig: Rig, receiver: Receiver) -> None:
    await rig.remember(receiver.url + "u?t=secret")
    await rig.leave(channel="one-click")
    await rig.passing.once()
    (call,) = receiver.calls
    assert (call.path, call.body) == ("/u?t=secret", b"List-Unsubscribe=One-Click")
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert not {"cookie", "authorization", "referer"} & call.headers.keys()
    assert rig.seen == [("shop", "one-click", "delivered")]


async def test_it_is_tried_again_with_growing_pauses_and_then_given_up(
    rig: Rig, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 500
    await rig.hook(receiver.url + "secret-path")
    await rig.leave()
    for pause in (*SCHEDULE, None):
        await rig.passing.once()
        if pause is None:
            break
        # Neither the notice nor its lane moves before its time.
        calls = len(receiver.calls)
        rig.clock.advance(pause - 1)
        if pause <= SCHEDULE[3]:
            await rig.passing.once()
            assert len(receiver.calls) == calls
        rig.clock.advance(1 if pause < 600 else 301)
    assert len(receiver.calls) == len(SCHEDULE) + 1
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    assert rig.results() == ["failed"] * len(SCHEDULE) + ["dead"]
    (letter,) = await rig.store.outbox.dead(rig.shop.id)
    assert (letter.attempts, letter.last_answer) == (len(SCHEDULE) + 1, "status 500")
    assert "secret-path" not in caplog.text
    receiver.status = 200
    assert await rig.store.outbox.retry(rig.shop.id) == 1
    rig.clock.advance(301)
    await rig.passing.once()
    assert rig.results()[-1] == "delivered"


async def test_pauses_are_stretched_by_chance(rig: Rig, receiver: Receiver) -> None:
    receiver.status = 503
    await rig.hook(receiver.url)
    await rig.leave()
    await rig.make(rig.http.post, jitter=1.0).once()
    (lane,) = await rig.store.outbox.lanes()
    assert lane.next_at == pytest.approx(rig.clock.now() + SCHEDULE[0] * 1.2)


async def test_gone_is_logged_and_tried_again(
    rig: Rig, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 410
    await rig.hook(receiver.url)
    await rig.leave()
    await rig.passing.once()
    assert "gone for good" in caplog.text
    assert await rig.store.outbox.counts() == {(rig.shop.id, "waiting"): 1}
    assert len(await rig.store.webhooks.all()) == 1


async def test_what_is_told_of_a_person_keeps_its_order(rig: Rig, receiver: Receiver) -> None:
    """Else a late "granted" would subscribe again who has left."""
    receiver.status = 500
    await rig.hook(receiver.url)
    await rig.grant()
    await rig.passing.once()
    await rig.leave()
    receiver.status = 200
    await rig.passing.once()
    rig.clock.advance(SCHEDULE[0])
    await rig.passing.once()
    assert [json.loads(call.body)["type"] for call in receiver.calls] == [
        "consent.granted",
        "consent.granted",
        "optout",
    ]


async def test_a_dead_place_delays_nobody_elses(rig: Rig, receiver: Receiver) -> None:
    await rig.hook(f"https://127.0.0.1:{free_port()}/")
    club = await rig.store.registry.add_tenant(tenant("club"))
    await rig.hook(receiver.url, club)
    held = asyncio.Event()

    async def post(url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        if url != receiver.url:
            await held.wait()
        return await rig.http.post(url, content, headers)

    passing = rig.make(post)
    for number in range(20):
        await rig.leave(f"p{number}@ok.test")
        await rig.leave(f"p{number}@ok.test", club)
    running = rig.tasks.start(passing.run(), "passing on")
    await eventually_async(lambda: len(receiver.calls) == 20, "the club to be told everything")
    held.set()
    await eventually_async(lambda: "failed" in rig.results(), "the dead place to fail")
    await eventually_async(lambda: len(rig.tasks) == 1, "its lane to be left alone")
    assert rig.results().count("failed") == 1, "one attempt, and then it is left alone"
    running.cancel()


async def test_so_many_calls_at_once_and_one_for_each_place(rig: Rig) -> None:
    under_way = most = 0
    places: set[str] = set()
    go = asyncio.Event()

    async def post(url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        nonlocal under_way, most
        assert url not in places, "two calls to one place"
        places.add(url)
        under_way += 1
        most = max(most, under_way)
        await go.wait()
        under_way -= 1
        places.remove(url)
        return Answer(True, False, "status 200")

    for number in range(10):
        await rig.hook(f"https://shop.test/{number}")
    for number in range(3):
        await rig.leave(f"p{number}@ok.test")
    passing = rig.make(post)
    work = asyncio.ensure_future(passing.once())
    await eventually_async(lambda: under_way == 4, "four calls of one tenant")
    for _ in range(20):
        await asyncio.sleep(0)
    go.set()
    await work
    assert (most, len(rig.seen)) == (4, 30)


async def test_what_was_removed_while_it_waited_for_its_turn_is_not_sent(rig: Rig) -> None:
    called: list[str] = []
    go = asyncio.Event()

    async def post(url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        called.append(url)
        await go.wait()
        return Answer(True, False, "status 200")

    urls = [f"https://shop.test/{number}" for number in range(5)]
    for url in urls:
        await rig.hook(url)
    await rig.leave()
    work = asyncio.ensure_future(rig.make(post).once())
    await eventually_async(lambda: len(called) == 4, "four calls of one tenant")
    (last,) = set(urls) - set(called)
    await rig.store.webhooks.remove(rig.shop.id, last)
    go.set()
    await work
    assert last not in called


async def test_a_retry_by_hand_waits_for_no_pause(rig: Rig, receiver: Receiver) -> None:
    receiver.status = 500
    await rig.hook(receiver.url)
    await rig.leave()
    running = rig.tasks.start(rig.passing.run(), "passing on")
    for _ in range(5):
        await eventually_async(lambda: len(rig.tasks) == 1, "the attempt to be over")
        rig.clock.advance(SCHEDULE[3])
        await rig.passing.once()
    receiver.status = 200
    await rig.leave("bob@ok.test")
    await rig.store.outbox.retry(rig.shop.id)
    await eventually_async(lambda: rig.results().count("delivered") == 2, "both notices")
    running.cancel()


async def test_a_clock_set_back_silences_no_place(rig: Rig, receiver: Receiver) -> None:
    receiver.status = 500
    await rig.hook(receiver.url)
    await rig.leave()
    await rig.passing.once()
    rig.clock.set_wall(rig.clock.now() - 86_400)
    receiver.status = 200
    rig.clock.advance(SCHEDULE[0])
    await rig.leave("bob@ok.test")
    await rig.passing.once()
    assert rig.results() == ["failed", "delivered"]


async def test_what_comes_in_is_sent_at_once(rig: Rig, receiver: Receiver) -> None:
    await rig.hook(receiver.url)
    running = rig.tasks.start(rig.passing.run(), "passing on")
    for number in range(3):
        await rig.leave(f"p{number}@ok.test")
        await eventually_async(lambda: len(receiver.calls) > number, "the notice")  # noqa: B023
    running.cancel()


async def test_trouble_with_the_store_costs_a_pause_and_a_repeat_at_worst(
    rig: Rig, receiver: Receiver
) -> None:
    await rig.hook(receiver.url)
    await rig.leave()
    sent = rig.store.outbox.sent

    async def locked(notice: Notice) -> None:
        raise StoreTrouble("locked")

    rig.store.outbox.sent = locked  # type: ignore[method-assign]
    await rig.passing.once()
    await rig.passing.once()
    assert len(receiver.calls) == 1, "not at full speed"
    rig.store.outbox.sent = sent  # type: ignore[method-assign]
    rig.clock.advance(30)
    await rig.passing.once()
    assert [call.headers["webhook-id"] for call in receiver.calls] == [
        receiver.calls[0].headers["webhook-id"]
    ] * 2


async def test_a_bug_in_one_lane_does_not_end_the_others(
    rig: Rig, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    await rig.hook("https://broken.test/")
    await rig.hook(receiver.url)

    async def post(url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        if "broken" in url:
            raise RuntimeError("a bug")
        return await rig.http.post(url, content, headers)

    await rig.leave()
    await rig.make(post).once()
    assert len(receiver.calls) == 1
    assert "a bug" in caplog.text


async def test_old_notices_behind_a_dead_place_are_given_up(rig: Rig) -> None:
    await rig.hook(f"https://127.0.0.1:{free_port()}/")
    await rig.leave()
    await rig.leave("bob@ok.test")
    rig.clock.advance(LIFETIME + 1)
    await rig.passing.tidy(dead_before=rig.clock.now() - LIFETIME - 100)
    assert await rig.store.outbox.counts() == {(rig.shop.id, "dead"): 2}
    assert rig.results() == ["dead", "dead"]
    await rig.passing.tidy(dead_before=rig.clock.now())
    assert await rig.store.outbox.counts() == {}


CRASH = """
import asyncio, sys
from pathlib import Path
from tests.support.clock import FakeClock
from tests.unit.store.samples import open_store, person

async def main():
    store = await open_store(Path(sys.argv[1]), FakeClock())
    await store.consents.withdraw(1, person("ann@ok.test"), at=1.8e9, channel="page")
    print("committed", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_kill_between_commit_and_sending_loses_no_notice(
    tmp_path: Path, rig: Rig, receiver: Receiver
) -> None:
    hook = await rig.hook(receiver.url)
    await rig.store.close()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CRASH, str(tmp_path / "data")),
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"committed\n"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    rig.store = await open_store(tmp_path / "data", rig.clock)
    await rig.make(rig.http.post).once()
    (call,) = receiver.calls
    assert verified(call, hook.secret)
    assert json.loads(call.body)["type"] == "optout"
