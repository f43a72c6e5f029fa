"""AUTH PLAIN and LOGIN: the exchange, up to a user name and a secret (RFC 4954, RFC 4616).

Whether they are right is for ``ports.Door.authenticate`` to say. Nothing here logs or keeps them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from relay.smtp import reply
from relay.smtp.reply import Reply

MECHANISMS = ("PLAIN", "LOGIN")

Ask = Callable[[str], Awaitable[bytes]]
"""Sends a challenge (base64) and returns the client's line without its end."""


class AuthError(Exception):
    """The exchange has failed before there was anything to verify."""

    def __init__(self, answer: Reply, *, counts: bool = False) -> None:
        super().__init__(str(answer))
        self.reply = answer
        self.counts = counts
        """True when this is a wrong password rather than a wrong dialogue."""


class Proof(NamedTuple):
    """What a client claims to be; ``repr`` keeps the secret to itself."""

    username: str
    secret: str

    def __repr__(self) -> str:
        return "Proof(...)"


async def exchange(arg: bytes, ask: Ask) -> Proof:
    """Run the mechanism that ``arg`` names (``PLAIN [initial-response]``). Raises AuthError."""
    words = arg.split()
    if not words or len(words) > 2:
        raise AuthError(reply.AUTH_SYNTAX)
    initial = words[1] if len(words) == 2 else None
    match words[0].upper():
        case b"PLAIN":
            return _plain(_decode(initial if initial is not None else await ask("")))
        case b"LOGIN":
            # Never standardised; every client knows these prompts (draft-murchison-sasl-login).
            user = _decode(initial if initial is not None else await ask("VXNlcm5hbWU6"))
            return _proof(user, _decode(await ask("UGFzc3dvcmQ6")))
        case _:
            raise AuthError(reply.AUTH_UNKNOWN)


def _decode(octets: bytes) -> bytes:
    if octets == b"*":
        raise AuthError(reply.AUTH_CANCELLED)
    if octets == b"=":
        # RFC 4954 section 4: an empty initial response.
        return b""
    try:
        return base64.b64decode(octets, validate=True)
    except binascii.Error as error:
        raise AuthError(reply.AUTH_UNDECODABLE) from error


def _plain(message: bytes) -> Proof:
    """RFC 4616: ``[authzid] NUL authcid NUL passwd``."""
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise AuthError(reply.AUTH_UNDECODABLE)
    authzid, authcid, secret = parts
    if authzid not in (b"", authcid):
        # Nobody acts for somebody else here.
        raise AuthError(reply.AUTH_FAILED, counts=True)
    return _proof(authcid, secret)


def _proof(username: bytes, secret: bytes) -> Proof:
    try:
        return Proof(username.decode("utf-8"), secret.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise AuthError(reply.AUTH_FAILED, counts=True) from error
