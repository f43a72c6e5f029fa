"""Octets to and from the upstream: framing holds for every content, parsing for every reply."""

from __future__ import annotations

import contextlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from relay.egress.replies import BadReply, ReplyParser
from relay.egress.stuffing import stuffed

lines = st.lists(
    st.one_of(st.sampled_from([b"", b".", b"..", b".a", b"a."]), st.binary(max_size=9)).map(
        lambda line: line.replace(b"\r", b"").replace(b"\n", b"")
    ),
    max_size=9,
)


@given(lines, st.lists(st.integers(0, 60), max_size=6))
def test_stuffing_is_undone_by_a_receiver(content: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(line + b"\r\n" for line in content)
    borders = [0, *sorted(cuts), len(octets)]
    wire = b"".join(stuffed([octets[a:b] for a, b in pairwise(borders)]))
    assert wire.endswith(b"\r\n.\r\n") or wire == b".\r\n"
    received = wire.split(b"\r\n")[:-1]
    # Exactly one end, at the end.
    assert received.index(b".") == len(received) - 1
    assert [line.removeprefix(b".") for line in received[:-1]] == content


pieces = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"250", b"-", b" ", b"\r\n", b"\n", b"550 5.1.1 x\r\n", b"250-a\r\n"]),
    ),
    max_size=20,
)


@given(pieces)
def test_no_octets_break_the_reply_parser(wire: list[bytes]) -> None:
    parser = ReplyParser()
    with contextlib.suppress(BadReply):
        for piece in wire:
            for reply in parser.feed(piece):
                assert 200 <= reply.code <= 599
                assert reply.text.isprintable()
                assert len(reply.text) <= 512
                assert reply.enhanced[0] == str(reply.code)[0] or reply.code // 100 == 3
