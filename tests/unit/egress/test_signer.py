import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.egress.signer import ThreadedSigner
from relay.ports import Signer
from relay.transform.body import body_hash
from relay.transform.sign import dns_record, generate_key, load_private_key
from tests.support.clock import FakeClock
from tests.support.dkim_dns import dkimpy_verifies
from tests.support.dkim_sign import sign_field

HEADER = b"From: a@example.com\r\nSubject: hi\r\n\r\n"
BODY = b"body\r\n"
HASH = body_hash(BODY)


@pytest.fixture(scope="module")
def pem() -> bytes:
    return generate_key()


@pytest.fixture
def key_file(tmp_path: Path, pem: bytes) -> Path:
    path = tmp_path / "keys" / "example.com" / "s1.pem"
    path.parent.mkdir(parents=True)
    path.write_bytes(pem)
    return path


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1_700_000_000.0)


@pytest.fixture
async def signer(tmp_path: Path, clock: FakeClock) -> AsyncIterator[ThreadedSigner]:
    made = ThreadedSigner(tmp_path / "keys", clock)
    yield made
    await made.close()


async def test_it_signs_as_the_pure_part_does_at_the_time_of_the_clock(
    signer, key_file, clock, pem
):
    port: Signer = signer
    clock.advance(5.0)
    assert await port.sign("example.com", "s1", HEADER, HASH) == sign_field(
        HEADER,
        HASH,
        domain="example.com",
        selector="s1",
        key=load_private_key(pem),
        now=clock.now(),
    )


async def test_many_at_once_all_verify(signer, key_file, pem):
    headers = [HEADER.replace(b"hi", b"%d" % number) for number in range(20)]
    fields = await asyncio.gather(
        *[signer.sign("example.com", "s1", header, HASH) for header in headers]
    )
    records = {"s1._domainkey.example.com": dns_record(pem)}
    for header, field in zip(headers, fields, strict=True):
        assert dkimpy_verifies(field + header + BODY, records)


async def test_a_key_is_read_once_and_again_when_its_file_changes(signer, key_file, pem):
    first = await signer.sign("example.com", "s1", HEADER, HASH)
    other = generate_key()
    stat = key_file.stat()
    key_file.write_bytes(other)
    os.utime(key_file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    second = await signer.sign("example.com", "s1", HEADER, HASH)
    assert first != second
    records = {"s1._domainkey.example.com": dns_record(other)}
    assert dkimpy_verifies(second + HEADER + BODY, records)


async def test_an_unchanged_file_is_not_read_again_until_forgotten(signer, key_file, pem):
    first = await signer.sign("example.com", "s1", HEADER, HASH)
    stat = key_file.stat()
    garbage = b"x" * len(pem)
    key_file.write_bytes(garbage)
    os.utime(key_file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert await signer.sign("example.com", "s1", HEADER, HASH) == first
    signer.forget("example.com", "s1")
    with pytest.raises(LookupError, match="cannot be used"):
        await signer.sign("example.com", "s1", HEADER, HASH)
    signer.forget("never.example", "seen")


async def test_a_removed_key_signs_no_more(signer, key_file):
    await signer.sign("example.com", "s1", HEADER, HASH)
    key_file.unlink()
    with pytest.raises(LookupError, match=r"s1\.pem does not exist: restore .* domain rotate"):
        await signer.sign("example.com", "s1", HEADER, HASH)


async def test_an_unreadable_key_is_named_with_what_to_do(signer, key_file):
    key_file.unlink()
    key_file.mkdir()
    with pytest.raises(LookupError, match=r"s1\.pem cannot be read .*let the relay's user"):
        await signer.sign("example.com", "s1", HEADER, HASH)


async def test_a_broken_key_is_named_with_what_to_do(signer, key_file):
    key_file.write_bytes(b"no key")
    with pytest.raises(LookupError, match=r"s1\.pem cannot be used: this is not a private key"):
        await signer.sign("example.com", "s1", HEADER, HASH)


@pytest.mark.parametrize(
    ("domain", "selector"),
    [("..", "s1"), ("example.com", "../example.com/s1"), ("/etc", "s1"), ("", "s1"), ("a/b", "s1")],
)
async def test_names_never_leave_the_directory(signer, key_file, domain, selector):
    with pytest.raises(LookupError, match="cannot name a DKIM key file"):
        await signer.sign(domain, selector, HEADER, HASH)


async def test_a_broken_header_is_an_error_of_the_caller(signer, key_file):
    with pytest.raises(ValueError, match="header line"):
        await signer.sign("example.com", "s1", b"no header\r\n\r\n", HASH)
