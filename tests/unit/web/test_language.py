from __future__ import annotations

import pytest

from relay.web.language import LANGUAGES, NAMES, negotiate
from relay.web.rendering import day_text, minute_text, promise_text


@pytest.mark.parametrize(
    ("field", "language"),
    [
        ("", "en"),
        ("nl", "nl"),
        ("NL-be", "nl"),
        ("nl-NL,nl;q=0.9,en-US;q=0.8,en;q=0.7", "nl"),
        ("en-GB,en;q=0.9,nl;q=0.8", "en"),
        ("de,nl;q=0.5,en;q=0.4", "nl"),
        ("de, fr;q=0.5", "en"),
        ("en;q=0, nl;q=0.1", "nl"),
        ("en;q=0.2 , nl ; q=0.3", "nl"),
        ("*;q=0.5, en;q=0.1", "nl"),
        ("*", "en"),
        ("nl;q=0", "en"),
        ("nl;q=2, en;q=0.1", "en"),
        ("nl;q=, en;q=0.1", "en"),
        ("nl;level=1, en;q=0.1", "en"),
        ("nl;q=0.1234,en;q=0.1", "en"),
        (",;,=;q", "en"),
    ],
)
def test_negotiation_by_quality(field: str, language: str) -> None:
    assert negotiate(field) == language


@pytest.mark.parametrize(
    ("promise", "language", "text"),
    [
        ("1/week", "en", "at most once a week"),
        ("2/day", "en", "at most 2 times a day"),
        ("1/month", "nl", "hoogstens één keer per maand"),
        ("3/week", "nl", "hoogstens 3 keer per week"),
        ("now and then", "nl", "now and then"),
        ("0/week", "en", "0/week"),
    ],
)
def test_promise_in_words(promise: str, language: str, text: str) -> None:
    assert promise_text(promise, language) == text


def test_every_language_names_itself() -> None:
    assert LANGUAGES[0] == "en"
    assert set(NAMES) == set(LANGUAGES)
    assert (NAMES["en"], NAMES["nl"]) == ("English", "Nederlands")


def test_dates_in_words() -> None:
    assert day_text(1_780_000_000.0, "en") == "28 May 2026"
    assert minute_text(1_780_000_000.0, "nl") == "28 mei 2026, 20:26 UTC"
