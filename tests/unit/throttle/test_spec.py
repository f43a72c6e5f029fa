from __future__ import annotations

import pytest

from relay.throttle.spec import Spec, parse


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("1000/hour,burst=50", Spec(1_000, 3_600, 50)),
        ("10000/hour,burst=1000", Spec(10_000, 3_600, 1_000)),
        ("5/second", Spec(5, 1, 1)),
        ("60/minute", Spec(60, 60, 1)),
        (" 1/day ", Spec(1, 86_400, 1)),
    ],
)
def test_rates_are_literal(text: str, spec: Spec) -> None:
    assert parse(text) == spec


def test_the_interval_is_what_one_recipient_costs() -> None:
    assert parse("1000/hour").interval == 3.6


@pytest.mark.parametrize(
    "text",
    [
        "", "1000", "1000/h", "1000/hours", "/hour", "-1/hour", "1.5/hour", "1,000/hour",
        "0/hour", "1/hour,burst=0", "1/hour,burst=", "1/hour, burst=5", "1/hour,max_burst=5",
        "1/hour\n2/hour", "١/hour", "9999999999/hour",
    ],
)  # fmt: skip
def test_anything_else_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate") as caught:
        parse(text)
    assert repr(text) in str(caught.value)
