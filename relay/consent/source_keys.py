"""Public keys of the sources that sign what they collect (clause A10): Ed25519, nothing else."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

MOST_KEYS: Final = 4
"""Keys of one source: the one in use, and the next or the last while it is being replaced."""

_PEM: Final = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
_RAW_OCTETS: Final = 32


class SourceKeyError(ValueError):
    """Not what a source's public key looks like; one sentence that says what to give."""


@lru_cache(maxsize=64)
def read_keys(text: str) -> tuple[Ed25519PublicKey, ...]:
    """The keys in ``text``, each once: PEM blocks, a JWK (RFC 8037) or a set of them, or the 32
    octets in base64. Several are taken so that a source can change its key without a gap.

    Raises SourceKeyError.
    """
    if "PRIVATE" in text:
        raise SourceKeyError("this holds a private key: give the public one, and keep that secret")
    if "-----BEGIN" in text:
        keys = [_from_pem(block) for block in _PEM.findall(text)]
    elif text.lstrip().startswith("{"):
        keys = [_from_jwk(one) for one in _jwks(text)]
    else:
        keys = [_from_raw("".join(text.split()))]
    unique = list({_octets(key): key for key in keys}.values())
    if not unique:
        raise SourceKeyError("there is no public key in it")
    if len(unique) > MOST_KEYS:
        raise SourceKeyError(f"more than {MOST_KEYS} keys: leave the old ones out")
    return tuple(unique)


def write_keys(keys: Iterable[Ed25519PublicKey]) -> str:
    """The keys as PEM blocks, one after the other."""
    return "".join(
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for key in keys
    )


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 (hex) over the DER form: what ``openssl pkey -pubin -outform DER | sha256sum``
    prints."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _from_pem(block: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(block.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SourceKeyError("the PEM block is not a public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SourceKeyError("the key must be an Ed25519 key (openssl genpkey -algorithm ed25519)")
    return key


def _jwks(text: str) -> list[dict[str, Any]]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceKeyError("this is no JSON Web Key") from error
    found = said.get("keys", [said])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise SourceKeyError("this is no JSON Web Key")
    return found


def _from_jwk(said: dict[str, Any]) -> Ed25519PublicKey:
    if "d" in said:
        raise SourceKeyError("this holds a private key: give the public one, and keep that secret")
    if (said.get("kty"), said.get("crv")) != ("OKP", "Ed25519"):
        raise SourceKeyError("the key must be an Ed25519 key: kty OKP, crv Ed25519")
    return _from_raw(str(said.get("x", "")))


def _from_raw(text: str) -> Ed25519PublicKey:
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        octets = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SourceKeyError("give the public key as PEM, JWK, or base64 of its octets") from error
    if len(octets) != _RAW_OCTETS:
        raise SourceKeyError(
            f"an Ed25519 public key has {_RAW_OCTETS} octets, this has {len(octets)}"
        )
    return Ed25519PublicKey.from_public_bytes(octets)


def _octets(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
