"""What the ledger's hashes are hashes of. ``relay/verify_bundle.py`` says the same once more, on
its own, for whoever wants to check without us.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

OPERATOR_CHAIN: Final = 0
"""The chain of what belongs to no tenant."""
IMPORTED: Final = frozenset({"consent.imported", "optout.imported"})
"""Events that stand for a batch; the evidence of each row is in ``import_rows``."""
DISCONTINUITY: Final = "ledger.discontinuity"
"""The first event of a chain after its store came back from a backup, or lost its signed heads."""
HEADS_MISSING: Final = "signed heads missing"
"""Why a chain has a discontinuity without a backup: the file beside the store was gone."""
ERASURE: Final = "erasure"
"""Says how many events of its chain lost their content when a person was erased."""
NOTICE: Final = "notice.version"
"""Records the words of a notice, by their digest."""
NEVER_ERASED: Final = IMPORTED | {DISCONTINUITY, NOTICE, "terms.accepted"}
"""Events about no person: nobody can ask for them to be erased."""
START: Final = bytes(32)
"""What the first event of a chain follows."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a chain."""

    seq: int
    hash: bytes


_NUMBERS: Final = struct.Struct(">BqqqH")

BEGINNING: Final = Head(0, START)
"""The head of a chain without events."""


def commitment(salt: bytes, text: str | bytes) -> bytes:
    """SHA-256(salt || canonical JSON)."""
    octets = text if isinstance(text, bytes) else text.encode()
    return hashlib.sha256(salt + octets).digest()


def chain_hash(
    seq: int, tenant_id: int, t: int, kind: str | bytes, commit: bytes, prev: bytes
) -> bytes:
    """SHA-256(0x00 || seq || tenant || t || type || commit || prev): numbers as eight octets,
    the type with its length in front."""
    word = kind if isinstance(kind, bytes) else kind.encode()
    numbers = _NUMBERS.pack(0, seq, tenant_id, t, len(word))
    return hashlib.sha256(numbers + word + commit + prev).digest()


def content_hash(before: bytes, line: int, row: bytes) -> bytes:
    """The running hash over line number (eight octets) and commitment of each row of an import, in
    order of lines: SHA-256(before || line || commitment)."""
    return hashlib.sha256(before + line.to_bytes(8, "big", signed=True) + row).digest()


def milliseconds(at: float) -> int:
    """Seconds since the epoch as the whole milliseconds that are hashed."""
    return round(at * 1_000)


# --- Merkle trees (RFC 9162 section 2.1) --------------------------------------------------------


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The tree's head (RFC 9162 section 2.1.1)."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = _split(len(leaves))
    return _node(merkle_root(leaves[:split]), merkle_root(leaves[split:]))


def merkle_path(index: int, leaves: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """The inclusion proof of one leaf (RFC 9162 section 2.1.3.1), from the leaf up: on which side
    each neighbour stands, and its hash. It shows that the leaf is in the tree, and nothing of the
    others."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*merkle_path(index, leaves[:split]), ("right", merkle_root(leaves[split:]))]
    return [*merkle_path(index - split, leaves[split:]), ("left", merkle_root(leaves[:split]))]


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)
