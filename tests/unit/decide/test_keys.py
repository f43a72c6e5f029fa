from __future__ import annotations

import hashlib
import hmac

from relay.decide.address import parse_address
from relay.decide.keys import subject_keys


def test_keys_are_truncated_hmacs_that_tell_the_two_purposes_apart() -> None:
    keys = subject_keys(b"pepper", parse_address("jan@x.test"))
    assert keys.exact == hmac.digest(b"pepper", b"exact\0jan@x.test", hashlib.sha256)[:16]
    assert keys.wide == hmac.digest(b"pepper", b"wide\0jan@x.test", hashlib.sha256)[:16]
    assert keys.exact != keys.wide


def test_tag_changes_the_exact_key_only() -> None:
    plain = subject_keys(b"p", parse_address("jan@x.test"))
    tagged = subject_keys(b"p", parse_address("Jan+shop@X.test"))
    assert plain.exact != tagged.exact
    assert plain.wide == tagged.wide


def test_pepper_matters() -> None:
    address = parse_address("jan@x.test")
    assert subject_keys(b"a", address) != subject_keys(b"b", address)
