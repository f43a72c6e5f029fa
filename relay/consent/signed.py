"""Consents that an approved source signed: a JSON Web Token (RFC 7519) under Ed25519 (RFC 8037).

The token is the evidence: it is kept whole with the event, so that anybody who has the source's
public key can check years later what was signed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt import PyJWS
from jwt.exceptions import InvalidSignatureError, PyJWTError

from relay.consent import evidence
from relay.consent.evidence import EARLIEST, RecordingRefused
from relay.consent.source_keys import read_keys, write_keys
from relay.model import Address, Source

CLOCK_SKEW: Final = 60.0
"""Seconds by which the clock of a source may be ahead of ours."""
ACTS: Final = ("tick", "typed", "click")
"""What a person can do to say yes (clause B5)."""
LONGEST_TOKEN: Final = 8_192
"""Characters."""

_LARGEST_TIME: Final = 2**40
_ALGORITHMS: Final = ["EdDSA"]
_TYPES: Final = (None, "JWT", "consent+jwt")
# The list of algorithms is ours, never the token's (RFC 8725 section 3.1).
_SIGNATURES: Final = PyJWS(algorithms=_ALGORITHMS)


@dataclass(frozen=True, slots=True)
class SignedConsent:
    """What a token says, after its signature and every claim were found good."""

    source: Source
    address: Address
    at: float
    """``iat``: when the person gave the consent, seconds since the epoch."""
    jti: str
    notice: int | str
    """Id of a stored version of the list's notice, or the text that was shown."""
    said: Mapping[str, str]
    """act, form_url, ip, user_agent."""
    claims: str
    """All claims as canonical JSON."""
    public_key: str
    """The key that the signature fits, as PEM: the proof outlives its replacement."""


def read_token(
    token: str,
    *,
    sources: Mapping[str, Source],
    tenant: str,
    mailing_list: str,
    audiences: Collection[str],
    now: float,
) -> SignedConsent:
    """Check a token against the key of the source that it names, for one tenant and list (slugs).

    ``audiences`` are the names under which the relay is meant; ``now`` is in seconds since the
    epoch. Raises RecordingRefused.
    """
    if not token.isascii() or len(token) > LONGEST_TOKEN:
        raise RecordingRefused(f"the token is not a JWT of at most {LONGEST_TOKEN} characters")
    named = _claims(_decoded(token, None)["payload"])
    source = sources.get(str(named.get("iss")))
    if source is None:
        raise RecordingRefused("iss names no source that the operator knows: ask for its slug")
    if not source.approved:
        raise RecordingRefused(
            f"iss: the source {source.slug} is not approved: record the consent as attested"
        )
    if source.public_key is None:
        raise RecordingRefused(
            f"iss: the source {source.slug} has no key: give its public key to the operator"
        )
    payload, key = _verified(token, read_keys(source.public_key))
    claims = _claims(payload)
    _check_audience(claims.get("aud"), audiences)
    for name, expected in (("tenant", tenant), ("list", mailing_list)):
        if claims.get(name) != expected:
            raise RecordingRefused(f"{name} must be {expected!r}: the token is for another {name}")
    at = _check_times(claims, now)
    act = claims.get("act")
    if act not in ACTS:
        raise RecordingRefused(
            f"act must say what the person did: {', '.join(ACTS)} (no box ticked beforehand)"
        )
    return SignedConsent(
        source=source,
        address=evidence.address(claims.get("sub"), "sub"),
        at=at,
        jti=evidence.text(claims.get("jti"), "jti", most=200),
        notice=read_notice(claims.get("notice")),
        said={
            "act": act,
            "form_url": evidence.url(claims.get("form_url"), "form_url"),
            "ip": evidence.ip(claims.get("ip"), "ip"),
            "user_agent": evidence.text(
                claims.get("user_agent", ""), "user_agent", most=300, empty=True
            ),
        },
        claims=json.dumps(claims, sort_keys=True, separators=(",", ":")),
        public_key=write_keys((key,)),
    )


def read_notice(value: object) -> int | str:
    """The notice that the person was shown: its words, or the id of a stored version.

    Raises RecordingRefused.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**62:
        return value
    if not isinstance(value, str):
        raise RecordingRefused("notice must be the words that were shown, or the id of a version")
    return evidence.text(value, "notice", most=4_000, lines=True)


def _verified(token: str, keys: tuple[Ed25519PublicKey, ...]) -> tuple[bytes, Ed25519PublicKey]:
    for key in keys:
        try:
            payload: bytes = _decoded(token, key)["payload"]
        except InvalidSignatureError:
            continue
        return payload, key
    raise RecordingRefused("the signature does not fit the key of the source that iss names")


def _decoded(token: str, key: Ed25519PublicKey | None) -> dict[str, Any]:
    try:
        if key is None:
            # Only to learn whose key to ask for; nothing of it is believed.
            found = _SIGNATURES.decode_complete(token, options={"verify_signature": False})
        else:
            found = _SIGNATURES.decode_complete(token, key, algorithms=_ALGORITHMS)
    except InvalidSignatureError:
        raise
    except (PyJWTError, ValueError, RecursionError) as error:
        raise RecordingRefused("the token is not a JWT signed with EdDSA (Ed25519)") from error
    header = found["header"]
    if header.get("alg") not in _ALGORITHMS or header.get("typ") not in _TYPES:
        raise RecordingRefused("the token's header must say alg EdDSA, and typ JWT if any")
    if "crit" in header or "b64" in header:
        raise RecordingRefused("the token's header uses extensions: leave crit and b64 out")
    return found


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload, object_pairs_hook=_unique, parse_constant=_no_number)
        # Half a surrogate pair is JSON, but no text that could be stored or shown.
        json.dumps(claims, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RecordingRefused("the token's claims are not a plain JSON object") from error
    if not isinstance(claims, dict):
        raise RecordingRefused("the token's claims are not a plain JSON object")
    return claims


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Two readers could see two different consents in it.
        raise ValueError("a claim is there twice")
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _check_audience(value: object, audiences: Collection[str]) -> None:
    given = value if isinstance(value, list) else [value]
    if not any(isinstance(one, str) and one.rstrip("/") in audiences for one in given):
        raise RecordingRefused(f"aud must be one of {', '.join(audiences)}")


def _check_times(claims: Mapping[str, Any], now: float) -> float:
    at = _seconds(claims, "iat")
    if at is None:
        raise RecordingRefused("iat is missing: it says when the person consented")
    if at > now + CLOCK_SKEW:
        raise RecordingRefused("iat lies in the future: set the clock of the source")
    if at < EARLIEST:
        raise RecordingRefused("iat lies before 1990: it is counted in seconds since 1970")
    expires = _seconds(claims, "exp")
    if expires is not None and expires <= now:
        raise RecordingRefused("exp: the token has expired: send a fresh one")
    begins = _seconds(claims, "nbf")
    if begins is not None and begins > now + CLOCK_SKEW:
        raise RecordingRefused("nbf: the token does not count yet: send it later")
    return min(at, now)


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # A number of any length is JSON; not every one of them is a float.
    if not number or not abs(value) <= _LARGEST_TIME:
        raise RecordingRefused(f"{name} must be a number: seconds since 1970")
    return float(value)
