"""Command lines before anyone asks what they mean."""

from __future__ import annotations

import pytest

from relay.smtp.verbs import hello_name, is_other_protocol, is_too_long


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1", b"Host: x", b"X-A:", b"\x16\x03\x01", b"{}", b"<html>", b" EHLO x"]
)
def test_other_protocols(line: bytes) -> None:
    assert is_other_protocol(line.split(b" ")[0].upper(), line)


@pytest.mark.parametrize("line", [b"", b"FOO", b"XCLIENT ADDR=1", b"ETRN x:y"])
def test_commands_that_we_do_not_know(line: bytes) -> None:
    assert not is_other_protocol(line.split(b" ")[0], line)


@pytest.mark.parametrize(
    "name", ["a", "client.test", "my_pc", "localhost.", "[192.0.2.1]", "[IPv6:2001:db8::1]"]
)
def test_names(name: str) -> None:
    assert hello_name(name.encode()) == name


@pytest.mark.parametrize("name", [b"", b"-a", b"a b", b"a\rb", b"a\0", b"[a b]", b"\xff", b"(x)"])
def test_no_names(name: bytes) -> None:
    assert hello_name(name) == "unknown"


@pytest.mark.parametrize(("verb", "limit"), [(b"NOOP", 510), (b"MAIL", 1063), (b"AUTH", 12_288)])
def test_lengths(verb: bytes, limit: int) -> None:
    assert not is_too_long(verb, b"x" * limit)
    assert is_too_long(verb, b"x" * (limit + 1))
