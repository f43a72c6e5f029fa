"""Marks of a confirmation that looks automated (A4, A5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.decide.automation import Confirming, automation, marks
from relay.model import Automation

SENT = 1_800_000_000.0
PERSON = Confirming(
    at=SENT + 60,
    ip="198.51.100.7",
    user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    sent_at=SENT,
    fetched_at=SENT + 50,
)
SCANNERS = ("192.0.2.0/24", "2001:db8::/32")


def found(**changed: Any) -> tuple[str, ...]:
    return marks(replace(PERSON, **changed), seconds_after_sending=2.0, scanner_networks=SCANNERS)


def test_a_person_is_not_marked() -> None:
    assert found() == ()


@pytest.mark.parametrize(
    ("changed", "mark"),
    [
        ({"fetched_at": None}, ("no-page-fetch",)),
        ({"at": SENT + 1.9, "fetched_at": SENT + 1}, ("seconds-after-sending",)),
        ({"at": SENT + 2.0, "fetched_at": SENT + 1}, ()),
        ({"fetched_at": SENT + 59.6}, ("seconds-after-fetch",)),
        ({"fetched_at": SENT + 59.5}, ()),
        ({"ip": "192.0.2.9"}, ("scanner-network",)),
        ({"ip": "::ffff:192.0.2.9"}, ("scanner-network",)),
        ({"ip": "2001:db8::1"}, ("scanner-network",)),
        ({"ip": "not an address"}, ()),
        ({"user_agent": "curl/8.5.0"}, ("scanner-agent",)),
        ({"user_agent": "Mozilla/5.0 HeadlessChrome/120"}, ("scanner-agent",)),
        ({"user_agent": "Mozilla/5.0 (compatible; SomeBot/2.1)"}, ("scanner-agent",)),
        ({"user_agent": " "}, ("scanner-agent",)),
        ({"user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Mobile/15E148"}, ()),
        ({"user_agent": "Mozilla/5.0 (Linux; Android 14; CUBOT X70) Mobile Safari/537.36"}, ()),
        ({"sent_at": None}, ()),
    ],
)
def test_a_machine_is_marked(changed: dict[str, Any], mark: tuple[str, ...]) -> None:
    assert found(**changed) == mark


def test_all_marks_in_order() -> None:
    assert found(at=SENT, fetched_at=SENT, ip="192.0.2.9", user_agent="") == (
        "seconds-after-sending",
        "seconds-after-fetch",
        "scanner-network",
        "scanner-agent",
    )


def test_a_clock_set_back_marks_and_does_not_fail() -> None:
    assert "seconds-after-sending" in found(at=SENT - 5)


@given(st.text(), st.text(), st.floats(allow_nan=False), st.none() | st.floats(allow_nan=False))
def test_whatever_comes_is_answered(ip: str, agent: str, at: float, fetched: float | None) -> None:
    assert isinstance(found(ip=ip, user_agent=agent, at=at, fetched_at=fetched), tuple)


def test_only_what_no_person_can_do_is_certain() -> None:
    assert automation(()) is Automation.NO
    assert automation(["seconds-after-sending", "scanner-agent"]) is Automation.SUSPECTED
    assert automation(["scanner-agent", "no-page-fetch"]) is Automation.CERTAIN
    assert automation(["scanner-network"]) is Automation.CERTAIN
