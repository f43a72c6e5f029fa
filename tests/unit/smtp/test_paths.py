"""MAIL and RCPT arguments, on octets."""

from __future__ import annotations

import pytest

from relay.smtp import reply
from relay.smtp.paths import CommandError, parse_mail, parse_rcpt
from relay.smtp.reply import Reply

HOST = "mx.relay.test"


def refused(arg: bytes, *, mail: bool = False, smtputf8: bool = False) -> Reply:
    with pytest.raises(CommandError) as caught:
        parse_mail(arg) if mail else parse_rcpt(arg, HOST, smtputf8=smtputf8)
    return caught.value.reply


@pytest.mark.parametrize(
    ("arg", "wire"),
    [
        (b"TO:<b@y.test>", "b@y.test"),
        (b"to: <b@y.test> ", "b@y.test"),
        (b'TO:<"a > b"@y.test>', '"a > b"@y.test'),
        (b'TO:<"a\\">b"@y.test>', '"a\\">b"@y.test'),
        (b"TO:<b@[192.0.2.1]>", "b@[192.0.2.1]"),
        (b"TO:<b@[IPv6:2001:db8::1]>", "b@[IPv6:2001:db8::1]"),
        (b"TO:<postmaster>", "postmaster@mx.relay.test"),
        (b"TO:<POSTMASTER>", "POSTMASTER@mx.relay.test"),
        (b"TO:<a+b!#$%&'*/=?^_`{|}~-@y.test>", "a+b!#$%&'*/=?^_`{|}~-@y.test"),
    ],
)
def test_recipients(arg: bytes, wire: str) -> None:
    assert parse_rcpt(arg, HOST).path.wire == wire


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"b@y.test",
        b"<>",
        b"< >",
        b"<b>",
        b"<b@y.test",
        b"<b@y.test>>",
        b"<b@y.test>x",
        b"<b@y.test>,<c@y.test>",
        b"<<b@y.test>>",
        b"<b @y.test>",
        b"<b@y.test >",
        b"<@r.test:b@y.test>",
        b"<(c)b@y.test>",
        b"<b@y.test(c)>",
        b"<b@y.test\x00>",
        b"<b@y.test\r>",
        b'<"b\n"@y.test>',
        b'<"b\x7f"@y.test>',
        b'<"b@y.test>',
        b"<b@-y.test>",
        b"<b@y..test>",
        b"<.b@y.test>",
        b"<b@y@z.test>",
        b"<\xff@y.test>",
        b"<" + b"x" * 65 + b"@y.test>",
        b"<b@" + b"y." * 130 + b"test>",
    ],
)
def test_what_is_no_path(path: bytes) -> None:
    answer = refused(b"TO:" + path, smtputf8=True)
    assert answer.code == 501
    assert answer.enhanced in ("5.1.3", "5.5.4")


def test_a_refused_sender_says_so() -> None:
    assert refused(b"FROM:<a@>", mail=True) is reply.BAD_SENDER
    assert refused(b"TO:<a@x.test>", mail=True) is reply.MAIL_SYNTAX


def test_null_sender_is_none() -> None:
    assert parse_mail(b"FROM:<>").path is None


def test_parameters_keep_the_case_of_their_values() -> None:
    command = parse_mail(b"FROM:<a@x.test> size=12 Auth=eXample+2B SMTPUTF8 body=8BitMime")
    assert command.size == 12
    assert command.smtputf8
    assert command.params == {
        "SIZE": "12",
        "AUTH": "eXample+2B",
        "SMTPUTF8": "",
        "BODY": "8BitMime",
    }


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        (b"RET=FULL", reply.UNKNOWN_PARAMETER),
        (b"ENVID=x", reply.UNKNOWN_PARAMETER),
        (b"SIZE", reply.BAD_PARAMETER),
        (b"SIZE=", reply.BAD_PARAMETER),
        (b"SIZE=-1", reply.BAD_PARAMETER),
        (b"SIZE=123456789012345678901", reply.BAD_PARAMETER),
        (b"SIZE=\xd9\xa1", reply.BAD_PARAMETER),
        (b"BODY", reply.BAD_PARAMETER),
        (b"BODY=BINARYMIME", reply.BAD_PARAMETER),
        (b"SMTPUTF8=1", reply.BAD_PARAMETER),
        (b"SIZE=1 size=1", reply.BAD_PARAMETER),
        (b"AUTH=a\tb", reply.BAD_PARAMETER),
        (b"AUTH=a=b", reply.BAD_PARAMETER),
        (b"-X=1", reply.BAD_PARAMETER),
    ],
)
def test_bad_parameters(parameters: bytes, answer: Reply) -> None:
    assert refused(b"FROM:<a@x.test> " + parameters, mail=True) is answer


def test_recipient_parameters_are_unknown() -> None:
    assert refused(b"TO:<b@y.test> NOTIFY=NEVER") is reply.UNKNOWN_PARAMETER


def test_non_ascii_wants_smtputf8() -> None:
    arg = "TO:<b@bücher.test>".encode()
    assert refused(arg) is reply.NEEDS_SMTPUTF8
    assert parse_rcpt(arg, HOST, smtputf8=True).path.domain == "xn--bcher-kva.test"
    assert refused("FROM:<jörg@x.test>".encode(), mail=True) is reply.NEEDS_SMTPUTF8
    sender = parse_mail("FROM:<jörg@x.test> SMTPUTF8".encode()).path
    assert sender is not None
    assert sender.local == "jörg"
