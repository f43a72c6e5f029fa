"""Keys of sources: every spelling of an Ed25519 public key, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from relay.consent.source_keys import SourceKeyError, fingerprint, read_keys, write_keys

# Always the same: xdist compares the names of tests between processes.
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = PRIVATE.public_key()
RAW = PUBLIC.public_bytes_raw()
X = base64.urlsafe_b64encode(RAW).decode().rstrip("=")
JWK = {"kty": "OKP", "crv": "Ed25519", "x": X}
PEM = write_keys([PUBLIC])


@pytest.mark.parametrize(
    "text",
    [
        PEM,
        PEM.replace("\n", "\r\n"),
        f"comment\n{PEM}\n{PEM}",
        json.dumps(JWK),
        json.dumps({"keys": [JWK, {**JWK, "kid": "1"}]}),
        X,
        base64.b64encode(RAW).decode() + "\n",
    ],
)
def test_spellings_of_one_key(text: str) -> None:
    (key,) = read_keys(text)
    assert key.public_bytes_raw() == RAW
    assert write_keys([key]) == PEM


def test_the_fingerprint_is_that_of_openssl() -> None:
    der = PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert fingerprint(PUBLIC) == hashlib.sha256(der).hexdigest()


def test_two_keys_while_one_is_replaced() -> None:
    other = Ed25519PrivateKey.generate().public_key()
    assert [fingerprint(key) for key in read_keys(write_keys([PUBLIC, other]))] == [
        fingerprint(PUBLIC),
        fingerprint(other),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "32 octets, this has 0"),
        ("hello", "32 octets|base64"),
        ("!" * 43, "PEM, JWK, or base64"),
        (X + "AAAA", "this has 35"),
        ("é", "base64"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no public key in it"),
        ("{", "no JSON Web Key"),
        ('{"keys": 5}', "no JSON Web Key"),
        ('{"keys": []}', "no public key in it"),
        (json.dumps({**JWK, "d": X}), "private key"),
        (json.dumps({**JWK, "crv": "X25519"}), "Ed25519"),
        (json.dumps({**JWK, "x": 5}), "base64"),
        (
            PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "private key",
        ),
        (
            write_keys(Ed25519PrivateKey.generate().public_key() for _ in range(5)),
            "more than 4 keys",
        ),
    ],
    ids=[f"case {number}" for number in range(15)],
)
def test_what_is_no_public_key(text: str, words: str) -> None:
    with pytest.raises(SourceKeyError, match=words):
        read_keys(text)


def test_keys_of_another_kind() -> None:
    for key in (
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65_537, 2_048),
        Ed448PrivateKey.generate(),
    ):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(SourceKeyError, match="Ed25519"):
            read_keys(pem.decode())
