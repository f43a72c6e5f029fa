"""A notice is one value with one digest, and says who gets the address (B5-B11, B30)."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.decide.notice import Notice, NoticeRefused, canonical, check, digest, from_json

NOTICE = Notice(
    language="nl",
    purpose="Fietsnieuws",
    promise="1/week",
    sender="Snelle Wielen",
    party="Winkel BV",
    postal_address="Straat 1, Stad",
    registration="12345678",
    contact="info@winkel.test",
    third_parties="",
    question="Ja, stuur mij fietsnieuws — één keer per week.",
)
NAMES = [field.name for field in fields(Notice)]


def test_the_digest_is_of_the_canonical_json() -> None:
    assert canonical(NOTICE).startswith('{"contact":"info@winkel.test","language":"nl",')
    assert "—" in canonical(NOTICE)
    assert digest(NOTICE) == "".join(digest(replace(NOTICE)))
    assert len(digest(NOTICE)) == 64


@pytest.mark.parametrize("name", NAMES)
def test_every_word_counts(name: str) -> None:
    assert digest(replace(NOTICE, **{name: "x"})) != digest(NOTICE)


@given(st.builds(Notice, **{name: st.text() for name in NAMES}))
def test_what_was_kept_is_read_back(notice: Notice) -> None:
    assert from_json(json.loads(canonical(notice))) == notice


def test_json_of_something_else_is_refused() -> None:
    with pytest.raises(KeyError):
        from_json({"purpose": "x"})


def test_an_informed_notice_passes() -> None:
    check(NOTICE)
    check(replace(NOTICE, third_parties="Example BV, Sample Ltd"))
    check(replace(NOTICE, party="Jansen & Partners", sender="Jansen & Partners"))
    named = "Yes, send me the news from Partners in Care Ltd and Care."
    check(replace(NOTICE, party="Partners in Care Ltd", sender="Care", question=named))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"purpose": ""}, "the purpose is empty"),
        ({"question": "  "}, "the question is empty"),
        ({"purpose": "Van onze partners"}, '"onze partners" in the purpose'),
        ({"question": "Also from trusted partners?"}, '"trusted partners" in the question'),
        ({"question": "From s\u0435lected partners?"}, "mixes alphabets that look alike"),
        ({"third_parties": "advertisers"}, '"advertisers" in the third parties'),
        ({"question": "?" * 2_001}, "more than 2000 characters"),
        ({"purpose": "?" * 1_001}, "more than 1000 characters"),
    ],
)
def test_others_are_refused_with_what_to_write(changed: dict[str, str], words: str) -> None:
    with pytest.raises(NoticeRefused, match=words):
        check(replace(NOTICE, **changed))
