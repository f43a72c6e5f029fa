"""A token is taken as it was signed, or refused with a sentence; nothing between, nothing else."""

from __future__ import annotations

import json
from typing import Any

import jwt
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.consent.evidence import RecordingRefused
from relay.consent.signed import SignedConsent, read_token
from relay.model import Source
from tests.support.clock import FakeClock
from tests.unit.consent.collectors import URL, Collector

CLOCK = FakeClock()
FORM, OTHER = Collector("form"), Collector("other")
SOURCES = {
    one.slug: Source(number, one.slug, True, one.pem)
    for number, one in enumerate((FORM, OTHER), start=1)
}
GOOD = FORM.sign(CLOCK)
NEEDED = (
    *("iss", "sub", "aud", "tenant", "list", "iat", "jti"),
    *("act", "form_url", "ip", "notice"),
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def read(token: str) -> SignedConsent:
    return read_token(
        token,
        sources=SOURCES,
        tenant="shop",
        mailing_list="news",
        audiences=(URL,),
        now=CLOCK.now(),
    )


def refused(token: str) -> bool:
    try:
        read(token)
    except RecordingRefused as error:
        sentence = str(error)
    else:
        return False
    assert len(sentence) < 300
    assert sentence.isprintable()
    return True


def sign(payload: bytes, headers: dict[str, Any] | None = None, by: Collector = FORM) -> str:
    return jwt.PyJWS().encode(payload, by.key, algorithm="EdDSA", headers=headers)


def test_the_good_one_is_taken() -> None:
    signed = read(GOOD)
    assert (signed.address.exact, signed.jti, signed.source.slug) == (
        *("ann@example.org", "n-1"),
        "form",
    )


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(GOOD) - 1), st.characters(min_codepoint=1, max_codepoint=0x2FF))
def test_one_character_changed(place: int, character: str) -> None:
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    # The last character of base64 has bits that stand for nothing.
    assert refused(changed) or read(changed) == read(GOOD)


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_text(text: str) -> None:
    assert refused(text)
    assert refused(f"{text}.{text}.{text}")


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(NEEDED), ANYTHING)
def test_one_claim_is_anything(name: str, value: Any) -> None:
    claims = FORM.claims(CLOCK)
    if name == "notice" and isinstance(value, str | int) and value:
        return
    was = claims[name]
    claims[name] = value
    token = sign(json.dumps(claims).encode())
    if not refused(token):
        taken = read(token)
        assert name in ("iat", "jti") or value == was
        assert taken.at <= CLOCK.now()


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(NEEDED))
def test_one_claim_is_missing(name: str) -> None:
    claims = FORM.claims(CLOCK)
    del claims[name]
    assert refused(sign(json.dumps(claims).encode()))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_any_payload(payload: bytes) -> None:
    assert refused(sign(payload))


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(("kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "cty", "zip")),
        st.text(max_size=10) | st.booleans() | st.lists(st.text(max_size=5), max_size=2),
        min_size=1,
    )
)
def test_any_header(headers: dict[str, Any]) -> None:
    payload = json.dumps(FORM.claims(CLOCK)).encode()
    try:
        token = sign(payload, headers)
    except (jwt.PyJWTError, TypeError, ValueError):
        return
    # A key that the token brings along, or points at, is never asked: only the source's counts.
    by_other = jwt.PyJWS().encode(payload, OTHER.key, algorithm="EdDSA", headers={"kid": "form"})
    assert refused(by_other)
    if not refused(token):
        assert read(token).address == read(GOOD).address
        assert not set(jwt.get_unverified_header(token)) & {"crit", "b64"}
