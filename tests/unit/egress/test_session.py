"""Greeting, EHLO, TLS and AUTH."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest
import trustme

from relay.egress.session import endpoint
from relay.model import Outcome, Receipt
from relay.ports import Envelope
from tests.unit.egress.scripted import OFFERS, Bench, Scripted

ENVELOPE = Envelope("news@t1.test", ("yes@ok.test",), False, False, 20)
CONTENT = (b"Subject: hello\r\n\r\n",)
STARTTLS = (*OFFERS, "STARTTLS")


async def attempt(bench: Bench, upstream: Scripted, **settings: object) -> Receipt:
    (receipt,) = await bench.pool(upstream.address, **settings).send(ENVELOPE, CONTENT)
    return receipt


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.mark.parametrize("address", ["mx", ":25", "mx:", "mx:0", "mx:70000", "mx:smtp", ""])
def test_endpoint_refuses(address: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        endpoint(address)


def test_endpoint_reads_both_families() -> None:
    assert endpoint("mx.example:25") == ("mx.example", 25)
    assert endpoint("[::1]:2525") == ("::1", 2525)


@pytest.mark.parametrize("mode", ["opportunistic", "required", "verify"])
async def test_starttls_when_offered(
    bench: Bench, certificate: ssl.SSLContext, ca_file: Path, mode: str
) -> None:
    upstream = await bench.upstream(offers=STARTTLS, certificate=certificate)
    receipt = await attempt(bench, upstream, tls=mode, ca_file=ca_file)
    assert receipt.outcome is Outcome.DELIVERED
    assert upstream.encrypted == [True]
    assert upstream.commands() == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA"]


async def test_none_never_encrypts(bench: Bench, certificate: ssl.SSLContext) -> None:
    upstream = await bench.upstream(offers=STARTTLS, certificate=certificate)
    assert (await attempt(bench, upstream, tls="none")).outcome is Outcome.DELIVERED
    assert upstream.encrypted == [False]


async def test_implicit_tls(bench: Bench, certificate: ssl.SSLContext, ca_file: Path) -> None:
    upstream = await bench.upstream(certificate=certificate, implicit_tls=True)
    receipt = await attempt(bench, upstream, tls="verify", implicit_tls=True, ca_file=ca_file)
    assert receipt.outcome is Outcome.DELIVERED
    assert upstream.encrypted == [True]
    assert "STARTTLS" not in upstream.commands()


async def test_implicit_tls_with_an_unknown_certificate(
    bench: Bench, certificate: ssl.SSLContext
) -> None:
    upstream = await bench.upstream(certificate=certificate, implicit_tls=True)
    receipt = await attempt(bench, upstream, tls="verify", implicit_tls=True)
    assert (receipt.outcome, receipt.our_trouble) == (Outcome.DEFERRED, True)
    assert upstream.mails == []
    unchecked = await attempt(bench, upstream, tls="required", implicit_tls=True)
    assert unchecked.outcome is Outcome.DELIVERED


@pytest.mark.parametrize(
    ("offers", "reply"),
    [(OFFERS, b""), (STARTTLS, b"454 4.7.0 no TLS now\r\n"), (STARTTLS, b"220 go\r\n")],
    ids=["not offered", "refused", "handshake fails"],
)
async def test_only_opportunistic_falls_back(
    bench: Bench, offers: tuple[str, ...], reply: bytes
) -> None:
    upstream = await bench.upstream(offers=offers, replies={"STARTTLS": reply})
    for mode in ("required", "verify"):
        receipt = await attempt(bench, upstream, tls=mode)
        assert receipt.outcome is Outcome.DEFERRED
        assert receipt.our_trouble is not reply.startswith(b"4")
        assert receipt.enhanced.startswith("4.7.")
    assert upstream.mails == []
    assert (await attempt(bench, upstream, tls="opportunistic")).outcome is Outcome.DELIVERED
    assert upstream.encrypted == [False]


async def test_verify_wants_the_right_name_and_authority(
    bench: Bench, authority: trustme.CA, certificate: ssl.SSLContext, ca_file: Path
) -> None:
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.test").configure_cert(other)
    wrong_name = await bench.upstream(offers=STARTTLS, certificate=other)
    unknown = await bench.upstream(offers=STARTTLS, certificate=certificate)
    for receipt in (
        await attempt(bench, wrong_name, tls="verify", ca_file=ca_file),
        await attempt(bench, unknown, tls="verify"),
    ):
        assert (receipt.outcome, receipt.our_trouble) == (Outcome.DEFERRED, True)
        assert receipt.enhanced == "4.7.5"
        assert "TLS handshake failed" in receipt.text
    assert wrong_name.mails == unknown.mails == []
    assert (await attempt(bench, wrong_name, tls="required")).outcome is Outcome.DELIVERED


@pytest.mark.parametrize("behind", [b"250 injected\r\n", b"25", b"\r\n"])
@pytest.mark.parametrize("mode", ["opportunistic", "required"])
async def test_octets_behind_the_220_end_the_session(
    bench: Bench, certificate: ssl.SSLContext, mode: str, behind: bytes
) -> None:
    upstream = await bench.upstream(
        offers=STARTTLS, certificate=certificate, replies={"STARTTLS": b"220 go\r\n" + behind}
    )
    receipt = await attempt(bench, upstream, tls=mode)
    assert receipt.outcome is Outcome.DEFERRED
    assert upstream.mails == []
    # Not tried again in the clear: that is what an injector would want.
    assert len(upstream.sessions) == 1


async def test_what_was_offered_before_tls_is_forgotten(
    bench: Bench, certificate: ssl.SSLContext
) -> None:
    upstream = await bench.upstream(
        certificate=certificate,
        replies={"EHLO": [b"250-x\r\n250-SIZE 5\r\n250 STARTTLS\r\n", b"250 x\r\n"]},
    )
    assert (await attempt(bench, upstream, tls="required")).outcome is Outcome.DELIVERED
    assert upstream.sessions[0][3] == b"MAIL FROM:<news@t1.test>\r\n"


# --- AUTH ----------------------------------------------------------------------------------------


@pytest.fixture
def login(tmp_path: Path) -> dict[str, object]:
    path = tmp_path / "password"
    path.write_text("pass wörd\n", "utf-8")
    return {"username": "relay", "password_file": path}


async def test_auth_plain(bench: Bench, login: dict[str, object]) -> None:
    upstream = await bench.upstream(offers=(*OFFERS, "AUTH LOGIN PLAIN"))
    assert (await attempt(bench, upstream, **login)).outcome is Outcome.DELIVERED
    expected = base64.b64encode("\0relay\0pass wörd".encode())
    assert upstream.sessions[0][1] == b"AUTH PLAIN " + expected + b"\r\n"


async def test_auth_login_also_in_its_old_spelling(bench: Bench, login: dict[str, object]) -> None:
    upstream = await bench.upstream(
        offers=("AUTH=LOGIN",),
        replies={"AUTH": [b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n", b"235 ok\r\n"]},
    )
    assert (await attempt(bench, upstream, **login)).outcome is Outcome.DELIVERED
    assert upstream.sessions[0][1:4] == [
        b"AUTH LOGIN\r\n",
        b"= " + base64.b64encode(b"relay") + b"\r\n",
        b"= " + base64.b64encode("pass wörd".encode()) + b"\r\n",
    ]


@pytest.mark.parametrize(
    ("offers", "reply", "trouble"),
    [
        (("AUTH PLAIN",), b"535 5.7.8 wrong\r\n", True),
        (("AUTH PLAIN",), b"454 4.7.0 later\r\n", False),
        (("AUTH PLAIN",), b"334 \r\n", True),
        (("AUTH CRAM-MD5",), b"", True),
        ((), b"", True),
    ],
)
async def test_auth_that_does_not_succeed(
    bench: Bench,
    login: dict[str, object],
    offers: tuple[str, ...],
    reply: bytes,
    trouble: bool,
) -> None:
    upstream = await bench.upstream(offers=offers, replies={"AUTH": reply})
    receipt = await attempt(bench, upstream, **login)
    assert (receipt.outcome, receipt.our_trouble) == (Outcome.DEFERRED, trouble)
    assert receipt.enhanced.startswith("4.")
    assert "MAIL" not in upstream.commands()


async def test_a_password_file_that_is_gone_is_our_trouble(bench: Bench, tmp_path: Path) -> None:
    upstream = await bench.upstream(offers=("AUTH PLAIN",))
    receipt = await attempt(bench, upstream, username="relay", password_file=tmp_path / "gone")
    assert (receipt.outcome, receipt.our_trouble) == (Outcome.DEFERRED, True)
    assert "password_file" in receipt.text


async def test_no_password_for_whoever_strips_starttls(
    bench: Bench, login: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Loopback counts as secure; to the code this upstream is anywhere else.
    monkeypatch.setattr("relay.egress.session._is_loopback", lambda ip: False)
    upstream = await bench.upstream(offers=(*OFFERS, "AUTH PLAIN"))
    receipt = await attempt(bench, upstream, tls="opportunistic", **login)
    assert (receipt.outcome, receipt.our_trouble) == (Outcome.DEFERRED, True)
    assert "AUTH" not in upstream.commands()


async def test_cancelling_ends_the_connection(bench: Bench) -> None:
    heard = asyncio.Event()
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        await reader.read()
        closed.set()
        writer.close()

    pool = bench.pool(await bench.serve(silent))
    task = asyncio.ensure_future(pool.send(ENVELOPE, CONTENT))
    await heard.wait()
    task.cancel()
    await asyncio.wait([task])
    await closed.wait()
