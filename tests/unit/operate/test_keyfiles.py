"""Key files: made once, private, and told by name when they are not whole."""

import json
import os
import stat
from pathlib import Path

import pytest

from relay.operate import keyfiles
from relay.operate.keyfiles import KeyFileError


def test_made_keys_load_again_and_are_private(tmp_path: Path) -> None:
    made = keyfiles.make(tmp_path)
    again = keyfiles.load(tmp_path)
    assert (made.pepper, made.tokens) == (again.pepper, again.tokens)
    assert len(again.pepper) == 32
    assert len(again.tokens.keys[again.tokens.current]) == 32
    assert made.ledger.public_key() == again.ledger.public_key()
    for file in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_two_relays_have_different_keys(tmp_path: Path) -> None:
    one, two = keyfiles.make(tmp_path / "one"), keyfiles.make(tmp_path / "two")
    assert one.pepper != two.pepper
    assert one.tokens != two.tokens


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    before = keyfiles.make(tmp_path).pepper
    with pytest.raises(KeyFileError, match="exists already"):
        keyfiles.make(tmp_path)
    assert keyfiles.load(tmp_path).pepper == before


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("pepper", b"short", "holds 5 octets where 32 belong"),
        ("tokens.json", b"{}", "not a set of token keys"),
        ("tokens.json", b"[]", "not a set of token keys"),
        ("tokens.json", b'{"current": "k9", "keys": {}}', "not a set of token keys"),
        ("tokens.json", b'{"current": "a", "keys": {"a": "QUJD"}}', "not a set of token keys"),
        ("tokens.json", b'{"current": "a", "keys": {"a": "*"}}', "not a set of token keys"),
        ("ledger.pem", b"nothing", "not a PEM private key"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    keyfiles.make(tmp_path)
    file = tmp_path / "keys" / name
    file.write_bytes(content)
    with pytest.raises(KeyFileError) as caught:
        keyfiles.load(tmp_path)
    assert str(file) in str(caught.value)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["pepper", "tokens.json", "ledger.pem"])
def test_a_missing_file_is_named_and_not_made_anew(tmp_path: Path, name: str) -> None:
    keyfiles.make(tmp_path)
    file = tmp_path / "keys" / name
    file.unlink()
    with pytest.raises(KeyFileError, match="is missing: restore it from a backup"):
        keyfiles.load(tmp_path)
    assert not file.exists()


def test_an_unreadable_file_says_what_to_do(tmp_path: Path) -> None:
    keyfiles.make(tmp_path)
    (tmp_path / "keys" / "pepper").chmod(0)
    was = os.geteuid()
    os.seteuid(65534 if was == 0 else was)  # root reads everything
    try:
        with pytest.raises(KeyFileError, match="run the command as the user of the service"):
            keyfiles.load(tmp_path)
    finally:
        os.seteuid(was)


def test_old_token_keys_stay(tmp_path: Path) -> None:
    keyfiles.make(tmp_path)
    file = tmp_path / "keys" / "tokens.json"
    tokens = json.loads(file.read_text())
    tokens["keys"]["k2"] = tokens["keys"]["k1"][::-1]
    tokens["current"] = "k2"
    file.write_text(json.dumps(tokens))
    keys = keyfiles.load(tmp_path)
    assert keys.tokens.current == "k2"
    assert set(keys.tokens.keys) == {"k1", "k2"}
