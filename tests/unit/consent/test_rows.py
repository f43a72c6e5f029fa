from __future__ import annotations

from datetime import UTC, datetime

import pytest

from relay.consent.evidence import RecordingRefused
from relay.consent.rows import optout_row
from relay.decide.address import parse_address
from relay.decide.keys import subject_keys

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()


def left_at(**fields: str) -> str:
    row = optout_row(
        2,
        {"address": "anna@people.test", **fields},
        keys=lambda person: subject_keys(b"p" * 32, person),
        now=NOW,
    )
    return datetime.fromtimestamp(row.at, UTC).isoformat(timespec="milliseconds")[:23]


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000"),
        ("2026-01-31 08:00", "2026-01-31T08:00:00.000"),
        ("2026-01-31T08:00+02:00", "2026-01-31T06:00:00.000"),
        ("2026-01-31", "2026-01-31T23:59:59.999"),
        (" 20260131 ", "2026-01-31T23:59:59.999"),
        ("2026-11-22", "2026-11-22T12:00:00.000"),
        ("2026-11-23", "2026-11-22T12:00:00.000"),
        ("", "2026-11-22T12:00:00.000"),
    ],
)
def test_an_opt_out_is_of_the_latest_moment_that_its_date_can_mean(said: str, at: str) -> None:
    assert left_at(collected_at=said) == left_at(at=said) == at


def test_an_opt_out_of_no_date_at_all_is_refused() -> None:
    with pytest.raises(RecordingRefused, match="collected_at is not a date"):
        left_at(at="last week")


def test_the_address_that_is_kept_is_one_that_mail_can_be_sent_to() -> None:
    row = optout_row(
        2,
        {"address": '"John Doe"@People.test'},
        keys=lambda person: subject_keys(b"p" * 32, person),
        now=NOW,
    )
    assert row.address == '"john doe"@people.test'
    assert parse_address(row.address).exact == "john doe@people.test"
