from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.decide.terms import BY_KEY, INDEX, TERMS, Case, TermError, broken_law, facts_of, nearest
from relay.model import (
    Automation,
    Basis,
    Classification,
    Kind,
    Standing,
    StandingState,
    TenantState,
)
from tests.unit.decide.samples import TENANT, case, message

COMMERCIAL = Classification(Kind.COMMERCIAL, True, ())
MAYBE_COMMERCIAL = Classification(Kind.COMMERCIAL, False, ())
WITHDRAWN = Standing(StandingState.WITHDRAWN)


def test_every_usual_value_is_what_a_plain_letter_has() -> None:
    facts = facts_of(case())
    assert facts == tuple(term.usual for term in TERMS)


@pytest.mark.parametrize(
    ("name", "changes", "value"),
    [
        ("kind", {"classification": COMMERCIAL}, Kind.COMMERCIAL),
        ("declared", {"classification": COMMERCIAL}, True),
        ("standing", {"standing": WITHDRAWN}, StandingState.WITHDRAWN),
        (
            "basis",
            {"standing": Standing(StandingState.GRANTED, Basis.ATTESTED)},
            Basis.ATTESTED,
        ),
        ("internal", {"internal": True}, True),
        ("null_sender", {"null_sender": True}, True),
        ("auto", {"message": message(auto_submitted="auto-replied")}, True),
        ("recipients", {"recipient_count": 7}, 7),
        ("sender_owned", {"sender_owned": False}, False),
        ("gateway", {"gateway": True}, True),
        (
            "bounce_suppressed",
            {"standing": Standing(StandingState.ABSENT, bounce_suppressed=True)},
            True,
        ),
        (
            "operator_suppressed",
            {"standing": Standing(StandingState.ABSENT, operator_suppressed=True)},
            True,
        ),
        ("loop", {"message": message(received_count=50)}, False),
        ("loop", {"message": message(received_count=51)}, True),
        ("loop", {"message": message(own_received_count=4)}, False),
        ("loop", {"message": message(own_received_count=5)}, True),
        ("over_personal_limit", {"personal_today": 200}, False),
        ("over_personal_limit", {"personal_today": 201}, True),
        ("over_personal_limit", {"personal_today": 201, "classification": COMMERCIAL}, False),
        ("released", {"released": Kind.PERSONAL}, True),
        (
            "automated",
            {"standing": Standing(StandingState.GRANTED, automated=Automation.CERTAIN)},
            "certain",
        ),
        ("unused_days", {"standing": Standing(StandingState.GRANTED, unused_days=9)}, 9),
        (
            "unused_days",
            {"standing": Standing(StandingState.GRANTED, unused_days=2**40)},
            2**31 - 1,
        ),
    ],
)
def test_reading(name: str, changes: dict[str, Any], value: object) -> None:
    assert facts_of(case(**changes))[INDEX[name]] == value


def test_reading_the_tenant() -> None:
    suspended = replace(TENANT, state=TenantState.SUSPENDED, attested_admitted=True)
    facts = facts_of(case(tenant=suspended))
    assert facts[INDEX["tenant_state"]] is TenantState.SUSPENDED
    assert facts[INDEX["tenant_admits_attested"]] is True


def test_a_release_ends_the_doubt_about_unmarked_bulk() -> None:
    doubtful = Classification(Kind.TRANSACTIONAL, True, (), None, unmarked_bulk=True)
    assert facts_of(case(classification=doubtful))[INDEX["unmarked_bulk"]] is True
    looked_at = case(classification=doubtful, released=Kind.TRANSACTIONAL)
    assert facts_of(looked_at)[INDEX["unmarked_bulk"]] is False


@pytest.mark.parametrize(
    ("changes", "kind", "declared"),
    [
        ({"classification": MAYBE_COMMERCIAL}, Kind.TRANSACTIONAL, False),
        ({"classification": MAYBE_COMMERCIAL, "standing": WITHDRAWN}, Kind.TRANSACTIONAL, False),
        ({"classification": COMMERCIAL}, Kind.TRANSACTIONAL, False),
        ({"classification": COMMERCIAL, "standing": WITHDRAWN}, Kind.COMMERCIAL, True),
    ],
)
def test_a_persons_word_on_the_kind(changes: dict[str, Any], kind: Kind, declared: bool) -> None:
    released: Case = case(released=Kind.TRANSACTIONAL, **changes)
    assert (released.kind, released.declared) == (kind, declared)


@pytest.mark.parametrize(
    ("key", "value", "accepts", "refuses"),
    [
        ("kind", "commercial", [Kind.COMMERCIAL, "commercial"], [Kind.PERSONAL]),
        ("kind", ["auto", "personal"], [Kind.AUTO, Kind.PERSONAL], [Kind.COMMERCIAL]),
        ("internal", False, [False], [True]),
        ("internal", [True, False], [True, False], []),
        ("recipients_over", 20, [21, 1_000], [20, 1]),
    ],
)
def test_accepted(key: str, value: object, accepts: list[Any], refuses: list[Any]) -> None:
    accepted = BY_KEY[key].accepted(value)
    assert all(fact in accepted for fact in accepts)
    assert not any(fact in accepted for fact in refuses)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("kind", "comercial", "did you mean 'commercial'"),
        ("kind", True, "kind cannot be True"),
        ("kind", [], "can never hold"),
        ("kind", ["auto", "auto"], "twice"),
        ("internal", "yes", "internal cannot be 'yes'"),
        ("internal", 1, "internal cannot be 1"),
        ("recipients_over", "20", "whole number"),
        ("recipients_over", True, "whole number"),
        ("recipients_over", -1, "whole number"),
        ("recipients_over", [1], "whole number"),
    ],
)
def test_wrong_values(key: str, value: object, words: str) -> None:
    with pytest.raises(TermError, match=words):
        BY_KEY[key].accepted(value)


def test_an_example_gives_a_number_as_it_is() -> None:
    term = BY_KEY["recipients_over"]
    assert term.fact(21) == 21
    with pytest.raises(TermError, match="recipients takes a whole number"):
        term.fact("many")


def test_laws() -> None:
    assert broken_law({"kind": Kind.AUTO, "null_sender": False}) is not None
    assert broken_law({"kind": Kind.AUTO, "null_sender": True}) is None
    assert broken_law({"kind": Kind.AUTO}) is None


def test_nearest() -> None:
    assert nearest("resaon", ["reason", "rule"]) == " (did you mean 'reason'?)"
    assert nearest("zzz", ["reason"]) == ""
