"""One transaction at a time, through a pool that has nothing to reuse yet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay.model import Outcome, Receipt
from relay.ports import Envelope
from tests.unit.egress.scripted import Bench

HEADER = b"Subject: hello\r\n\r\n"
DELIVERED, DEFERRED, REFUSED = Outcome.DELIVERED, Outcome.DEFERRED, Outcome.REFUSED
SERIAL = ("SIZE 1000000", "8BITMIME", "ENHANCEDSTATUSCODES")


def envelope(*recipients: str, **changed: Any) -> Envelope:
    given: dict[str, Any] = {
        "mail_from": "news@t1.test",
        "recipients": recipients or ("yes@ok.test",),
        "smtputf8": False,
        "eight_bit": False,
        "size": 100,
    }
    return Envelope(**{**given, **changed})


def outcomes(receipts: tuple[Receipt, ...]) -> list[Outcome]:
    return [receipt.outcome for receipt in receipts]


# --- the ordinary way ----------------------------------------------------------------------------


async def test_one_flight_and_the_content_octet_for_octet(bench: Bench) -> None:
    upstream = await bench.upstream()
    receipts = await bench.pool(upstream.address).send(
        envelope("a@ok.test", "B.c@ok.test"), (HEADER, b".dot\r\n")
    )
    assert upstream.flights == [
        b"MAIL FROM:<news@t1.test> SIZE=100\r\n"
        b"RCPT TO:<a@ok.test>\r\nRCPT TO:<B.c@ok.test>\r\nDATA\r\n"
    ]
    assert upstream.mails == [HEADER + b"..dot\r\n.\r\n"]
    port = upstream.address.rpartition(":")[2]
    assert (
        receipts
        == (
            Receipt(
                DELIVERED,
                250,
                "2.0.0",
                "250 2.0.0 Ok: queued as ABC",
                f"127.0.0.1[127.0.0.1]:{port}",
            ),
        )
        * 2
    )


async def test_without_pipelining_one_command_at_a_time(bench: Bench) -> None:
    upstream = await bench.upstream(offers=SERIAL, replies={"RCPT": [b"550 5.1.1 who?\r\n"]})
    receipts = await bench.pool(upstream.address).send(envelope(), (HEADER,))
    assert outcomes(receipts) == [REFUSED]
    assert upstream.commands() == ["EHLO", "MAIL", "RCPT"]
    assert upstream.flights == [b"MAIL FROM:<news@t1.test> SIZE=100\r\n"]


async def test_null_sender_and_odd_local_parts_go_out_as_they_are(bench: Bench) -> None:
    upstream = await bench.upstream()
    strange = '"a b>"@ok.test'
    await bench.pool(upstream.address).send(envelope(strange, mail_from=""), (HEADER,))
    assert upstream.sessions[0][1:3] == [
        b"MAIL FROM:<> SIZE=100\r\n",
        b'RCPT TO:<"a b>"@ok.test>\r\n',
    ]


async def test_replies_that_dribble_in_are_read_whole(bench: Bench) -> None:
    upstream = await bench.upstream(
        dribble=True, replies={".": b"250-2.0.0 Ok\r\n250 2.0.0 queued\r\n"}
    )
    (receipt,) = await bench.pool(upstream.address).send(envelope(), (HEADER,))
    assert receipt.text == "250 2.0.0 Ok 2.0.0 queued"


async def test_large_content_arrives_whole(bench: Bench) -> None:
    upstream = await bench.upstream()
    body = b".line of text\r\n" * 100_000
    receipts = await bench.pool(upstream.address).send(envelope(), (HEADER, body))
    assert outcomes(receipts) == [DELIVERED]
    assert upstream.mails == [HEADER + body.replace(b".l", b"..l") + b".\r\n"]


async def test_a_thousand_recipients_in_one_flight(bench: Bench) -> None:
    upstream = await bench.upstream(dribble=False)
    receipts = await bench.pool(upstream.address).send(
        envelope(*(f"r{n}@ok.test" for n in range(1_000))), (HEADER,)
    )
    assert outcomes(receipts) == [DELIVERED] * 1_000


# --- some or all recipients refused --------------------------------------------------------------


@pytest.mark.parametrize("offers", [("PIPELINING",), ()])
async def test_some_refused_the_others_go(bench: Bench, offers: tuple[str, ...]) -> None:
    upstream = await bench.upstream(
        offers=offers,
        replies={
            "RCPT": [b"250 ok\r\n", b"550 5.1.1 who?\r\n", b"451 4.7.1 grey\r\n", b"250 ok\r\n"]
        },
    )
    receipts = await bench.pool(upstream.address).send(
        envelope("a@x.test", "b@x.test", "c@x.test", "d@x.test"), (HEADER,)
    )
    assert outcomes(receipts) == [DELIVERED, REFUSED, DEFERRED, DELIVERED]
    assert [receipt.enhanced for receipt in receipts] == ["2.0.0", "5.1.1", "4.7.1", "2.0.0"]
    assert not any(receipt.our_trouble for receipt in receipts)
    assert len(upstream.mails) == 1


async def test_all_refused_but_354_gets_a_lone_dot(bench: Bench) -> None:
    upstream = await bench.upstream(
        replies={
            "RCPT": b"550 5.1.1 who?\r\n",
            ".": [b"554 5.5.1 no recipients\r\n", b"250 ok\r\n"],
        }
    )
    pool = bench.pool(upstream.address)
    assert outcomes(await pool.send(envelope(), (HEADER,))) == [REFUSED]
    assert upstream.mails == [b".\r\n"]
    # The connection goes on, after a RSET.
    upstream.replies = {}
    assert outcomes(await pool.send(envelope(), (HEADER,))) == [DELIVERED]
    assert upstream.commands() == ["EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA"]


async def test_354_although_mail_was_refused_delivers_nothing(bench: Bench) -> None:
    upstream = await bench.upstream(replies={"MAIL": b"550 5.7.1 not you\r\n"})
    (receipt,) = await bench.pool(upstream.address).send(envelope(), (HEADER,))
    assert (receipt.outcome, receipt.our_trouble, receipt.code) == (DEFERRED, True, 550)
    assert receipt.enhanced == "4.7.1"
    assert upstream.mails == []


async def test_too_many_recipients_said_with_552_is_temporary(bench: Bench) -> None:
    upstream = await bench.upstream(
        replies={"RCPT": [b"250 ok\r\n", b"552 too many\r\n", b"552 5.2.2 mailbox full\r\n"]}
    )
    receipts = await bench.pool(upstream.address).send(
        envelope("a@x.test", "b@x.test", "c@x.test"), (HEADER,)
    )
    assert outcomes(receipts) == [DELIVERED, DEFERRED, REFUSED]
    assert receipts[1].enhanced == "4.0.0"
    assert not receipts[1].our_trouble


# --- what answers at each step mean --------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "reply", "outcome", "trouble"),
    [
        ("CONNECT", b"554 5.7.1 go away\r\n", DEFERRED, True),
        ("CONNECT", b"450 4.3.2 busy\r\n", DEFERRED, False),
        ("CONNECT", b"421 4.3.2 busy\r\n", DEFERRED, False),
        ("CONNECT", None, DEFERRED, False),
        ("CONNECT", b"HTTP/1.1 200 OK\r\n\r\n", DEFERRED, False),
        ("EHLO", b"421 4.3.2 busy\r\n", DEFERRED, False),
        ("EHLO", None, DEFERRED, False),
        ("MAIL", b"530 5.7.0 log in\r\n", DEFERRED, True),
        ("MAIL", b"452 4.3.1 full\r\n", DEFERRED, False),
        ("MAIL", b"421 4.3.2 bye\r\n", DEFERRED, False),
        ("MAIL", b"354 what?\r\n", DEFERRED, False),
        ("MAIL", None, DEFERRED, False),
        ("RCPT", b"550 5.1.1 who?\r\n", REFUSED, False),
        ("RCPT", b"450 4.2.0 grey\r\n", DEFERRED, False),
        ("RCPT", b"530 5.7.0 log in\r\n", DEFERRED, True),
        ("RCPT", b"421 4.3.2 bye\r\n", DEFERRED, False),
        ("RCPT", None, DEFERRED, False),
        ("DATA", b"554 5.7.1 no\r\n", REFUSED, False),
        ("DATA", b"451 4.3.0 later\r\n", DEFERRED, False),
        ("DATA", b"250 what?\r\n", DEFERRED, False),
        ("DATA", b"354 go\r\n550 5.7.1 no\r\n", REFUSED, False),
        ("DATA", b"354 go\r\n250 taken\r\n", DEFERRED, False),
        ("DATA", b"354 go\r\n550 5.7.1 no\r\n250 yes\r\n", REFUSED, False),
        ("DATA", None, DEFERRED, False),
        (".", b"554 5.7.1 spam\r\n", REFUSED, False),
        (".", b"451 4.3.0 later\r\n", DEFERRED, False),
        (".", b"421 4.3.2 bye\r\n", DEFERRED, False),
        (".", b"354 again?\r\n", DEFERRED, False),
        (".", None, DEFERRED, False),
    ],
)
@pytest.mark.parametrize("offers", [("PIPELINING",), ()])
async def test_answers(
    bench: Bench,
    verb: str,
    reply: bytes | None,
    outcome: Outcome,
    trouble: bool,
    offers: tuple[str, ...],
) -> None:
    upstream = await bench.upstream(offers=offers, replies={verb: reply})
    receipts = await bench.pool(upstream.address).send(envelope("a@x.test", "b@x.test"), (HEADER,))
    assert outcomes(receipts) == [outcome] * 2
    assert [receipt.our_trouble for receipt in receipts] == [trouble] * 2
    assert {receipt.enhanced[0] for receipt in receipts} == {"5" if outcome is REFUSED else "4"}
    unknown = verb == "." and reply in (None, b"354 again?\r\n")
    assert receipts[0].text.startswith("outcome unknown") is unknown
    # One attempt, whatever happened: send never repeats on a new connection.
    assert len(upstream.sessions) == 1


async def test_helo_where_ehlo_is_unknown(bench: Bench) -> None:
    upstream = await bench.upstream(replies={"EHLO": b"502 what?\r\n"})
    assert outcomes(await bench.pool(upstream.address).send(envelope(), (HEADER,))) == [DELIVERED]
    assert upstream.sessions[0][1] == b"HELO relay.example\r\n"
    assert upstream.sessions[0][2] == b"MAIL FROM:<news@t1.test>\r\n"


async def test_helo_refused_too_is_our_trouble(bench: Bench) -> None:
    upstream = await bench.upstream(replies={"EHLO": b"550 no\r\n", "HELO": b"550 no\r\n"})
    (receipt,) = await bench.pool(upstream.address).send(envelope(), (HEADER,))
    assert (receipt.outcome, receipt.our_trouble) == (DEFERRED, True)


async def test_refusals_known_before_a_loss_stay(bench: Bench) -> None:
    upstream = await bench.upstream(
        replies={"RCPT": [b"550 5.1.1 who?\r\n", b"250 ok\r\n"], "DATA": None}
    )
    receipts = await bench.pool(upstream.address).send(envelope("a@x.test", "b@x.test"), (HEADER,))
    assert outcomes(receipts) == [REFUSED, DEFERRED]


async def test_nothing_listens(bench: Bench) -> None:
    (receipt,) = await bench.pool("127.0.0.1:1").send(envelope(), (HEADER,))
    assert (receipt.outcome, receipt.code, receipt.relay) == (DEFERRED, 0, "none")
    assert receipt.enhanced == "4.4.1"
    assert "127.0.0.1:1" in receipt.text
    assert not receipt.our_trouble


# --- what an upstream cannot be asked for --------------------------------------------------------


@pytest.mark.parametrize("octet", ["\r", "\n", "\x00", "\x7f", "\x85", "\t"])
async def test_control_octets_never_reach_a_command(bench: Bench, octet: str) -> None:
    upstream = await bench.upstream()
    pool = bench.pool(upstream.address)
    bad = f'"x{octet}RCPT TO:<evil@x.test>"@ok.test'
    receipts = await pool.send(envelope(bad, "yes@ok.test"), (HEADER,))
    assert outcomes(receipts) == [REFUSED, DELIVERED]
    assert (receipts[0].enhanced, receipts[0].code) == ("5.1.3", 0)
    assert outcomes(await pool.send(envelope(mail_from=bad), (HEADER,))) == [REFUSED]
    assert b"evil" not in b"".join(upstream.sessions[0])


async def test_eight_bit_needs_8bitmime(bench: Bench) -> None:
    with_it, without = await bench.upstream(), await bench.upstream(offers=("PIPELINING",))
    eight = envelope(eight_bit=True)
    assert outcomes(await bench.pool(with_it.address).send(eight, (HEADER, b"\xe9"))) == [DELIVERED]
    assert with_it.sessions[0][1] == b"MAIL FROM:<news@t1.test> SIZE=100 BODY=8BITMIME\r\n"
    (receipt,) = await bench.pool(without.address).send(eight, (HEADER, b"\xe9"))
    assert (receipt.outcome, receipt.enhanced) == (REFUSED, "5.6.3")
    assert without.commands() == ["EHLO"]


async def test_international_addresses_need_smtputf8(bench: Bench) -> None:
    with_it, without = await bench.upstream(), await bench.upstream(offers=("8BITMIME",))
    mixed = envelope("jürgen@ok.test", "yes@ok.test", smtputf8=True)
    assert outcomes(await bench.pool(with_it.address).send(mixed, (HEADER,))) == [DELIVERED] * 2
    assert with_it.sessions[0][1] == b"MAIL FROM:<news@t1.test> SIZE=100 SMTPUTF8\r\n"
    assert with_it.sessions[0][2] == "RCPT TO:<jürgen@ok.test>\r\n".encode()
    receipts = await bench.pool(without.address).send(mixed, (HEADER,))
    assert outcomes(receipts) == [REFUSED, DELIVERED]
    assert receipts[0].enhanced == "5.6.7"


@pytest.mark.parametrize(
    ("header", "outcome"),
    [("Subject: hé\r\n\r\n".encode(), REFUSED), (HEADER, DELIVERED)],
)
async def test_smtputf8_is_needed_only_when_something_is_not_ascii(
    bench: Bench, header: bytes, outcome: Outcome
) -> None:
    upstream = await bench.upstream(offers=("8BITMIME",))
    flagged = envelope(smtputf8=True, eight_bit=True)
    receipts = await bench.pool(upstream.address).send(flagged, (header, "bödy".encode()))
    assert outcomes(receipts) == [outcome]


async def test_larger_than_the_upstream_says_it_takes(bench: Bench) -> None:
    upstream = await bench.upstream(offers=("SIZE 99",))
    (receipt,) = await bench.pool(upstream.address).send(envelope(size=100), (HEADER,))
    assert (receipt.outcome, receipt.enhanced) == (REFUSED, "5.3.4")


# --- hostile or broken upstreams -----------------------------------------------------------------


async def test_a_banner_without_end_is_cut_off(bench: Bench) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"220-" + b"x" * 508 + b"\r\n")
                await writer.drain()
        except OSError:
            writer.close()

    (receipt,) = await bench.pool(await bench.serve(flood)).send(envelope(), (HEADER,))
    assert (receipt.outcome, receipt.text) == (DEFERRED, "reply too long")


@pytest.mark.parametrize("said", [b"", b"220-slow\r\n", b"2"])
async def test_a_banner_that_never_comes_is_given_up(bench: Bench, said: bytes) -> None:
    async def dawdle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()
        writer.close()

    pool = bench.pool(await bench.serve(dawdle), command_timeout=0.05)
    (receipt,) = await pool.send(envelope(), (HEADER,))
    assert (receipt.outcome, receipt.text) == (DEFERRED, "no reply within 0.05 s")


async def test_no_answer_to_the_final_dot_is_an_unknown_outcome(bench: Bench) -> None:
    upstream = await bench.upstream(replies={".": b""})
    pool = bench.pool(upstream.address, final_timeout=0.05)
    (receipt,) = await pool.send(envelope(), (HEADER,))
    assert receipt.outcome is DEFERRED
    assert receipt.text.startswith("outcome unknown, no reply within 0.05 s after the final dot")


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("CONNECT", b"220 a\r\n250 b\r\n"),
        ("EHLO", b"250 a\r\n250 b\r\n"),
        ("MAIL", b"250 a\r\n250 b\r\n250 c\r\n250 d\r\n250 e\r\n"),
        ("CONNECT", b"220 a\r\n25"),
    ],
)
async def test_replies_that_nobody_asked_for_end_the_connection(
    bench: Bench, verb: str, reply: bytes
) -> None:
    upstream = await bench.upstream(offers=(), replies={verb: reply})
    (receipt,) = await bench.pool(upstream.address).send(envelope(), (HEADER,))
    assert receipt.outcome is DEFERRED
    assert upstream.mails == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"552 5.3.4 too large\r\n", REFUSED),
        (b"451 4.3.0 later\r\n", DEFERRED),
        (b"250 2.0.0 thanks\r\n", DEFERRED),
    ],
)
async def test_an_answer_in_the_middle_of_the_content(
    bench: Bench, answer: bytes, outcome: Outcome
) -> None:
    # The upstream reads nothing after its answer, so that the client can never finish.
    stop = asyncio.Event()

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        for said in (b"250 x\r\n", b"250 x\r\n", b"250 x\r\n"):
            await reader.readuntil(b"\r\n")
            writer.write(said)
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"354 go\r\n" + b"")
        await reader.read(1)
        writer.transport.pause_reading()
        writer.write(answer)
        await stop.wait()
        writer.transport.abort()

    pool = bench.pool(await bench.serve(rude))
    (receipt,) = await pool.send(envelope(), (HEADER, b"text\r\n" * 4_000_000))
    stop.set()
    assert receipt.outcome is outcome
    assert "outcome unknown" not in receipt.text


async def test_hostile_text_is_made_harmless(bench: Bench) -> None:
    upstream = await bench.upstream(
        replies={".": b"550-5.7.1 a\x1b[2J\x00\r\n550 5.7.1 b\xe2\x80\xa8c\r\n"}
    )
    (receipt,) = await bench.pool(upstream.address).send(envelope(), (HEADER,))
    assert receipt.text == "550 5.7.1 a?[2J? 5.7.1 b?c"
