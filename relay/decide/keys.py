"""Keyed hashes of an address: what the ledger names people by."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from relay.model import Address, SubjectKeys

_OCTETS = 16


# A recipient is named by its keys several times on its way through: at the judge, in the record of
# its copy, in its token.
@lru_cache(maxsize=4_096)
def subject_keys(pepper: bytes, address: Address) -> SubjectKeys:
    """Both keys of an address: HMAC-SHA256 under ``pepper``, first 16 octets.

    The two are domain-separated, so that nobody who reads the store can tell that an exact and a
    wide key belong together. Without the pepper a dictionary attack has nothing to compare with.
    """
    return SubjectKeys(
        exact=_keyed(pepper, b"exact\0", address.exact),
        wide=_keyed(pepper, b"wide\0", address.wide),
    )


def _keyed(pepper: bytes, purpose: bytes, text: str) -> bytes:
    return hmac.digest(pepper, purpose + text.encode(), hashlib.sha256)[:_OCTETS]
