import base64
from dataclasses import replace

import pytest

from relay.model import SubjectKeys
from relay.transform.token import Purpose, Token, TokenError, TokenKeys, mint, read

OLD = b"o" * 32
NEW = b"n" * 32
KEYS = TokenKeys({"k1": OLD, "k2": NEW}, current="k2")
TOKEN = Token(
    Purpose.UNSUBSCRIBE, 7, 42, SubjectKeys(b"e" * 16, b"w" * 16), nonce=2**63 + 1, issue_day=20_779
)


def test_a_token_says_what_was_put_in():
    assert read(mint(TOKEN, KEYS), KEYS, Purpose.UNSUBSCRIBE) == TOKEN
    tenant_wide = replace(TOKEN, list_id=None)
    assert read(mint(tenant_wide, KEYS), KEYS, Purpose.UNSUBSCRIBE) == tenant_wide


def test_it_names_its_version_and_key_and_needs_no_quoting_in_a_url():
    version, kid, payload, mac = mint(TOKEN, KEYS).split(".")
    assert (version, kid) == ("v1", "k2")
    assert len(base64.urlsafe_b64decode(mac + "==")) == 16
    assert (payload + mac).replace("-", "").replace("_", "").isalnum()


def test_an_old_key_reads_its_tokens_for_ever_and_signs_no_new_ones():
    before = mint(TOKEN, TokenKeys({"k1": OLD}, current="k1"))
    assert read(before, KEYS, Purpose.UNSUBSCRIBE) == TOKEN
    assert mint(TOKEN, KEYS).startswith("v1.k2.")


def test_a_key_that_is_not_ours_reads_nothing():
    with pytest.raises(TokenError):
        read(mint(TOKEN, KEYS), TokenKeys({"k2": b"x" * 32}, current="k2"), Purpose.UNSUBSCRIBE)
    with pytest.raises(TokenError):
        read(mint(TOKEN, KEYS), TokenKeys({"k1": OLD}, current="k1"), Purpose.UNSUBSCRIBE)


def test_one_key_under_two_names_does_not_let_the_name_change():
    both = TokenKeys({"k1": OLD, "k2": OLD}, current="k1")
    with pytest.raises(TokenError):
        read(mint(TOKEN, both).replace("v1.k1.", "v1.k2."), both, Purpose.UNSUBSCRIBE)


def test_every_other_spelling_is_refused():
    text = mint(TOKEN, KEYS)
    for other in (text + "=", text + "\n", " " + text, text.upper(), text + ".", text[:-1], ""):
        with pytest.raises(TokenError):
            read(other, KEYS, Purpose.UNSUBSCRIBE)
    with pytest.raises(TokenError):
        read(text.replace("v1.", "v2.", 1), KEYS, Purpose.UNSUBSCRIBE)


def test_spare_bits_in_the_last_character_are_refused():
    text = mint(TOKEN, KEYS)
    octets = base64.urlsafe_b64decode(text.rpartition(".")[2] + "==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twins = [text[:-1] + letter for letter in alphabet if letter != text[-1]]
    same_octets = [
        twin for twin in twins if base64.urlsafe_b64decode(twin.rpartition(".")[2] + "==") == octets
    ]
    assert len(same_octets) == 15
    for twin in same_octets:
        with pytest.raises(TokenError):
            read(twin, KEYS, Purpose.UNSUBSCRIBE)


def test_all_wrong_tokens_look_alike():
    texts = set()
    for wrong in (
        "",
        "v1.k2.x.y",
        mint(TOKEN, KEYS)[:-4] + "AAAA",
        "v1.k9." + "A" * 68 + "." + "A" * 22,
    ):
        with pytest.raises(TokenError) as caught:
            read(wrong, KEYS, Purpose.UNSUBSCRIBE)
        texts.add(str(caught.value))
    assert len(texts) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"tenant_id": -1},
        {"tenant_id": 2**32},
        {"list_id": 0},
        {"nonce": 2**64},
        {"issue_day": -1},
        {"keys": SubjectKeys(b"short", b"w" * 16)},
    ],
)
def test_what_does_not_fit_is_not_minted(change):
    with pytest.raises(ValueError, match=r"\w"):
        mint(replace(TOKEN, **change), KEYS)


@pytest.mark.parametrize(
    ("keys", "current"),
    [({"k1": OLD}, "k2"), ({"k.1": OLD}, "k.1"), ({"": OLD}, ""), ({"k1": b"short"}, "k1")],
)
def test_unusable_keys_are_refused_at_once(keys, current):
    with pytest.raises(ValueError, match="key"):
        TokenKeys(keys, current)


def test_secrets_do_not_show_in_a_repr():
    assert "ooo" not in repr(KEYS)


def test_a_token_for_one_purpose_is_none_for_another() -> None:
    text = mint(TOKEN, KEYS)
    for other in (Purpose.CONFIRM, Purpose.VIEW):
        with pytest.raises(TokenError):
            read(text, KEYS, other)
