"""The DATA reader: one end mark, exact unstuffing, bounded memory."""

from __future__ import annotations

import tracemalloc

import pytest

from relay.smtp.data import DataReader

BIG = 50_000_000


def read(wire: bytes, limit: int = BIG, step: int | None = None) -> tuple[bytes, bytes]:
    reader = DataReader(limit)
    step = step or len(wire)
    for at in range(0, len(wire), step):
        rest = reader.feed(wire[at : at + step])
        if rest is not None:
            return b"".join(reader.take()), rest + wire[at + step :]
    raise AssertionError("no end")


@pytest.mark.parametrize("step", [None, 1, 2, 3, 5])
@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n..a\r\n.\r\n", b"..\r\n.a\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a.\r\n.b\r\n\r\n.\r\n", b"a.\r\nb\r\n\r\n"),
        (b"a\n.\nb\r.\rc\n.\r\nd\r\n.\ne\r\n.\r\n", b"a\n.\nb\r.\rc\n.\r\nd\r\n\ne\r\n"),
        (b"\r\n.\r.\r\n\r\r\n.\r\n", b"\r\n\r.\r\n\r\r\n"),
        (b"\r\r\n.\r\r\n.\r\n", b"\r\r\n\r\r\n"),
    ],
)
def test_end_and_stuffing(wire: bytes, content: bytes, step: int | None) -> None:
    assert read(wire, step=step) == (content, b"")


@pytest.mark.parametrize("step", [None, 1, 4])
def test_what_follows_is_handed_back(step: int | None) -> None:
    assert read(b"a\r\n.\r\nQUIT\r\n.\r\n", step=step) == (b"a\r\n", b"QUIT\r\n.\r\n")


@pytest.mark.parametrize(
    "wire", [b"", b".", b".\r", b"a\r\n", b"a\r\n.\n", b"a\n.\r\n", b"a\r\n.\r"]
)
def test_no_end(wire: bytes) -> None:
    assert DataReader(BIG).feed(wire) is None


@pytest.mark.parametrize("step", [None, 1, 7])
def test_limit_is_of_the_message_itself(step: int | None) -> None:
    exactly = b"..345678\r\n" * 10 + b".\r\n"
    assert read(exactly, limit=90, step=step)[0] == b".345678\r\n" * 10
    reader = DataReader(89)
    assert reader.feed(exactly) == b""
    assert reader.too_large
    assert reader.discarding
    assert reader.take() == (b"", b"")
    assert reader.size == 90


def test_after_the_limit_only_the_real_end_counts() -> None:
    reader = DataReader(10)
    assert reader.feed(b"0123456789\r\n\n.\n") is None
    assert reader.held == 0
    assert reader.feed(b"MAIL FROM:<a@x.test>\r\n.\r\nQUIT\r\n") == b"QUIT\r\n"


def test_discard_goes_on_to_the_end() -> None:
    reader = DataReader(BIG)
    assert reader.feed(b"abc") is None
    reader.discard()
    assert reader.feed(b"def\r\n.\r\n") == b""
    assert (reader.held, reader.take(), reader.too_large) == (0, (b"", b""), False)


def test_it_is_cut_behind_the_header():
    reader = DataReader(BIG)
    assert reader.feed(b"a: b\n..c\n\nd\r\n\r\n..e\r\n.\r\n") == b""
    assert reader.take() == (b"a: b\n..c\n\n", b"d\r\n\r\n.e\r\n")


@pytest.mark.parametrize("size", [0, 10, 5_000, 200_000])
def test_the_body_is_moved_whole(size: int) -> None:
    header, body = (
        b"a: b\r\n\r\n",
        bytes(1 + at % 251 for at in range(size)).replace(b".", b"") + b"\r\n",
    )
    reader = DataReader(BIG)
    assert reader.feed(header + body + b".\r\n") == b""
    assert reader.take() == (header, body)


def test_memory_is_the_size_of_the_message() -> None:
    """32 MB of empty lines: what cost aiosmtpd 2.75 GB."""
    chunk, size = b"\r\n" * 32_768, 32 * 1024 * 1024
    reader = DataReader(BIG)
    tracemalloc.start()
    try:
        for _ in range(size // len(chunk)):
            reader.feed(chunk)
        reader.feed(b".\r\n")
        taken = reader.take()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, taken)) == size
    assert peak < size * 1.3
