"""Whatever stands in MAIL or RCPT: a path whose octets are the client's, or a refusal."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from relay.smtp.paths import CommandError, parse_mail, parse_rcpt

WORDS = rb"""< > @ " \ . a y.test =?utf-8?q?=0d?= (c) , ; [1.2.3.4] SIZE=1 = postmaster"""
PIECES = st.sampled_from([*WORDS.split(), b" ", b"\r", b"\0", b"\xff", "ü".encode()])
ARGS = st.one_of(st.binary(max_size=80), st.lists(PIECES, max_size=14).map(b"".join))


def well_refused(error: CommandError) -> bool:
    return error.reply.code in (501, 553, 555) and str(error.reply).isascii()


@given(ARGS, st.booleans())
@example(b'<"\\>"@y.test>', False)
def test_a_recipient_goes_upstream_as_it_came(rest: bytes, smtputf8: bool) -> None:
    try:
        path = parse_rcpt(b"TO:" + rest, "mx.test", smtputf8=smtputf8).path
    except CommandError as error:
        refused = well_refused(error)
        assert refused
        return
    wire = path.wire.encode()
    assert wire in rest or wire.lower() == b"postmaster@mx.test"
    assert not any(octet < 0x20 or octet == 0x7F for octet in wire)
    assert smtputf8 or wire.isascii()
    # Wrapped again it means the same: no spelling of one address reads as another.
    again = parse_rcpt(b"TO:<" + wire + b">", "mx.test", smtputf8=smtputf8).path
    assert again == path


@given(ARGS)
def test_a_sender_is_read_whole_or_refused(rest: bytes) -> None:
    try:
        command = parse_mail(b"FROM:" + rest)
    except CommandError as error:
        refused = well_refused(error)
        assert refused
        return
    assert command.path is not None or rest.strip(b" ").startswith(b"<>")
    assert command.size >= 0
