"""The key that signs the heads of the ledger's chains: ``keys/ledger.pem`` (Ed25519)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from relay.ports import StoreTrouble


class PublicKey:
    """What the world may know of the key."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self.key: Final = key
        self.pem: Final = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self.fingerprint: Final = hashlib.sha256(
            key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ).hexdigest()
        """SHA-256 (hex) over the DER SubjectPublicKeyInfo, as ``openssl pkey -pubin -outform DER``
        writes it."""


def load_key(data_dir: Path) -> Ed25519PrivateKey:
    """The signing key; made when there is none yet. Raises StoreTrouble when it is no such key."""
    path = data_dir / "keys" / "ledger.pem"
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        made = Ed25519PrivateKey.generate()
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(pem)
            out.flush()
            os.fsync(out.fileno())
        return made
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise StoreTrouble(f"{path} cannot be read as a key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StoreTrouble(f"{path} is not an Ed25519 key")
    return key
