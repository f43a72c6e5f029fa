from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model import Reason
from relay.observe.lines import (
    Arrived,
    Fate,
    Queued,
    hashed,
    printable,
    shown,
    without_addresses,
)

EVIL = "\r\n\0\x0b\x0c\x1b\x1c\x1d\x1e\x85\u2028\u2029\u202e\u200b\ud800\x7f"

_READABLE = re.compile(
    r"(?P<id>\w+): to=<(?P<to>[^<>]*)>, relay=(?P<relay>[^,]+), delay=(?P<delay>[^,]+),"
    r" dsn=(?P<dsn>[^,]+), status=(?P<status>\w+) \((?P<reply>.*)\), tenant=(?P<tenant>[\w-]+),"
    r" list=(?P<list>[\w-]+), reason=(?P<reason>[\w-]+), rule=(?P<rule>[\w/-]+)"
)


def test_fate_reads_like_postfix_with_our_fields_last() -> None:
    fate = Fate(
        id="F00D",
        to="bob@example.org",
        status="sent",
        reply="250 2.0.0 Ok: queued as 4711",
        relay="mx.test[192.0.2.1]:25",
        delay=1.234,
        dsn="2.0.0",
        tenant="shop",
        list="news",
    )
    assert fate.text(shown) == (
        "F00D: to=<bob@example.org>, relay=mx.test[192.0.2.1]:25, delay=1.23, dsn=2.0.0,"
        " status=sent (250 2.0.0 Ok: queued as 4711), tenant=shop, list=news, reason=-, rule=-"
    )


@pytest.mark.parametrize(
    ("status", "program"),
    [("sent", "smtp"), ("deferred", "smtp"), ("bounced", "smtp"), ("expired", "smtp")]
    + [(word, "policy") for word in ("held", "dropped", "rejected")],
)
def test_program_is_policy_for_what_we_decided(status: str, program: str) -> None:
    assert Fate("F00D", "b@x.test", status, "x").program == program


def test_a_held_copy_says_why() -> None:
    held = Fate(
        "F00D",
        "b@x.test",
        "held",
        "no consent on record",
        dsn="5.7.1",
        tenant="shop",
        list="news",
        reason=Reason.NO_CONSENT,
        rule="strict-opt-in/no-consent",
    )
    assert held.text(shown).endswith(
        "status=held (no consent on record), tenant=shop, list=news, reason=no-consent,"
        " rule=strict-opt-in/no-consent"
    )


def test_acceptance_lines() -> None:
    assert Arrived("F00D", "192.0.2.7", "shop-wp", "shop").text(shown) == (
        "F00D: client=unknown[192.0.2.7], sasl_username=shop-wp, tenant=shop"
    )
    assert Queued("F00D", "", 4000, 2, "shop", "", "personal").text(shown) == (
        "F00D: from=<>, size=4000, nrcpt=2 (queue active), tenant=shop, list=-, kind=personal"
    )


@given(st.text(st.characters(codec=None, categories=None), max_size=60).map(lambda s: s + EVIL))
def test_nothing_unprintable_survives(text: str) -> None:
    out = printable(text)
    assert len(out.splitlines()) == 1
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in out)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=80), st.text(max_size=20))
def test_no_foreign_text_can_forge_a_field(to: str, relay: str, reply: str, dsn: str) -> None:
    forged = "x>, relay=evil, status=sent (250 ok), tenant=evil, list=evil, reason=-, rule=-"
    for a, b, c, d in ((to, relay, reply, dsn), (forged,) * 4):
        line = Fate(
            "F00D", a, "deferred", c, relay="r" + b, dsn="4" + d, tenant="shop", list="news"
        ).text(shown)
        found = _READABLE.fullmatch(line)
        assert found
        assert (found["status"], found["tenant"], found["list"]) == ("deferred", "shop", "news")


def test_hash_is_keyed_stable_and_hides_the_address() -> None:
    one, other = hashed(b"1" * 32), hashed(b"2" * 32)
    assert one("bob@example.org") == one("bob@example.org")
    assert one("bob@example.org") != other("bob@example.org")
    assert re.fullmatch("[0-9a-f]{32}", one("bob@example.org"))
    assert one("") == "", "the null reverse-path names nobody"


def test_addresses_are_taken_out_of_replies() -> None:
    assert without_addresses("550 <bob.o'x+y@example.org>: user unknown") == (
        "550 <[address]>: user unknown"
    )
    assert without_addresses("250 2.0.0 Ok") == "250 2.0.0 Ok"
