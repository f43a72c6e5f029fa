"""Properties of tokens: what we minted is read back, and nothing else is read at all."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relay.model import SubjectKeys
from relay.transform.token import Purpose, Token, TokenError, TokenKeys, mint, read

KEYS = TokenKeys({"k1": b"o" * 32, "k2": b"n" * 32}, current="k2")
OCTETS = st.binary(min_size=16, max_size=16)
TOKENS = st.builds(
    Token,
    st.sampled_from(Purpose),
    st.integers(0, 2**32 - 1),
    st.none() | st.integers(1, 2**32 - 1),
    st.builds(SubjectKeys, OCTETS, OCTETS),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**16 - 1),
)
ALPHABET = string.ascii_letters + string.digits + "-_.=~ \n"


def reads(text: str) -> bool:
    """Whether it says anything at all, for whatever purpose."""
    for purpose in Purpose:
        try:
            read(text, KEYS, purpose)
        except TokenError:
            continue
        return True
    return False


@given(TOKENS)
def test_every_token_comes_back_whole(token):
    text = mint(token, KEYS)
    assert read(text, KEYS, token.purpose) == token
    for other in set(Purpose) - {token.purpose}:
        with pytest.raises(TokenError):
            read(text, KEYS, other)
    assert text.isascii()
    assert set(text) <= set(ALPHABET[:-4])
    assert len(text) < 120


@given(TOKENS, st.data())
def test_no_single_change_is_read(token, data):
    text = mint(token, KEYS)
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from(ALPHABET))
    assume(text[place] != letter)
    assert not reads(text[:place] + letter + text[place + 1 :])
    assert not reads(text[:place] + text[place + 1 :])
    assert not reads(text[:place] + letter + text[place:])


@given(st.text(max_size=150) | st.text(ALPHABET, max_size=150))
def test_no_other_text_is_read(text):
    assert not reads(text)
    assert not reads(f"v1.k2.{text}")


@given(TOKENS, TOKENS)
def test_no_two_tokens_can_be_spliced(one, other):
    first, second = mint(one, KEYS).split("."), mint(other, KEYS).split(".")
    assume(first[2] != second[2])
    assert not reads(".".join([*first[:3], second[3]]))
