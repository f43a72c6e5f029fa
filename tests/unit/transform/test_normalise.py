from typing import Any

import pytest

from relay.transform.lines import cut
from relay.transform.normalise import ContentRefused, Normalised, Problem, normalise

CLEAN = (
    b"From: a@example.com\r\nDate: Sun, 22 Nov 2026 06:00:00 +0000\r\n"
    b"Message-ID: <1@example.com>\r\nSubject: hi\r\n\r\nbody\r\n.\r\n"
)
NOW = 1_795_327_200.0


def door(content: bytes, **other: Any) -> Normalised:
    settings: dict[str, Any] = {
        "hostname": "relay.example.net",
        "unique": "4XyZ",
        "now": NOW,
        "bare_newlines": "normalise",
        "long_lines": "fold",
        "max_header_bytes": 100_000,
    }
    return normalise(*cut(content), **(settings | other))


def problem(content: bytes, **other: Any) -> Problem:
    with pytest.raises(ContentRefused) as caught:
        door(content, **other)
    return caught.value.problem


def test_a_clean_message_passes_unchanged():
    out = door(CLEAN)
    assert out.header + out.body == CLEAN
    assert out.body == b"body\r\n.\r\n"
    assert out.facts_header == out.header
    assert out.touched == frozenset()
    assert not out.body_touched


def test_a_message_in_normal_form_stays_in_it():
    once = door(b"Subject: x\nBcc: y@example.org\n\n" + b"z" * 3000)
    twice = door(once.header + once.body)
    assert (twice.header, twice.body) == (once.header, once.body)
    assert twice.touched == frozenset()


def test_line_ends_are_mended():
    lf_only = door(CLEAN.replace(b"\r\n", b"\n"))
    assert lf_only.header + lf_only.body == CLEAN
    assert not lf_only.body_touched
    stray = door(CLEAN + b"a\rb\r\r\nc")
    assert stray.body == b"body\r\n.\r\na b \r\nc\r\n"
    assert stray.body_touched


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\r\n"])
def test_line_ends_are_refused_on_request(line_end):
    assert problem(CLEAN + b"x" + line_end, bare_newlines="reject") is Problem.BARE_NEWLINE
    assert door(CLEAN, bare_newlines="reject").header + door(CLEAN).body == CLEAN


def test_a_carriage_return_line_is_no_end_of_the_header():
    out = door(b"From: a@example.com\r\nSubject: x\r\n\r\r\nBcc: b@example.org\r\n\r\nbody\r\n")
    assert out.body == b"body\r\n"
    assert b"Bcc" not in out.header


@pytest.mark.parametrize("content", [b"A: \0\r\n\r\n", CLEAN + b"\0"])
def test_nul_is_refused(content):
    assert problem(content) is Problem.NUL


def test_long_lines_are_folded_in_header_and_body():
    out = door(CLEAN.replace(b"hi", b"hi " * 700) + b"z" * 3000 + b"\r\n")
    assert max(len(line) for line in (out.header + out.body).split(b"\r\n")) <= 998
    assert out.touched == {"subject"}
    assert out.body_touched


@pytest.mark.parametrize("content", [CLEAN + b"z" * 999, CLEAN.replace(b"hi", b"h" * 999)])
def test_long_lines_are_refused_on_request(content):
    assert problem(content, long_lines="reject") is Problem.LONG_LINE


def test_a_name_that_cannot_be_folded_is_refused():
    assert problem(b"N" * 1200 + b": x\r\n\r\n") is Problem.MALFORMED_HEADER


def test_the_header_block_has_a_limit_in_octets():
    header = CLEAN[: CLEAN.index(b"\r\n\r\n") + 4]
    assert door(CLEAN, max_header_bytes=len(header)).header == header
    assert problem(CLEAN, max_header_bytes=len(header) - 1) is Problem.HEADER_TOO_LARGE
    assert problem(b"A: x\r\n" * 100, max_header_bytes=500) is Problem.HEADER_TOO_LARGE


@pytest.mark.parametrize(
    "content",
    [
        b"just text\r\n",
        b"From: a@example.com\r\njust text\r\n\r\nbody\r\n",
        b" fold first\r\nFrom: a@example.com\r\n\r\n",
        b"From a@example.com Sun Nov 22 06:00:00 2026\r\njust text\r\n\r\n",
    ],
)
def test_a_line_that_is_neither_field_nor_fold_is_refused(content):
    assert problem(content) is Problem.MALFORMED_HEADER


@pytest.mark.parametrize("line", [b"From a@example.com Sun Nov 22 06:00:00 2026", b">From b"])
def test_an_mbox_separator_before_the_header_is_dropped(line):
    out = door(line + b"\r\n" + CLEAN)
    assert out.header + out.body == CLEAN


def test_an_obsolete_space_before_the_colon_is_no_mbox_separator():
    content = CLEAN.replace(b"From: ", b"From : ")
    assert door(content).header + door(content).body == content


def test_a_message_without_empty_line_has_no_body():
    out = door(CLEAN.split(b"\r\n\r\n")[0])
    assert out.header == CLEAN.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert out.body == b""


@pytest.mark.parametrize(("content", "body"), [(b"", b""), (b"\r\n", b""), (b"\nx", b"x\r\n")])
def test_a_message_without_header_gets_one(content, body):
    out = door(content)
    assert out.header == (
        b"Date: Sun, 22 Nov 2026 06:00:00 +0000\r\nMessage-ID: <4XyZ@relay.example.net>\r\n\r\n"
    )
    assert out.body == body
    assert out.touched == {"date", "message-id"}


@pytest.mark.parametrize(
    ("came", "leaves"),
    [
        (b"From: wordpress", b"From: wordpress@relay.example.net"),
        (b"From:root (Cron Daemon)", b"From:root@relay.example.net (Cron Daemon)"),
        (b'from: "Cron" <root>', b'from: "Cron" <root@relay.example.net>'),
        (b"From: <www-data> ", b"From: <www-data@relay.example.net> "),
        (b"From: a@example.com", b"From: a@example.com"),
        (b'From: "a@b" <root>', b'From: "a@b" <root>'),
        (b"From: two words", b"From: two words"),
        (b"From: Cron <root", b"From: Cron <root"),
        (b"From: root>", b"From: root>"),
        (b"From: a, b", b"From: a, b"),
        (b"From:", b"From:"),
    ],
)
def test_a_bare_from_is_qualified(came, leaves):
    out = door(CLEAN.replace(b"From: a@example.com", came))
    assert out.header == CLEAN.split(b"body")[0].replace(b"From: a@example.com", leaves)
    assert out.touched == ({"from"} if came != leaves else frozenset())


def test_what_must_not_leave_is_removed_but_can_still_be_read():
    private = (
        b"Bcc: secret@example.org\r\nBCC:\r\n more@example.org\r\nresent-bcc: x@example.org\r\n"
        b"Return-Path: <r@example.com>\r\nX-Consent-List: news\r\nx-consent-anything: 1\r\n"
    )
    out = door(private + CLEAN)
    assert out.header + out.body == CLEAN
    assert out.facts_header == private + out.header
    assert out.touched == {
        "bcc",
        "resent-bcc",
        "return-path",
        "x-consent-list",
        "x-consent-anything",
    }


SIGNATURE = b"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; h=from:subject:date; b=x\r\n"


@pytest.mark.parametrize(
    ("content", "stays"),
    [
        (CLEAN, True),
        (CLEAN.replace(b"\r\n", b"\n"), True),
        (b"Bcc: b@example.org\r\n" + CLEAN, True),
        (CLEAN + b"a\rb\r\n", False),
        (CLEAN + b"z" * 3000, False),
        (CLEAN.replace(b"hi", b"hi " * 700), False),
        (CLEAN.replace(b"Date", b"X-Date"), False),
        (CLEAN.replace(b"Message-ID", b"X-Message-ID"), True),
    ],
)
def test_a_signature_of_the_tenant_goes_when_the_door_breaks_it(content, stays):
    assert (b"DKIM-Signature" in door(SIGNATURE + content).header) is stays
