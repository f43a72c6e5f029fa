from functools import cache

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from dkim import crypto
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.transform.body import body_hash
from relay.transform.headers import HeaderBlock
from relay.transform.sign import (
    OVERSIGNED,
    KeyProblem,
    dns_record,
    load_private_key,
)
from tests.support.dkim_dns import dkimpy_verifies
from tests.support.dkim_sign import sign_field

NOW = 1_700_000_000.9
HEADER = (
    b"Received: from a by b; date\r\n"
    b"From: Someone <a@example.com>\r\nTo: b@example.org\r\n"
    b"Subject: folded\r\n\t and  wide \t \r\n"
    b"DATE:Sun, 22 Nov 2026 06:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
    b"List-Unsubscribe: <https://relay.example.net/u/token>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\n"
)
BODY = "Line one  \r\n\tcafé\r\n\r\n\r\n".encode()


loaded = cache(load_private_key)
record_of = cache(dns_record)


def ours(pem: bytes, header: bytes, body: bytes, domain: str, selector: str) -> bytes:
    return sign_field(
        header,
        body_hash(body),
        domain=domain,
        selector=selector,
        key=loaded(pem),
        now=NOW,
    )


def stock(pem: bytes, header: bytes, body: bytes, domain: str, selector: str) -> bytes:
    """The same by dkimpy alone, its own RSA and all."""
    names = [field.name for field in HeaderBlock.parse(header).fields]
    listed = [name for name in OVERSIGNED for _ in range(names.count(name) + 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dkim.time, "time", lambda: NOW)
        signature: bytes = dkim.DKIM(header + body).sign(
            selector.encode(),
            domain.encode(),
            pem,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[name.encode() for name in listed],
        )
    return signature


def test_octet_for_octet_what_dkimpy_makes(pem):
    arguments = (pem, HEADER, BODY, "example.com", "s2026")
    assert ours(*arguments) == stock(*arguments)


VALUES = st.text(st.sampled_from('ab é:;=\t"<>'), max_size=40).map(
    lambda text: text.encode().replace(b"\t", b"\r\n\t")
)
FIELDS = st.tuples(
    st.sampled_from([*OVERSIGNED, "Received", "DKIM-Signature", "SUBJECT", "X-Other"]), VALUES
).map(lambda pair: b"%b:%b\r\n" % (pair[0].encode(), pair[1]))
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(FIELDS, max_size=12).map(b"".join),
    st.lists(LABEL, min_size=2, max_size=3).map(".".join),
    LABEL,
)
def test_octet_for_octet_what_dkimpy_makes_of_any_header(pem, fields, domain, selector):
    header = b"From: a@example.com\r\n" + fields + b"\r\n"
    with pytest.MonkeyPatch.context() as patch:
        # its RSA in pure Python is proven above, and takes most of the time
        patch.setattr(
            dkim,
            "RSASSA_PKCS1_v1_5_sign",
            lambda digest, key: crypto.EMSA_PKCS1_v1_5_encode(digest, 256),
        )
        expected = stock(pem, header, BODY, domain, selector)
    signature = ours(pem, header, BODY, domain, selector)
    assert signature.split(b" b=")[0] == expected.split(b" b=")[0]
    signed = signature + header + BODY
    assert dkimpy_verifies(signed, {f"{selector}._domainkey.{domain}": record_of(pem)})


@pytest.mark.parametrize("bits", [1024, 2048, 3072, 4096])
def test_keys_of_every_usual_size(bits):
    key = rsa.generate_private_key(65537, bits)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    arguments = (pem, HEADER, BODY, "example.com", "s2026")
    assert ours(*arguments) == stock(*arguments)


def verifies(pem: bytes, message: bytes, domain: str = "example.com") -> bool:
    return dkimpy_verifies(message, {f"s2026._domainkey.{domain}": record_of(pem)})


def test_a_name_longer_than_a_line_is_not_torn(pem):
    domain = ".".join(["a" * 60] * 4)
    signature = ours(pem, HEADER, BODY, domain, "s2026")
    assert b"d=" + domain.encode() + b";" in signature
    assert verifies(pem, signature + HEADER + BODY, domain)


def test_the_signature_is_one_field_of_short_lines(pem):
    signature = ours(pem, HEADER, BODY, "example.com", "s2026")
    (found,) = HeaderBlock.parse(signature).fields
    assert found.name == "dkim-signature"
    assert max(len(line) for line in signature.split(b"\r\n")) <= 78
    assert b" l=" not in signature


def test_a_field_added_or_changed_breaks_it(pem):
    signature = ours(pem, HEADER, BODY, "example.com", "s2026")
    assert verifies(pem, signature + HEADER + BODY)
    assert verifies(pem, b"X-New: x\r\nReceived: from c by d\r\n" + signature + HEADER + BODY)
    for name in OVERSIGNED:
        added = name.encode() + b": other\r\n"
        assert not verifies(pem, added + signature + HEADER + BODY), name
        assert not verifies(pem, signature + HEADER[:-2] + added + b"\r\n" + BODY), name
    assert not verifies(pem, signature + HEADER.replace(b"token", b"other") + BODY)
    with pytest.raises(dkim.ValidationError, match="body hash"):
        verifies(pem, signature + HEADER + BODY + b"more\r\n")


def test_what_is_signed_more_than_once_is_covered_whole(pem):
    header = HEADER.replace(
        b"To:", b"Reply-To: one@example.com\r\nReply-To: two@example.com\r\nTo:"
    )
    signature = ours(pem, header, BODY, "example.com", "s2026")
    assert verifies(pem, signature + header + BODY)
    assert not verifies(pem, signature + header.replace(b"one@", b"eve@") + BODY)
    assert not verifies(pem, signature + header.replace(b"two@", b"eve@") + BODY)


def test_an_obsolete_space_before_the_colon_is_signed_as_without(pem):
    spaced = HEADER.replace(b"Subject:", b"Subject \t:")
    assert ours(pem, spaced, BODY, "example.com", "s") == ours(
        pem, HEADER, BODY, "example.com", "s"
    )


def test_the_record_publishes_the_key_unsplit(pem):
    record = dns_record(pem)
    assert record.startswith("v=DKIM1; k=rsa; p=MII")
    assert "\n" not in record
    assert " " not in record.partition("p=")[2]


def private_pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, secret: bytes = b"") -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption(),
    )


@pytest.mark.parametrize(
    ("unusable", "said"),
    [
        (lambda: b"", "not a private key"),
        (
            lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "not a private",
        ),
        (lambda: private_pem(ed25519.Ed25519PrivateKey.generate()), "not an RSA key"),
        (lambda: private_pem(rsa.generate_private_key(65537, 2048), b"secret"), "passphrase"),
    ],
    ids=["empty", "garbage", "ed25519", "encrypted"],
)
def test_an_unusable_key_is_told_in_words(unusable, said):
    with pytest.raises(KeyProblem, match=said):
        load_private_key(unusable())
