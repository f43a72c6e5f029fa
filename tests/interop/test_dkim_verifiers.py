"""Our signatures in the eyes of others: dkimpy, OpenDKIM and mailauth."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.transform.sign import dns_record, generate_key, load_private_key
from tests.golden.cases import NAMES, run
from tests.support.dkim_dns import dkimpy_verifies, mailauth_missing, mailauth_verify
from tests.support.dkim_sign import sign_field

DOMAIN = "shop.example"
RECORD_NAME = f"s1._domainkey.{DOMAIN}"

Verifier = Callable[[bytes, str], bool]


@pytest.fixture(scope="module")
def pem() -> bytes:
    return generate_key()


@pytest.fixture(params=["dkimpy", "opendkim", "mailauth"])
def verifies(request: pytest.FixtureRequest, tmp_path: Path) -> Verifier:
    """Whether a verifier holds the topmost signature for valid, given the key's record."""
    if request.param == "dkimpy":
        return _dkimpy
    if request.param == "mailauth":
        if missing := mailauth_missing():
            pytest.skip(missing)
        return _mailauth
    opendkim = shutil.which("opendkim", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if opendkim is None:
        pytest.skip("opendkim is not installed (Debian package opendkim)")
    return lambda message, record: _opendkim(opendkim, tmp_path, message, record)


def _dkimpy(message: bytes, record: str) -> bool:
    # dkimpy cannot read a field with a space before the colon; this one is not signed
    readable = message.replace(b"X-PHP-Originating-Script :", b"X-PHP-Originating-Script:")
    return dkimpy_verifies(readable, {RECORD_NAME: record})


def _mailauth(message: bytes, record: str) -> bool:
    found = mailauth_verify(message, {RECORD_NAME: record})
    assert found
    return any(one["domain"] == DOMAIN and one["result"] == "pass" for one in found)


def _opendkim(program: str, folder: Path, message: bytes, record: str) -> bool:
    (folder / "keys").write_text(f"{RECORD_NAME} {record}\n")
    (folder / "conf").write_text(f"Mode v\nTestPublicKeys {folder / 'keys'}\n")
    (folder / "message.eml").write_bytes(message)
    done = subprocess.run(
        [program, "-x", str(folder / "conf"), "-v", "-t", str(folder / "message.eml")],
        capture_output=True,
        timeout=60,
        check=True,
    )
    said = (done.stdout + done.stderr).decode()
    succeeded = "verification (s=s1, d=shop.example, 2048-bit key) succeeded" in said
    assert succeeded or " failed: " in said, said
    return succeeded


def signed(pem: bytes, name: str) -> tuple[bytes, bytes, bytes]:
    """Signature, header and body of a golden case as it leaves."""
    case = run(name)
    signature = sign_field(
        case.header,
        case.body_hash,
        domain=DOMAIN,
        selector="s1",
        key=load_private_key(pem),
        now=1_700_000_000.0,
    )
    return signature, case.header, case.body


@pytest.mark.parametrize("name", [name for name in NAMES if name != "forwarded"])
def test_every_golden_message_verifies(pem, verifies, name):
    assert verifies(b"".join(signed(pem, name)), dns_record(pem))


@pytest.mark.parametrize(
    "added",
    [
        b"From: ceo@bank.example\r\n",
        b"Subject: other\r\n",
        b"Content-Type: text/html\r\n",
        b"List-Unsubscribe: <https://evil.example/>\r\n",
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
    ],
)
def test_a_second_field_breaks_the_signature(pem, verifies, added):
    signature, header, body = signed(pem, "newsletter")
    assert verifies(b"X-Added: on the way\r\n" + signature + header + body, dns_record(pem))
    assert not verifies(added + signature + header + body, dns_record(pem))
    assert not verifies(signature + header[:-2] + added + b"\r\n" + body, dns_record(pem))


def test_another_key_does_not_verify(pem, verifies):
    assert not verifies(b"".join(signed(pem, "newsletter")), dns_record(generate_key()))
