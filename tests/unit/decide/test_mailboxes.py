from __future__ import annotations

import pytest

from relay.decide.mailboxes import MAX_MAILBOXES, MailboxError, decoded, read_mailboxes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@x.test", [("", "a@x.test")]),
        ("<a@x.test>", [("", "a@x.test")]),
        ("Jan <a@x.test>", [("Jan", "a@x.test")]),
        ("Jan < a@x.test >", [("Jan", "a@x.test")]),
        ("John Q. Public <a@x.test>", [("John Q. Public", "a@x.test")]),
        ('"Acme, Inc." <a@x.test>', [("Acme, Inc.", "a@x.test")]),
        ('"a \\"b\\"" <a@x.test>', [('a "b"', "a@x.test")]),
        ("[Acme] Support <a@x.test>", [("[Acme] Support", "a@x.test")]),
        ("A@x.test <a@x.test>", [("a@x.test", "a@x.test")]),
        ("a@x.test (Jan (the one))", [("", "a@x.test")]),
        ("Jan (c\\)d) <a@x.test> (e)", [("Jan", "a@x.test")]),
        ('"j d"@x.test', [("", '"j d"@x.test')]),
        ("a@x.test, B <b@y.test>", [("", "a@x.test"), ("B", "b@y.test")]),
        ("Team: a@x.test, B <b@y.test>;", [("", "a@x.test"), ("B", "b@y.test")]),
        (
            "c@z.test, Team: a@x.test;, d@z.test",
            [("", "c@z.test"), ("", "a@x.test"), ("", "d@z.test")],
        ),
        ("undisclosed:;", []),
        ("=?utf-8?q?J=C3=B6rg?= <a@x.test>", [("Jörg", "a@x.test")]),
        ("=?utf-8?b?SsO2?= =?utf-8?b?cmc=?= <a@x.test>", [("Jörg", "a@x.test")]),
        ("Jörg <jörg@x.test>", [("Jörg", "jörg@x.test")]),
        ("x <a@[192.0.2.1]>", [("x", "a@[192.0.2.1]")]),
    ],
)
def test_read(text: str, expected: list[tuple[str, str]]) -> None:
    boxes = read_mailboxes(text)
    assert [(box.display, box.address.wire) for box in boxes] == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Jan",
        "a@x.test,",
        ",a@x.test",
        "a@x.test,,b@x.test",
        "a @ x.test",
        "a@(c)x.test",
        "a@x.test b@x.test",
        "<a@x.test",
        "a@x.test>",
        "<<a@x.test>>",
        "<a@x.test> <b@x.test>",
        "<a@x.test> trailing",
        "<@relay.test:a@x.test>",
        "<@relay.test,@b.test:a@x.test>",
        "<a@x.test, b@x.test>",
        "victim@bank.test <a@x.test>",
        "Acme, Inc. <a@x.test>",
        "Team: a@x.test",
        "Team: Sub: a@x.test;;",
        "Team: a@x.test; b@x.test",
        "Team: a@x.test;;",
        ": a@x.test;",
        "a@x.test;",
        '"open <a@x.test>',
        "(open <a@x.test>",
        "a) <a@x.test>",
        "[open <a@x.test>",
        "a\\b <a@x.test>",
        "Jan <a@x.test\x00>",
        "Jan <>",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(MailboxError):
        read_mailboxes(text)


def test_bounds() -> None:
    most = ", ".join(["a@x.test"] * MAX_MAILBOXES)
    assert len(read_mailboxes(most)) == MAX_MAILBOXES
    for hostile in (most + ", a@x.test", "(" * 2_000, '"a" ' * 20_000, "(" * 9_000, "a" * 9_000):
        with pytest.raises(MailboxError):
            read_mailboxes(hostile)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?caf=C3=A9?= au lait", "café au lait"),
        ("=?nonsense?q?abc?=", "=?nonsense?q?abc?="),
        ("=?hex?q?abc?=", "=?hex?q?abc?="),
        ("=?utf-8?b?a?=", "=?utf-8?b?a?="),
        ("=?utf-8?q?a=0D=0AFrom:_b?=", "a From: b"),
        ("a\x0bb\x85c\u2028d", "a b c d"),
        ("a\x1b[31mb\u202ec", "a[31mbc"),
    ],
)
def test_decoded(text: str, shown: str) -> None:
    assert decoded(text, 200) == shown


def test_decoded_is_bounded() -> None:
    assert decoded("x" * 5_000, 200) == "x" * 200
