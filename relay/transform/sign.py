"""DKIM signatures (RFC 6376), rsa-sha256, relaxed/relaxed.

Octet for octet what dkimpy makes of the same input: canonicalisation is dkimpy's own, the RSA
step is OpenSSL's, and only the fields that are signed are looked at. In three steps, so that the
costly middle one can run elsewhere: ``prepare``, RSA, ``finish``.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from dkim.canonicalization import Relaxed

from relay.transform.headers import HeaderBlock

OVERSIGNED = (
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-id",
    "feedback-id",
    "cfbl-address",
    "cfbl-feedback-id",
)
"""Signed once more than they occur, so that adding one breaks the signature (section 8.15)."""

_NAME = b"DKIM-Signature"
_FIRST_LINE = 72 - len(_NAME)
_LINE = 71
_LEAST_BITS = 1024
_NEW_KEY_BITS = 2048


class KeyProblem(ValueError):
    """A DKIM key that cannot be used, in one sentence."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A signature that lacks only its RSA step."""

    tags: bytes
    """Everything up to ``b=``, unfolded."""
    signed: bytes
    """The octets that RSA signs (with SHA-256)."""


def prepare(header: bytes, body_hash: bytes, *, domain: str, selector: str, now: float) -> Prepared:
    """What is to be signed, for a field that goes on top of ``header``.

    ``header`` is the header block of the copy, ``body_hash`` comes from ``body.body_hash``,
    ``domain`` and ``selector`` are A-labels, ``now`` is in seconds since the epoch. Raises
    ValueError when ``header`` is no header block or the names are not ASCII.
    """
    instances: dict[str, list[tuple[bytes, bytes]]] = {name: [] for name in OVERSIGNED}
    for name, raw in HeaderBlock.parse(header).fields:
        if name in instances:
            label, _, value = raw.partition(b":")
            instances[name].append((label, value))
    listed: list[str] = []
    selected: list[tuple[bytes, bytes]] = []
    for name, found in instances.items():
        listed += [name] * (len(found) + 1)
        # section 5.4.2: several fields of one name are signed from the bottom up
        selected += found[::-1]
    tags = (
        f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; i=@{domain}; q=dns/txt; s={selector}; "
        f"t={int(now)}; h={' : '.join(listed)}; bh={base64.b64encode(body_hash).decode()}; b="
    ).encode("ascii")
    lines = [b"%b:%b" % pair for pair in Relaxed.canonicalize_headers(selected)]
    # section 3.7: the signature field itself comes last, with b= empty and without its CRLF
    return Prepared(tags, b"".join([*lines, b"dkim-signature:", tags]))


def rsa_sign(key: RSAPrivateKey, signed: bytes) -> bytes:
    """The RSA step (RSASSA-PKCS1-v1_5 with SHA-256), deterministic; releases the GIL."""
    return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


def finish(prepared: Prepared, signature: bytes) -> bytes:
    """The whole field with CRLF, folded at 72 columns as dkimpy does."""
    lines = []
    rest = prepared.tags[: -len(b" b=")]
    room = _FIRST_LINE
    while len(rest) >= room:
        cut = rest.rfind(b" ", 0, room)
        if cut < 0 and (cut := rest.find(b" ")) < 0:
            break
        lines.append(rest[:cut])
        rest = rest[cut + 1 :]
        room = _LINE
    lines.append(rest)
    encoded = b"b=" + base64.b64encode(signature)
    lines += [encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]
    return _NAME + b": " + b"\r\n ".join(lines) + b"\r\n"


def generate_key() -> bytes:
    """A new RSA-2048 private key as PEM (PKCS#8)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_NEW_KEY_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def load_private_key(pem: bytes) -> RSAPrivateKey:
    """The RSA private key in ``pem`` (PKCS#1 or PKCS#8). Raises KeyProblem."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise KeyProblem("the key is protected by a passphrase; store it without one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyProblem("this is not a private key in PEM form") from error
    if not isinstance(key, RSAPrivateKey):
        raise KeyProblem("this is not an RSA key, and rsa-sha256 needs one")
    if key.key_size < _LEAST_BITS:
        raise KeyProblem(
            f"the key has {key.key_size} bits; receivers refuse less than {_LEAST_BITS} (RFC 8301)"
        )
    return key


def dns_record(pem: bytes) -> str:
    """The value of the TXT record that belongs to a private key, unsplit. Raises KeyProblem."""
    public = load_private_key(pem).public_key()
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
