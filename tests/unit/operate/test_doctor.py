"""Each check of the doctor, against real files, a real SMTP server and a real DNS server."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dns.asyncresolver
import dns.message
import dns.rrset
import pytest

from relay.operate import doctor, keyfiles
from relay.operate.context import Context
from relay.operate.operations import OPERATIONS
from relay.settings import Settings, Upstream
from relay.transform.sign import dns_record, generate_key
from tests.support.ports import free_port

NAME = "relay1._domainkey.shop.example"


def test_rights(tmp_path: Path) -> None:
    keyfiles.make(tmp_path)
    tmp_path.chmod(0o700)
    assert all(check.ok for check in doctor.check_rights(tmp_path))
    (tmp_path / "keys" / "pepper").chmod(0o640)
    data, files = doctor.check_rights(tmp_path)
    assert (data.ok, files.ok) == (True, False)
    assert str(tmp_path / "keys" / "pepper") in files.detail
    assert "chmod" in files.next
    tmp_path.chmod(0o755)
    assert not next(iter(doctor.check_rights(tmp_path))).ok


def test_disk(tmp_path: Path) -> None:
    assert doctor.check_disk(Settings.model_validate({"data_dir": tmp_path})).ok
    tight = {"data_dir": tmp_path, "store": {"min_free_bytes": 2**60}}
    assert not doctor.check_disk(Settings.model_validate(tight)).ok


def test_clock(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    store.write_bytes(b"")
    os.utime(store, (1_800_000_000, 1_800_000_000))
    assert doctor.check_clock(tmp_path, 1_800_000_000).ok
    assert not doctor.check_clock(tmp_path, 1_799_990_000).ok


@pytest.mark.parametrize(
    ("version", "bug"),
    [
        ((3, 40, 1), True),
        ((3, 44, 6), False),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 3), False),
    ],
)
def test_sqlite(version: tuple[int, ...], bug: bool) -> None:
    check = doctor.check_sqlite(version)
    assert check.ok
    assert ("has the WAL-reset bug" in check.detail) is bug


class Smtp:
    """Answers every connection with a fixed list of replies."""

    def __init__(self, *replies: bytes) -> None:
        self._replies = replies
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rb") as lines:
            for reply in self._replies:
                connection.sendall(reply)
                if not lines.readline():
                    return

    def close(self) -> None:
        self._socket.close()
        self._thread.join()


@pytest.mark.parametrize(
    ("replies", "tls", "ok", "words"),
    [
        ((b"220 hi\r\n", b"250 hi\r\n", b"221 bye\r\n"), "opportunistic", True, "answers"),
        ((b"220 hi\r\n", b"250 hi\r\n", b"221 bye\r\n"), "verify", False, "no STARTTLS"),
        ((b"554 go away\r\n", b"221 bye\r\n"), "none", False, "it says 554"),
        ((b"220 hi\r\n", b"550 no\r\n", b"550 no\r\n", b"221 bye\r\n"), "none", False, "550"),
    ],
)
def test_upstream(replies: tuple[bytes, ...], tls: str, ok: bool, words: str) -> None:
    server = Smtp(*replies)
    upstream = Upstream.model_validate({"address": server.address, "tls": tls})
    check = doctor.check_upstream(upstream, "relay.test")
    server.close()
    assert check.ok is ok
    assert words in check.detail
    assert bool(check.next) is not ok


def test_upstream_that_is_not_there() -> None:
    check = doctor.check_upstream(Upstream(address=f"127.0.0.1:{free_port()}"), "relay.test")
    assert not check.ok
    assert "refused" in check.detail


@pytest.fixture
def web() -> Iterator[str]:
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Healthy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_public_url(web: str) -> None:
    loopback = doctor.check_public_url(web)
    assert not loopback.ok
    assert "this machine alone" in loopback.detail
    assert "status 404" in doctor.check_public_url(f"{web}/elsewhere").detail
    gone = doctor.check_public_url(f"http://127.0.0.1:{free_port()}")
    assert "start the relay" in gone.next


class Dns(asyncio.DatagramProtocol):
    """Answers TXT questions from ``records``; says nothing at all while ``mute``."""

    records: dict[str, str]
    mute = False

    transport: asyncio.DatagramTransport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.mute:
            return
        answer = dns.message.make_response(dns.message.from_wire(data))
        name = answer.question[0].name
        value = self.records.get(name.to_text(omit_final_dot=True))
        if value is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            parts = " ".join(f'"{value[at : at + 200]}"' for at in range(0, len(value), 200))
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", parts))
        self.transport.sendto(answer.to_wire(), addr)


@pytest.fixture
async def names() -> AsyncIterator[tuple[Dns, dns.asyncresolver.Resolver]]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        Dns, local_addr=("127.0.0.1", 0)
    )
    server.records, server.transport = {}, transport
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    resolver.lifetime = 5.0
    yield server, resolver
    transport.close()


@pytest.fixture(scope="module")
def pem() -> bytes:
    return generate_key()


async def test_dkim(
    names: tuple[Dns, dns.asyncresolver.Resolver], pem: bytes, tmp_path: Path
) -> None:
    server, resolver = names
    file = tmp_path / "relay1.pem"
    file.write_bytes(pem)

    async def look() -> doctor.Check:
        return await doctor.check_dkim("shop.example", "relay1", file, resolver)

    assert "has no TXT record" in (await look()).detail
    server.records[NAME] = "v=DKIM1; k=rsa; p=AAAA"
    assert "holds another key" in (await look()).detail
    # As zone files are written: other tags, white space inside the key, several strings.
    value = dns_record(pem)
    half = len(value) // 2
    server.records[NAME] = f"{value[:half]} {value[half:]}; t=s"
    assert (await look()).ok
    server.mute, resolver.lifetime = True, 0.2
    silent = await look()
    assert not silent.ok
    assert "cannot be looked up" in silent.detail


async def test_dkim_without_resolver_or_key(pem: bytes, tmp_path: Path) -> None:
    file = tmp_path / "relay1.pem"
    gone = await doctor.check_dkim("shop.example", "relay1", file, None)
    assert "cannot be used" in gone.detail
    file.write_bytes(pem)
    blind = await doctor.check_dkim("shop.example", "relay1", file, None)
    assert "no DNS resolver" in blind.detail


async def test_the_whole_round(context: Context) -> None:
    context.settings = context.settings.model_copy(
        update={"upstream": Upstream(address=f"127.0.0.1:{free_port()}")}
    )
    checks = await OPERATIONS.call(context, "doctor", {})
    assert isinstance(checks, list)
    names = [check["check"] for check in checks]  # type: ignore[index,call-overload]
    assert names[:2] == ["data directory", "key files"]
    assert {"disk", "clock", "sqlite", "rulebooks", "upstream", "unsubscribe url"} <= set(names)
    for check in checks:
        assert set(check) == {"check", "ok", "detail", "next"}  # type: ignore[arg-type]
