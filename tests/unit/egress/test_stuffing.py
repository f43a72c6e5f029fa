from __future__ import annotations

import pytest

from relay.egress.stuffing import WINDOW, stuffed


def on_wire(*chunks: bytes) -> bytes:
    return b"".join(stuffed(chunks))


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"", b".\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"..\r\n", b"...\r\n.\r\n"),
        (b"a\r\n.b\r\n", b"a\r\n..b\r\n.\r\n"),
        (b"a\r\n.\r\n.\r\nb\r\n", b"a\r\n..\r\n..\r\nb\r\n.\r\n"),
        (b"a.\r\nb\r\n", b"a.\r\nb\r\n.\r\n"),
    ],
)
def test_lines_that_begin_with_a_dot_get_another(content: bytes, wire: bytes) -> None:
    assert on_wire(content) == wire
    # However the content is cut.
    assert on_wire(*(bytes([octet]) for octet in content)) == wire


def test_a_dot_at_the_border_of_header_and_body_is_seen() -> None:
    assert on_wire(b"Subject: x\r\n\r\n", b".secret\r\n") == (
        b"Subject: x\r\n\r\n..secret\r\n.\r\n"
    )


def test_large_content_comes_in_pieces_and_ends_in_the_last() -> None:
    body = b"0123456\r\n" * (WINDOW // 2)
    pieces = list(stuffed([b"Subject: x\r\n\r\n", body]))
    assert len(pieces) > 3
    assert max(map(len, pieces)) <= 2 * WINDOW
    assert b"".join(pieces) == b"Subject: x\r\n\r\n" + body + b".\r\n"
    assert pieces[-1].endswith(b"\r\n.\r\n")
