"""When a consent runs out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.decide.expiry import DAY, Lapse, disuse_limit, lapse
from relay.decide.rulebook import Policy, load
from relay.decide.rulebook import compile as compile_books
from relay.model import Act, Basis, StandingState
from tests.unit.decide.samples import NEWS, NOW, TENANT, act, shipped

POLICY = shipped()
LIMIT = 731
"""The first day of disuse on which the shipped rules object."""


def rule(rule_id: str, when: str) -> str:
    return (
        f'[[rule]]\nid = "{rule_id}"\nwhen = {{ kind = "commercial", {when} }}\n'
        f'then = "quarantine"\nreason = "expired"\ncite = []\nexplain = "Old."\n'
    )


def policy(*rules: str) -> Policy:
    text = 'title = "Own"\nversion = "1"\n' + "".join(rules)
    return compile_books([load("own", text, "own.toml")])


def granted(at: float, event: int = 7, **changes: Any) -> Act:
    fields = {"basis": Basis.CONFIRMED, "own_act": True, **changes}
    return act(StandingState.GRANTED, at, event, **fields)


def ending(*acts: Act, days: int = 30, rules: Policy = POLICY) -> Lapse | None:
    return lapse(
        acts, tenant=TENANT, mailing_list=NEWS, policy=rules, now=NOW, until=NOW + days * DAY
    )


def test_the_limit_is_what_the_rules_say() -> None:
    assert disuse_limit(POLICY, TENANT, Basis.CONFIRMED) == LIMIT
    assert disuse_limit(policy(rule("one", "internal = true")), TENANT, Basis.CONFIRMED) is None
    own = policy(
        rule("all", "unused_days_over = 900"),
        rule("weak", 'basis = "attested", unused_days_over = 300'),
        rule("house", "internal = true, unused_days_over = 3"),
        rule("word", "tenant_admits_attested = true, unused_days_over = 100"),
    )
    assert disuse_limit(own, TENANT, Basis.CONFIRMED) == 901
    assert disuse_limit(own, TENANT, Basis.ATTESTED) == 301
    assert disuse_limit(own, replace(TENANT, attested_admitted=True), Basis.ATTESTED) == 101


@pytest.mark.parametrize(("age", "found"), [(700, False), (701, True), (730, True), (731, False)])
def test_disuse_within_the_days_to_come(age: int, found: bool) -> None:
    known = ending(granted(NOW - age * DAY))
    assert (known is not None) == found
    if known is not None:
        assert known == Lapse(
            NOW + (LIMIT - age) * DAY, "unused", Basis.CONFIRMED, NOW - age * DAY, age
        )


@pytest.mark.parametrize(
    ("seconds", "found"), [(0, False), (1, True), (30 * DAY, True), (30 * DAY + 1, False)]
)
def test_a_date_within_the_days_to_come(seconds: int, found: bool) -> None:
    known = ending(granted(NOW - 1, expires_at=NOW + seconds))
    assert (known is not None) == found
    if known is not None:
        assert (known.at, known.why) == (NOW + seconds, "date")


def test_the_first_end_counts() -> None:
    known = ending(granted(NOW - 710 * DAY, expires_at=NOW + 9 * DAY))
    assert known is not None
    assert (known.at, known.why) == (NOW + 9 * DAY, "date")


def test_what_is_used_or_covered_by_another_consent_does_not_end() -> None:
    old = NOW - 710 * DAY
    assert ending(granted(old, used_at=NOW - 5 * DAY)) is None
    assert ending(granted(old, list_id=11), granted(NOW - 9 * DAY, 9)) is None


def test_what_does_not_count_today_has_no_end_to_come() -> None:
    old = granted(NOW - 710 * DAY)
    assert ending() is None
    assert ending(old, act(StandingState.WITHDRAWN, NOW - 1, 9)) is None
    assert ending(replace(old, state=StandingState.PENDING, expires_at=NOW + DAY)) is None
    assert ending(replace(old, list_id=12)) is None
    assert ending(replace(old, own_act=False, after_optout=True)) is None
