"""Signed heads of the ledger's chains, outside the database, so that a cut tail shows.

Each line of ``ledger-heads.jsonl`` holds the heads of the chains that grew since the line before,
signed with ``keys/ledger.pem`` (Ed25519).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from relay.ports import Json, StoreTrouble
from relay.store.journal import Journal, canonical, read

log = logging.getLogger("relay.store")

EVERY_EVENTS: Final = 1_000
EVERY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a chain."""

    seq: int
    hash: bytes


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


class Heads:
    """Writes the heads; used in the writer's thread, between transactions."""

    def __init__(self, data_dir: Path) -> None:
        self._key: Final = load_key(data_dir)
        self._journal: Final = Journal(data_dir / "ledger-heads.jsonl")
        self._written_at = float("-inf")

    def write(self, heads: Mapping[int, Head], at: float) -> None:
        """Append one signed line. An error is logged: the caller comes again with the next."""
        said: dict[str, Json] = {
            str(tenant): [head.seq, head.hash.hex()] for tenant, head in heads.items()
        }
        payload = canonical({"at": at, "heads": said})
        signature = self._key.sign(payload.encode()).hex()
        self._written_at = at
        try:
            self._journal.append([{"at": at, "heads": said, "signature": signature}])
        except OSError as error:
            log.error("ledger heads cannot be written: %s", error)

    def due(self, events: int, at: float) -> bool:
        """Whether ``events`` new events want a line now."""
        return events >= EVERY_EVENTS or (
            events > 0 and not 0 <= at - self._written_at < EVERY_SECONDS
        )

    def signed(self) -> dict[int, dict[int, bytes]]:
        """All heads on record, as tenant → seq → hash.

        Raises ValueError, saying which line, when a signature does not hold.
        """
        found: dict[int, dict[int, bytes]] = {}
        public = self._key.public_key()
        for number, record in enumerate(read(self._journal.path), 1):
            try:
                signature = bytes.fromhex(record.pop("signature"))
                public.verify(signature, canonical(record).encode())
                for tenant, (seq, digest) in record["heads"].items():
                    found.setdefault(int(tenant), {})[int(seq)] = bytes.fromhex(digest)
            except (InvalidSignature, KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"record {number} of {self._journal.path.name} is not signed by this relay"
                ) from error
        return found

    def close(self) -> None:
        """Close the file."""
        self._journal.close()
