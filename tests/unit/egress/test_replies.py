from __future__ import annotations

import pytest

from relay.egress.replies import MAX_LINES, MAX_REPLY, BadReply, Reply, ReplyParser, sanitise


def read(wire: bytes) -> list[Reply]:
    return ReplyParser().feed(wire)


def test_one_line() -> None:
    (reply,) = read(b"250 2.1.5 Ok\r\n")
    assert (reply.code, reply.enhanced, reply.text) == (250, "2.1.5", "250 2.1.5 Ok")
    assert reply.positive


def test_many_lines_become_one_text() -> None:
    (reply,) = read(b"550-5.1.1 No such user\r\n550-5.1.1 here,\r\n550 5.1.1 sorry\r\n")
    assert reply.text == "550 5.1.1 No such user 5.1.1 here, 5.1.1 sorry"
    assert reply.enhanced == "5.1.1"
    assert reply.permanent


def test_pieces_of_any_size_and_several_replies() -> None:
    parser = ReplyParser()
    wire = b"250-a\r\n250 b\r\n354 go\r\n"
    replies = [reply for octet in wire for reply in parser.feed(bytes([octet]))]
    assert [reply.code for reply in replies] == [250, 354]
    assert parser.empty


def test_half_a_reply_is_no_reply() -> None:
    parser = ReplyParser()
    assert parser.feed(b"250-a\r\n") == []
    assert not parser.empty


@pytest.mark.parametrize(
    ("line", "enhanced"),
    [
        (b"250\r\n", "2.0.0"),
        (b"450 later\r\n", "4.0.0"),
        (b"550 5.7.1\r\n", "5.7.1"),
        (b"550 4.7.1 class that does not fit the code\r\n", "5.0.0"),
        (b"550 5.7.1.2 address\r\n", "5.0.0"),
        (b"451 4.7.500 Server busy\r\n", "4.7.500"),
    ],
)
def test_enhanced_code_is_taken_or_made(line: bytes, enhanced: str) -> None:
    assert read(line)[0].enhanced == enhanced


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\r\n",
        b"25 Ok\r\n",
        b"150 no such class\r\n",
        b"250_Ok\r\n",
        b"250-a\r\n550 b\r\n",
        b"250-a\r\nb\r\n",
    ],
)
def test_what_is_no_reply(wire: bytes) -> None:
    with pytest.raises(BadReply):
        read(wire)


@pytest.mark.parametrize("wire", [b"2" * (MAX_REPLY + 1), b"220-x\r\n" * MAX_REPLY])
def test_a_reply_without_end_is_given_up(wire: bytes) -> None:
    parser = ReplyParser()

    def feed_all() -> None:
        for start in range(0, len(wire), 1_000):
            parser.feed(wire[start : start + 1_000])

    with pytest.raises(BadReply, match="too long"):
        feed_all()


def test_long_lines_and_many_lines_are_cut() -> None:
    (reply,) = read(b"550-" + b"x" * 2_000 + b"\r\n" + b"550-y\r\n" * 100 + b"550 z\r\n")
    assert len(reply.lines) == MAX_LINES
    assert max(map(len, reply.lines)) <= 512
    assert len(reply.text) == 512


def test_nothing_in_a_text_can_act() -> None:
    (reply,) = read(b"550 a\x1b[31mb\x00c\x07\rd\te\xff \xe2\x80\xa8\xe2\x80\xaef\xc2\x85g\r\n")
    assert reply.text == "550 a?[31mb?c??d e\ufffd ??f?g"
    assert sanitise("a\r\nb") == "a??b"
    assert sanitise("é ü") == "é ü"
