from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.decide.judge import judge
from relay.decide.rulebook import compile as compile_books
from relay.decide.rulebook import load
from relay.model import (
    Action,
    Basis,
    Classification,
    Kind,
    MailingList,
    Reason,
    Standing,
    StandingState,
    Tenant,
)
from tests.unit.decide.samples import NEWS, SHOP, TENANT, case, shipped

POLICY = shipped()
CONSENTED = Standing(StandingState.GRANTED, Basis.CONFIRMED, 1.0, 77)


def campaign(
    mailing_list: MailingList | None = NEWS, declared: bool = True, **changes: Any
) -> tuple[Action, Reason | None]:
    classification = Classification(Kind.COMMERCIAL, declared, (), mailing_list)
    verdict = judge(case(classification=classification, **changes), POLICY)
    return verdict.action, verdict.reason


def test_a_letter_passes_and_nothing_is_found() -> None:
    verdict = judge(case(), POLICY)
    assert (verdict.action, verdict.reason, verdict.rule) == (Action.DELIVER, None, None)
    assert (verdict.findings, verdict.consent_event) == ((), None)
    assert verdict.digest == POLICY.digest
    assert verdict.recipient.wire == "someone@example.test"


def test_a_delivered_campaign_copy_names_its_consent() -> None:
    commercial = Classification(Kind.COMMERCIAL, True, (), NEWS)
    verdict = judge(case(classification=commercial, standing=CONSENTED), POLICY)
    assert (verdict.action, verdict.consent_event) == (Action.DELIVER, 77)
    letter = judge(case(standing=CONSENTED), POLICY)
    assert letter.consent_event is None


def test_internal_mail_needs_no_consent() -> None:
    assert campaign(internal=True) == (Action.DELIVER, None)


@pytest.mark.parametrize(
    ("of_list", "of_tenant", "declared", "expected"),
    [
        (None, Action.QUARANTINE, True, Action.QUARANTINE),
        (None, Action.REJECT, True, Action.REJECT),
        (None, Action.DROP, True, Action.DROP),
        (Action.DROP, Action.REJECT, True, Action.DROP),
        (Action.QUARANTINE, Action.REJECT, True, Action.QUARANTINE),
        (None, Action.REJECT, False, Action.REJECT),
        (None, Action.DROP, False, Action.QUARANTINE),
    ],
)
def test_configured_is_the_lists_action_or_else_the_tenants(
    of_list: Action | None, of_tenant: Action, declared: bool, expected: Action
) -> None:
    tenant: Tenant = replace(TENANT, action=of_tenant)
    mailing_list = replace(NEWS, action=of_list) if declared else None
    found = campaign(mailing_list, declared, tenant=tenant)
    assert found == (expected, Reason.NO_CONSENT)


def test_the_worst_action_wins_and_all_findings_stay() -> None:
    withdrawn = Standing(StandingState.WITHDRAWN, bounce_suppressed=True)
    verdict = judge(
        case(
            classification=Classification(Kind.COMMERCIAL, True, (), NEWS),
            standing=withdrawn,
            sender_owned=False,
        ),
        POLICY,
    )
    assert [(finding.rule, finding.action) for finding in verdict.findings] == [
        ("base/foreign-sender", Action.REJECT),
        ("base/suppressed-after-bounce", Action.REJECT),
        ("strict-opt-in/withdrawn", Action.DROP),
    ]
    assert (verdict.action, verdict.reason) == (Action.REJECT, Reason.FOREIGN_SENDER)
    assert verdict.rule == "base/foreign-sender"


def test_ties_go_by_the_order_of_the_files() -> None:
    text = (
        'title = "t"\nversion = "1"\n'
        '[[rule]]\nid = "one"\nwhen = { auto = false }\nthen = "delay"\nreason = "rate"\n'
        '[[rule]]\nid = "two"\nwhen = { internal = false }\nthen = "reject"\nreason = "quota"\n'
        '[[rule]]\nid = "three"\nwhen = { loop = false }\nthen = "reject"\nreason = "loop"\n'
    )
    policy = compile_books([load("b", text, "b.toml")])
    assert judge(case(), policy).rule == "b/two"


def test_a_release_is_judged_again_with_the_persons_word() -> None:
    assert campaign(None, False, released=Kind.TRANSACTIONAL) == (Action.DELIVER, None)
    assert campaign(None, False, released=Kind.COMMERCIAL) == (
        Action.QUARANTINE,
        Reason.NO_CONSENT,
    )
    gone = Standing(StandingState.WITHDRAWN)
    assert campaign(released=Kind.PERSONAL, standing=gone) == (Action.DROP, Reason.WITHDRAWN)
    doubtful = Classification(Kind.TRANSACTIONAL, True, (), SHOP, unmarked_bulk=True)
    held = judge(case(classification=doubtful), POLICY)
    assert (held.action, held.reason) == (Action.QUARANTINE, Reason.UNMARKED_BULK)
    freed = judge(case(classification=doubtful, released=Kind.TRANSACTIONAL), POLICY)
    assert freed.action is Action.DELIVER
