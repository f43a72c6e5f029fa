"""The pool: reuse, limits, the second chance, and what it says about the upstream as a whole."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from relay.egress.circuit import THRESHOLD
from relay.egress.upstream import UpstreamPool
from relay.model import Outcome
from relay.ports import Envelope, StoreTrouble
from tests.support.eventually import eventually_async
from tests.unit.egress.scripted import Bench

CONTENT = (b"Subject: hello\r\n\r\n", b"text\r\n")
TRANSACTION = ["MAIL", "RCPT", "DATA"]


def envelope(recipient: str = "yes@ok.test") -> Envelope:
    return Envelope("news@t1.test", (recipient,), False, False, 20)


async def outcome(pool: UpstreamPool) -> Outcome:
    (receipt,) = await pool.send(envelope(), CONTENT)
    return receipt.outcome


async def test_a_connection_carries_many_without_rset(bench: Bench) -> None:
    upstream = await bench.upstream()
    pool = bench.pool(upstream.address)
    for _ in range(3):
        assert await outcome(pool) is Outcome.DELIVERED
    assert upstream.commands() == ["EHLO", *TRANSACTION * 3]


@pytest.mark.parametrize("offers", [("PIPELINING",), ()])
async def test_rset_only_after_a_failure(bench: Bench, offers: tuple[str, ...]) -> None:
    upstream = await bench.upstream(
        offers=offers, replies={".": [b"554 5.7.1 spam\r\n", b"250 ok\r\n"]}
    )
    pool = bench.pool(upstream.address)
    assert [await outcome(pool) for _ in range(3)] == [
        Outcome.REFUSED,
        Outcome.DELIVERED,
        Outcome.DELIVERED,
    ]
    assert upstream.commands() == ["EHLO", *TRANSACTION, "RSET", *TRANSACTION * 2]


async def test_a_refused_rset_is_no_way_to_go_on(bench: Bench) -> None:
    upstream = await bench.upstream(
        replies={".": [b"554 5.7.1 spam\r\n", b"250 ok\r\n"], "RSET": b"500 what?\r\n"}
    )
    pool = bench.pool(upstream.address)
    assert await outcome(pool) is Outcome.REFUSED
    assert await outcome(pool) is Outcome.DELIVERED
    assert len(upstream.sessions) == 2


async def test_max_messages_per_connection(bench: Bench) -> None:
    upstream = await bench.upstream()
    pool = bench.pool(upstream.address, max_messages_per_connection=2)
    for _ in range(3):
        await outcome(pool)
    await bench.tasks.drain(5)
    assert [[line.split()[0] for line in lines] for lines in upstream.sessions] == [
        [b"EHLO", *[b"MAIL", b"RCPT", b"DATA"] * 2, b"QUIT"],
        [b"EHLO", b"MAIL", b"RCPT", b"DATA"],
    ]


async def test_max_connections(bench: Bench) -> None:
    upstream = await bench.upstream()
    pool = bench.pool(upstream.address, max_connections=2)
    assert set(await asyncio.gather(*(outcome(pool) for _ in range(20)))) == {Outcome.DELIVERED}
    assert len(upstream.sessions) == 2
    assert len(upstream.mails) == 20


async def test_mail_does_not_wait_for_a_greeting_when_another_connection_gets_free(
    bench: Bench,
) -> None:
    # As an upstream does that serves one client at a time and leaves the rest in its backlog.
    upstream = await bench.upstream(replies={"CONNECT": [b"220 scripted ESMTP\r\n", b""]})
    pool = bench.pool(upstream.address, max_connections=3, command_timeout=60.0)
    assert set(await asyncio.gather(*(outcome(pool) for _ in range(9)))) == {Outcome.DELIVERED}
    assert [len(lines) > 0 for lines in upstream.sessions] == [True, False, False]


async def test_mail_is_looked_at_once_more_with_the_connection_in_hand(bench: Bench) -> None:
    """Until one got free, whoever it is for may have left."""
    upstream = await bench.upstream()
    pool = bench.pool(upstream.address, max_connections=1)
    looks: list[list[str]] = []

    async def look(answer: bool) -> bool:
        looks.append(upstream.commands())
        return answer

    left = replace(envelope(), still_wanted=lambda: look(False))
    stays = replace(envelope(), still_wanted=lambda: look(True))
    receipts = await asyncio.gather(*(pool.send(one, CONTENT) for one in (stays, left, stays)))
    assert [len(given) for given in receipts] == [1, 0, 1]
    assert looks[1:] == [["EHLO", *TRANSACTION]] * 2
    assert upstream.commands() == ["EHLO", *TRANSACTION * 2]


async def test_a_look_that_fails_leaves_the_connection_to_others(bench: Bench) -> None:
    upstream = await bench.upstream()
    pool = bench.pool(upstream.address, max_connections=1)

    async def broken() -> bool:
        raise StoreTrouble("locked")

    with pytest.raises(StoreTrouble):
        await pool.send(replace(envelope(), still_wanted=broken), CONTENT)
    assert await outcome(pool) is Outcome.DELIVERED
    assert upstream.commands() == ["EHLO", *TRANSACTION]


async def test_a_second_chance_is_looked_at_again(bench: Bench) -> None:
    upstream = await bench.upstream(replies={"MAIL": [b"250 ok\r\n", None]})
    pool = bench.pool(upstream.address)
    assert await outcome(pool) is Outcome.DELIVERED
    answers = iter([True, False])

    async def look() -> bool:
        return next(answers)

    assert await pool.send(replace(envelope(), still_wanted=look), CONTENT) == ()
    assert len(upstream.mails) == 1


async def test_a_waiting_mail_gets_a_new_connection_when_the_last_one_is_spent(
    bench: Bench,
) -> None:
    upstream = await bench.upstream()
    pool = bench.pool(upstream.address, max_connections=1, max_messages_per_connection=1)
    assert set(await asyncio.gather(*(outcome(pool) for _ in range(5)))) == {Outcome.DELIVERED}
    assert len(upstream.sessions) == 5


async def test_rested_too_long_is_ended(bench: Bench) -> None:
    upstream = await bench.upstream()
    pool = bench.pool(upstream.address, idle_timeout=0.02)
    await asyncio.gather(outcome(pool), outcome(pool))
    await eventually_async(lambda: upstream.commands().count("QUIT") == 2, "both said QUIT")
    assert await outcome(pool) is Outcome.DELIVERED
    assert len(upstream.sessions) == 3


@pytest.mark.parametrize(
    ("reply", "sessions"), [(b"250 ok\r\n", 1), (b"421 bye\r\n", 2), (None, 2)]
)
async def test_noop_before_reuse_after_a_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, reply: bytes | None, sessions: int
) -> None:
    upstream = await bench.upstream(replies={"NOOP": reply})
    pool = bench.pool(upstream.address)
    await outcome(pool)
    monkeypatch.setattr("relay.egress.upstream.CHECK_AFTER", 0.0)
    assert await outcome(pool) is Outcome.DELIVERED
    assert upstream.commands().count("NOOP") == 1
    assert len(upstream.sessions) == sessions


@pytest.mark.parametrize("how", [None, b"421 4.4.2 timeout\r\n"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
async def test_a_dead_reused_connection_gets_a_second_chance(
    bench: Bench, verb: str, how: bytes | None
) -> None:
    ordinary = b"354 go\r\n" if verb == "DATA" else b"250 ok\r\n"
    upstream = await bench.upstream(replies={verb: [ordinary, how, ordinary]})
    pool = bench.pool(upstream.address)
    assert [await outcome(pool), await outcome(pool)] == [Outcome.DELIVERED] * 2
    assert len(upstream.sessions) == 2
    assert len(upstream.mails) == 2


async def test_the_second_chance_is_the_last(bench: Bench) -> None:
    upstream = await bench.upstream(replies={"MAIL": [b"250 ok\r\n", None]})
    pool = bench.pool(upstream.address)
    assert [await outcome(pool), await outcome(pool)] == [Outcome.DELIVERED, Outcome.DEFERRED]
    assert len(upstream.sessions) == 2


@pytest.mark.parametrize("how", [None, b"421 4.3.2 bye\r\n", b"rubbish\r\n"])
async def test_never_again_after_the_final_dot(bench: Bench, how: bytes | None) -> None:
    upstream = await bench.upstream(replies={".": [b"250 ok\r\n", how]})
    pool = bench.pool(upstream.address)
    assert [await outcome(pool), await outcome(pool)] == [Outcome.DELIVERED, Outcome.DEFERRED]
    assert len(upstream.mails) == 2


@pytest.mark.parametrize("word", [b"421 4.4.2 idle\r\n", b"", b"250 injected\r\n"])
async def test_a_connection_that_was_closed_while_resting(bench: Bench, word: bytes) -> None:
    upstream = await bench.upstream()
    pool = bench.pool(upstream.address)
    assert await outcome(pool) is Outcome.DELIVERED
    upstream.writers[0].write(word)
    upstream.writers[0].close()
    assert await outcome(pool) is Outcome.DELIVERED
    assert len(upstream.sessions) == 2
    assert len(upstream.mails) == 2


async def test_close_says_quit_and_keeps_nothing(bench: Bench) -> None:
    upstream = await bench.upstream()
    pool = bench.pool(upstream.address)
    await outcome(pool)
    await pool.close()
    assert upstream.commands()[-1] == "QUIT"


async def test_close_undoes_what_has_no_final_dot(bench: Bench) -> None:
    upstream = await bench.upstream(replies={"DATA": b""})
    pool = bench.pool(upstream.address)
    sending = asyncio.ensure_future(outcome(pool))
    await eventually_async(lambda: "DATA" in upstream.commands(), "DATA was sent")
    await pool.close()
    assert await sending is Outcome.DEFERRED
    assert upstream.mails == []


async def test_bad_settings_are_told_at_once(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        bench.pool("nowhere")
    with pytest.raises(OSError, match="No such file"):
        bench.pool("127.0.0.1:25", tls="verify", ca_file=tmp_path / "gone.pem")


# --- the circuit ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replies", "opens"),
    [
        ({"CONNECT": b"421 busy\r\n"}, True),
        ({"CONNECT": b"554 go away\r\n"}, True),
        ({"MAIL": b"530 5.7.0 log in\r\n"}, True),
        ({"RCPT": None}, True),
        ({".": None}, True),
        ({"MAIL": b"550 5.7.1 this sender not\r\n"}, False),
        ({"MAIL": b"451 later\r\n"}, False),
        ({"RCPT": b"550 who?\r\n"}, False),
        ({".": b"554 spam\r\n"}, False),
    ],
)
async def test_what_counts_as_down(
    bench: Bench, replies: dict[str, bytes | None], opens: bool
) -> None:
    upstream = await bench.upstream(replies=replies)
    pool = bench.pool(upstream.address)
    for _ in range(THRESHOLD):
        assert await outcome(pool) is not Outcome.DELIVERED
    assert pool.circuit.is_open is opens
    upstream.replies = {}
    assert await outcome(pool) is Outcome.DELIVERED
    assert not pool.circuit.is_open
