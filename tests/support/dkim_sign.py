"""The three steps of a signature in one, without the thread of the signer."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from relay.transform.sign import finish, prepare, rsa_sign


def sign_field(
    header: bytes, body_hash: bytes, *, domain: str, selector: str, key: RSAPrivateKey, now: float
) -> bytes:
    """The whole ``DKIM-Signature:`` field with CRLF; raises ValueError as ``prepare``."""
    prepared = prepare(header, body_hash, domain=domain, selector=selector, now=now)
    return finish(prepared, rsa_sign(key, prepared.signed))
