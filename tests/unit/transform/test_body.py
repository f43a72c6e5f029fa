import hashlib

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from relay.transform import body as subject
from relay.transform.body import body_hash


def of_dkimpy(body: bytes) -> bytes:
    return hashlib.sha256(Relaxed.canonicalize_body(body)).digest()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"\r\n\r\n\r\n",
        b" \r\n\t \r\n",
        b"text",
        b"text\r\n",
        b"text \t \r\n\r\n \r\n",
        b"\r\n\r\ntext\r\n",
        b" a \t  b\r\n",
        b"text \r\n\r\n \t",
        b"odd\r\n\n\r\n",
        b"odd\r\r\n\r\n",
    ],
)
def test_the_same_as_dkimpy(body):
    assert body_hash(body) == of_dkimpy(body)


def test_the_empty_body_of_rfc_6376_section_3_4_4():
    assert body_hash(b"").hex() == hashlib.sha256(b"").hexdigest()


PIECES = st.sampled_from([b"\r\n", b"\r\n\r\n", b" ", b"  ", b"\t", b"a", b"bc d", b"\r", b"\n"])


@given(st.lists(PIECES, max_size=60).map(b"".join))
def test_the_same_as_dkimpy_on_any_body(body):
    assert body_hash(body) == of_dkimpy(body)


@given(st.lists(PIECES, max_size=60).map(b"".join), st.integers(1, 9))
def test_the_size_of_the_pieces_makes_no_difference(body, size):
    whole = body_hash(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "_PIECE", size)
        assert body_hash(body) == whole


@pytest.mark.parametrize(
    "body",
    [
        b"line of text\r\n" * 200_000 + b"\r\n" * 1_000_000,
        b"\r\n" * 1_200_000 + b"end",
        b"x" * 2_500_000,
        b"tab\tand  space \r\n" * 150_000,
    ],
    ids=["empty lines at the end", "empty lines first", "one line", "gaps"],
)
def test_bodies_of_many_pieces(body):
    assert body_hash(body) == of_dkimpy(body)


def test_a_long_run_of_spaces_costs_no_more_than_text():
    # dkimpy's own expression takes time quadratic in the run
    assert body_hash(b" " * 2_500_000 + b"x\r\n") == of_dkimpy(b" x\r\n")
