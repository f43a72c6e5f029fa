from __future__ import annotations

import pytest

from relay.decide.address import AddressError, mask, one_spelling, parse_address, within


@pytest.mark.parametrize(
    ("text", "local", "domain", "exact", "wide"),
    [
        ("jan@example.nl", "jan", "example.nl", "jan@example.nl", "jan@example.nl"),
        ("Jan@Example.NL", "Jan", "example.nl", "jan@example.nl", "jan@example.nl"),
        ("jan@example.nl.", "jan", "example.nl", "jan@example.nl", "jan@example.nl"),
        ('"jan"@example.nl', "jan", "example.nl", "jan@example.nl", "jan@example.nl"),
        ('"j\\an"@example.nl', "jan", "example.nl", "jan@example.nl", "jan@example.nl"),
        ('"a b"@x.test', "a b", "x.test", "a b@x.test", "a b@x.test"),
        ('"a@b"@x.test', "a@b", "x.test", "a@b@x.test", "a@b@x.test"),
        ("jan+news@x.test", "jan+news", "x.test", "jan+news@x.test", "jan@x.test"),
        ("+news@x.test", "+news", "x.test", "+news@x.test", "+news@x.test"),
        ("a-b@x.test", "a-b", "x.test", "a-b@x.test", "a-b@x.test"),
        ("a.b@x.test", "a.b", "x.test", "a.b@x.test", "a.b@x.test"),
        ("A.B+c@gmail.com", "A.B+c", "gmail.com", "a.b+c@gmail.com", "ab@gmail.com"),
        ("a.b@googlemail.com", "a.b", "googlemail.com", "a.b@googlemail.com", "ab@gmail.com"),
        ("x@bücher.test", "x", "xn--bcher-kva.test", "x@xn--bcher-kva.test", None),
        ("x@xn--bcher-kva.test", "x", "xn--bcher-kva.test", "x@xn--bcher-kva.test", None),
        ("x@BÜCHER.test", "x", "xn--bcher-kva.test", "x@xn--bcher-kva.test", None),
        ("x@faß.test", "x", "xn--fa-hia.test", "x@xn--fa-hia.test", None),
        ("x@r3---a.example", "x", "r3---a.example", "x@r3---a.example", None),
        ("x@localhost", "x", "localhost", "x@localhost", "x@localhost"),
        ("x@[192.0.2.1]", "x", "[192.0.2.1]", "x@[192.0.2.1]", None),
        ("x@[IPv6:2001:DB8:0::1]", "x", "[ipv6:2001:db8::1]", "x@[ipv6:2001:db8::1]", None),
        ("jo\u0308rg@x.test", "jörg", "x.test", "jörg@x.test", None),
        ("JÖRG@x.test", "JÖRG", "x.test", "jörg@x.test", None),
        ("ｊａｎ@x.test", "ｊａｎ", "x.test", "ｊａｎ@x.test", "jan@x.test"),
        ("=?utf-8?q?victim?=@x.test", "=?utf-8?q?victim?=", "x.test", None, None),
    ],
)
def test_keys(text: str, local: str, domain: str, exact: str | None, wide: str | None) -> None:
    address = parse_address(text)
    assert address.wire == text
    assert (address.local, address.domain) == (local, domain)
    assert exact is None or address.exact == exact
    assert wide is None or address.wide == wide


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "x",
        "x@",
        "@x.test",
        "x@@x.test",
        ".x@x.test",
        "x.@x.test",
        "x..y@x.test",
        "x@x..test",
        "x@.x.test",
        "x@x.test..",
        "x@-x.test",
        "x@x-.test",
        "x@x_y.test",
        "x@ü_y.test",
        "x y@x.test",
        " x@x.test",
        "x@x.test ",
        "x@ y.test",
        "<x@x.test>",
        "(c)x@x.test",
        "x@x.test(c)",
        "@relay.test:x@x.test",
        "x@y.test\x0cz",
        "x@y.test\x00.evil.test",
        "x\r\nRSET@y.test",
        '"x\r RCPT"@y.test',
        '"x\x7f"@y.test',
        '"x"y@x.test',
        '"x@x.test',
        '""@x.test',
        "x\x80@x.test",
        "x\u200b@x.test",
        "x@exa\u00admple.test",
        "x@exa\u200dmple.test",
        "x\u3164@x.test",
        "x\ufe0f@x.test",
        "x\u00a0@x.test",
        "x\u2028@x.test",
        f"x{chr(0xDCFF)}@x.test",
        "x\ufffd@x.test",
        "p\u0430ypal@x.test",
        "x@p\u0430ypal.test",
        "x@xn--pypal-4ve.test",
        "x@1.2.3.4",
        "x@[1.2.3]",
        "x@[01.2.3.4]",
        "x@[1.2.3.4",
        "x@[IPv6:fe80::1%eth0]",
        "x@[IPv6:1.2.3.4]",
        "x@[tag:content]",
        "x@💩.test",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


@pytest.mark.parametrize(
    ("fits", "too_long"),
    [
        ("a" * 64 + "@x.test", "a" * 65 + "@x.test"),
        ("é" * 32 + "@x.test", "é" * 33 + "@x.test"),
        ("x@" + "a" * 63 + ".test", "x@" + "a" * 64 + ".test"),
        ("x@" + "a." * 125 + "bc", "x@" + "a." * 125 + "bcd"),
    ],
)
def test_lengths(fits: str, too_long: str) -> None:
    assert parse_address(fits).wire == fits
    with pytest.raises(AddressError):
        parse_address(too_long)


def test_error_does_not_repeat_the_input() -> None:
    with pytest.raises(AddressError) as caught:
        parse_address("secret person@x.test")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("jan@example.nl", "j•••@e••••••.nl"),
        ("j@e.nl", "j•••@e••••••.nl"),
        ("jan@mail.example.co.uk", "j•••@m••••••.uk"),
        ("jan@localhost", "j•••@l••••••"),
        ("jan@[192.0.2.1]", "j•••@[••••••]"),
        ("nothing", "•••"),
        ("@", "•••"),
        ("", "•••"),
    ],
)
def test_mask(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_within() -> None:
    assert within("host.test", ("host.test",))
    assert within("a.host.test", ("x.test", "host.test"))
    assert not within("ahost.test", ("host.test",))
    assert not within("host.test", ())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Anna.X@People.test", "anna.x@people.test"),
        ('"Anna"@people.test', "anna@people.test"),
        ('"John \\"J\\" Doe"@people.test', '"john \\"j\\" doe"@people.test'),
        ("é@MÜNCHEN.de", "é@xn--mnchen-3ya.de"),
        ("no address", "no address"),
    ],
)
def test_one_spelling_stands_for_all_of_a_mailbox(text: str, shown: str) -> None:
    assert one_spelling(text) == one_spelling(shown) == shown
