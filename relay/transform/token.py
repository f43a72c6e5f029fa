"""Tokens that let a mail speak for itself: ``v1.KID.PAYLOAD.MAC``.

They hold no address, never expire, and every key that ever signed one keeps reading it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from relay.model import SubjectKeys

_KID = re.compile(r"[a-z0-9]{1,16}")
_SHAPE = re.compile(r"(v1\.([a-z0-9]{1,16})\.([A-Za-z0-9_-]{68}))\.([A-Za-z0-9_-]{22})")
# purpose, tenant, list (0 is none), exact key, wide key, nonce, issue day
_PAYLOAD = struct.Struct(">BII16s16sQH")
_MAC_OCTETS = 16
_LEAST_KEY_OCTETS = 32


class TokenError(Exception):
    """Not a token of ours. The text never says why: all wrong tokens look alike outside."""


class Purpose(IntEnum):
    """What a token allows."""

    UNSUBSCRIBE = 1
    CONFIRM = 2
    """Confirms one request for consent; the nonce names the request."""
    VIEW = 3
    """Shows a person what is on record; the nonce's upper half is its time of issue."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says."""

    purpose: Purpose
    tenant_id: int
    list_id: int | None
    keys: SubjectKeys
    nonce: int
    """Up to 64 bits that differ from mail to mail, so that no two carry the same token."""
    issue_day: int
    """Days since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The secrets by key id, and the one that signs new tokens.

    Raises ValueError for a key id that is not 1-16 of ``a-z0-9``, a key shorter than 32 octets,
    or a ``current`` that is not among them.
    """

    keys: Mapping[str, bytes] = field(repr=False)
    current: str

    def __post_init__(self) -> None:
        for kid, key in self.keys.items():
            if not _KID.fullmatch(kid):
                raise ValueError(f"token key id {kid!r} is not 1 to 16 of a-z and 0-9")
            if len(key) < _LEAST_KEY_OCTETS:
                raise ValueError(f"token key {kid!r} is shorter than {_LEAST_KEY_OCTETS} octets")
        if self.current not in self.keys:
            raise ValueError(f"token key {self.current!r} signs, but is not among the keys")


def mint(token: Token, keys: TokenKeys) -> str:
    """The token as ASCII text for a URL. Raises ValueError when a number does not fit."""
    if token.list_id is not None and token.list_id <= 0:
        raise ValueError("a list id is positive")
    if not len(token.keys.exact) == len(token.keys.wide) == _MAC_OCTETS:
        raise ValueError("subject keys are 16 octets")
    try:
        payload = _PAYLOAD.pack(
            token.purpose,
            token.tenant_id,
            token.list_id or 0,
            token.keys.exact,
            token.keys.wide,
            token.nonce,
            token.issue_day,
        )
    except struct.error as error:
        raise ValueError(f"does not fit into a token: {error}") from error
    signed = f"v1.{keys.current}.{_encode(payload)}"
    return f"{signed}.{_encode(_mac(keys.keys[keys.current], signed))}"


def read(text: str, keys: TokenKeys, purpose: Purpose) -> Token:
    """What a token says, when one of our keys signed exactly this text for this purpose.

    Raises TokenError.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise TokenError("unknown token")
    signed, kid, payload, mac = match.groups()
    key = keys.keys.get(kid)
    if key is None:
        raise TokenError("unknown token")
    # Compared in its one encoded form: a MAC with other spare bits in its last character is
    # another text, and so refused.
    if not hmac.compare_digest(_encode(_mac(key, signed)), mac):
        raise TokenError("unknown token")
    said, tenant_id, list_id, exact, wide, nonce, issue_day = _PAYLOAD.unpack(
        base64.urlsafe_b64decode(payload)
    )
    if said != purpose:
        raise TokenError("unknown token")
    return Token(purpose, tenant_id, list_id or None, SubjectKeys(exact, wide), nonce, issue_day)


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")


def _mac(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, signed.encode("ascii"), hashlib.sha256)[:_MAC_OCTETS]
