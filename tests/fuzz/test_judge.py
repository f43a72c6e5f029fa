"""The laws of judgment, over every case that the types allow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.decide.address import parse_address
from relay.decide.classify import classify
from relay.decide.judge import judge
from relay.decide.sender import find_tenant, from_is_owned
from relay.decide.standing import standing
from relay.decide.terms import Case
from relay.model import (
    Act,
    Action,
    Automation,
    Basis,
    Classification,
    Credential,
    Kind,
    Message,
    Mode,
    Refusal,
    Standing,
    StandingState,
    TenantState,
)
from tests.unit.decide.samples import (
    BOUND,
    DIRECTORY,
    GATEWAY,
    NEWS,
    NOW,
    OWN,
    SHOP,
    TALK,
    TENANT,
    case,
    message,
    shipped,
)

POLICY = shipped()
LEFT = [StandingState.WITHDRAWN, StandingState.COMPLAINED, StandingState.SUPPRESSED]
BOOLS = st.booleans()
KINDS = st.sampled_from(list(Kind))
ACTIONS = st.sampled_from([Action.QUARANTINE, Action.REJECT, Action.DROP])

STANDINGS = st.builds(
    Standing,
    state=st.sampled_from(list(StandingState)),
    basis=st.sampled_from(list(Basis)),
    since=st.none() | st.just(1.0),
    event_id=st.none() | st.integers(1, 9),
    bounce_suppressed=BOOLS,
    operator_suppressed=BOOLS,
    automated=st.sampled_from(list(Automation)),
    unused_days=st.sampled_from([0, 730, 731]),
)
CLASSIFICATIONS = st.builds(
    Classification,
    kind=KINDS,
    declared=BOOLS,
    evidence=st.just(()),
    mailing_list=st.none()
    | st.builds(replace, st.sampled_from([NEWS, SHOP, TALK]), action=st.none() | ACTIONS),
    unmarked_bulk=BOOLS,
)
TENANTS = st.builds(
    replace,
    st.just(TENANT),
    state=st.sampled_from(list(TenantState)),
    mode=st.sampled_from(list(Mode)),
    action=ACTIONS,
    attested_admitted=BOOLS,
)
MESSAGES = st.builds(
    message,
    auto_submitted=st.none() | st.just("auto-generated"),
    received_count=st.sampled_from([0, 50, 51]),
    own_received_count=st.sampled_from([0, 4, 5]),
)
CASES = st.builds(
    case,
    classification=CLASSIFICATIONS,
    message=MESSAGES,
    tenant=TENANTS,
    recipient_count=st.sampled_from([1, 21]),
    standing=STANDINGS,
    internal=BOOLS,
    null_sender=BOOLS,
    sender_owned=BOOLS,
    gateway=BOOLS,
    personal_today=st.sampled_from([0, 200, 201]),
    released=st.none() | KINDS,
)


@settings(deadline=None)
@given(CASES)
def test_commercial_mail_never_reaches_a_person_who_left(one: Case) -> None:
    for state in LEFT:
        gone = replace(one, standing=replace(one.standing, state=state))
        if gone.kind is Kind.COMMERCIAL:
            assert judge(gone, POLICY).action not in (Action.DELIVER, Action.DELAY)


@settings(deadline=None)
@given(CASES)
def test_commercial_mail_to_strangers_needs_consent(one: Case) -> None:
    verdict = judge(one, POLICY)
    if one.kind is Kind.COMMERCIAL and verdict.action is Action.DELIVER and not one.internal:
        assert one.standing.state is StandingState.GRANTED
        assert one.standing.basis in (Basis.CONFIRMED, Basis.APPROVED, Basis.ATTESTED)
        assert verdict.consent_event == one.standing.event_id
        assert one.standing.automated is not Automation.CERTAIN
        assert one.standing.unused_days <= 730


@settings(deadline=None)
@given(CASES)
def test_only_declared_campaigns_are_ever_dropped(one: Case) -> None:
    verdict = judge(one, POLICY)
    if Action.DROP in [verdict.action, *(finding.action for finding in verdict.findings)]:
        assert one.kind is Kind.COMMERCIAL
        assert one.declared


@settings(deadline=None)
@given(CASES)
def test_transactional_mail_does_not_care_about_opt_outs(one: Case) -> None:
    receipt = replace(
        one,
        classification=replace(one.classification, kind=Kind.TRANSACTIONAL),
        released=None,
    )
    states = list(StandingState)
    fates = {
        judge(replace(receipt, standing=replace(receipt.standing, state=state)), POLICY).action
        for state in states
    }
    assert len(fates) == 1
    assert Action.DROP not in fates


@settings(deadline=None)
@given(CASES)
def test_a_declared_campaign_is_never_released_past_an_opt_out(one: Case) -> None:
    declared = Classification(Kind.COMMERCIAL, True, ())
    for state in LEFT:
        gone = replace(one, classification=declared, standing=replace(one.standing, state=state))
        assert judge(gone, POLICY).action not in (Action.DELIVER, Action.DELAY)


@settings(deadline=None)
@given(CASES)
def test_the_verdict_is_the_worst_finding(one: Case) -> None:
    verdict = judge(one, POLICY)
    actions = [finding.action for finding in verdict.findings]
    assert verdict.action == max(actions, default=Action.DELIVER)
    if verdict.findings:
        first = next(found for found in verdict.findings if found.action is verdict.action)
        assert (verdict.rule, verdict.reason) == (first.rule, first.reason)
    else:
        assert (verdict.rule, verdict.reason) == (None, None)


@settings(deadline=None)
@given(CASES)
def test_the_operators_suppression_stops_everything(one: Case) -> None:
    either: list[dict[str, Any]] = [{"operator_suppressed": True}, {"bounce_suppressed": True}]
    for flags in either:
        stopped = replace(one, standing=replace(one.standing, **flags))
        assert judge(stopped, POLICY).action is Action.REJECT


ACTS = st.lists(
    st.builds(
        Act,
        state=st.sampled_from([StandingState.GRANTED, StandingState.PENDING, *LEFT]),
        at=st.integers(0, 20).map(lambda ago: NOW - ago),
        event_id=st.integers(1, 20),
        tenant_id=st.sampled_from([None, 1, 1, 1, 2]),
        brand_id=st.sampled_from([None, None, 5, 6]),
        list_id=st.sampled_from([None, None, 11, 12]),
        basis=st.sampled_from(list(Basis)),
        own_act=BOOLS,
        expires_at=st.sampled_from([None, NOW, NOW + 1]),
        detail=st.sampled_from(["", "bounce 5.1.1"]),
        automated=st.sampled_from(list(Automation)),
        used_at=st.sampled_from([None, NOW - 5]),
        after_optout=BOOLS,
    ),
    max_size=8,
)


@settings(deadline=None)
@given(ACTS)
def test_a_new_opt_out_always_holds(acts: list[Act]) -> None:
    scopes: list[dict[str, Any]] = [{}, {"brand_id": 5}, {"list_id": 11}]
    for scope in scopes:
        leave = Act(StandingState.WITHDRAWN, NOW, 99, 1, **scope)
        for order in ([*acts, leave], [leave, *acts]):
            known = standing(order, tenant_id=1, mailing_list=NEWS, now=NOW)
            assert known.state in LEFT


@settings(deadline=None)
@given(ACTS)
def test_after_an_opt_out_only_own_acts_let_mail_pass(acts: list[Act]) -> None:
    """Whatever others put on record afterwards says nothing, for any list."""
    known = standing(acts, tenant_id=1, mailing_list=NEWS, now=NOW)
    said_by_others = {StandingState.GRANTED, StandingState.PENDING}
    without = [
        act
        for act in acts
        if act.own_act or not act.after_optout or act.state not in said_by_others
    ]
    if known.state is StandingState.GRANTED:
        assert standing(without, tenant_id=1, mailing_list=NEWS, now=NOW) == known


@settings(deadline=None)
@given(ACTS, ACTS)
def test_one_tenants_record_says_nothing_about_another(mine: list[Act], others: list[Act]) -> None:
    own = [act for act in mine if act.tenant_id == 1]
    foreign = [replace(act, tenant_id=2) for act in others]
    alone = standing(own, tenant_id=1, mailing_list=NEWS, now=NOW)
    assert standing([*foreign, *own], tenant_id=1, mailing_list=NEWS, now=NOW) == alone


@settings(deadline=None)
@given(
    st.builds(
        message,
        from_addresses=st.lists(
            st.sampled_from(["a@acme.test", "b@other.test", "c@nobody.test", "shop@acme.test"]).map(
                parse_address
            ),
            max_size=2,
        ).map(tuple),
        from_valid=BOOLS,
        sender=st.none() | st.just(parse_address("s@other.test")),
        list_id=st.sampled_from([None, "talk.acme.test", "x.test"]),
        list_unsubscribe=st.none() | st.just("<x>"),
        feedback_id=BOOLS,
        precedence=st.sampled_from([None, "bulk"]),
        auto_submitted=st.sampled_from([None, "auto-generated"]),
        content_type=st.sampled_from(["text/plain", "multipart/report"]),
        consent_list=st.sampled_from([None, "news", "shop", "talk", "nope"]),
        consent_kind=st.sampled_from([None, "commercial", "transactional"]),
    ),
    st.sampled_from([OWN, BOUND, GATEWAY]),
    st.sampled_from([None, "b@acme.test", "b@other.test"]),
    st.sampled_from([1, 20, 21]),
)
def test_no_header_makes_a_mailing_pass_for_something_else(
    read: Message, credential: Credential, mail_from: str | None, recipients: int
) -> None:
    tenant = find_tenant(credential, read, DIRECTORY)
    if tenant is None:
        return
    envelope = parse_address(mail_from) if mail_from else None
    found = classify(
        read,
        credential=credential,
        tenant=tenant,
        directory=DIRECTORY,
        mail_from=envelope,
        recipients=recipients,
        bulk_recipients=20,
    )
    if isinstance(found, Refusal):
        return
    kind = found.kind
    if read.consent_kind == "commercial" or credential is BOUND:
        assert (kind, found.declared) == (Kind.COMMERCIAL, True)
    if recipients > 20:
        assert kind in (Kind.COMMERCIAL, Kind.DISCUSSION) or found.unmarked_bulk
    if kind is Kind.DISCUSSION:
        assert envelope is not None
        assert envelope.domain == "acme.test"
    if found.mailing_list is not None:
        assert found.mailing_list.tenant_id == tenant.id
    if kind is Kind.AUTO:
        assert envelope is None
        assert recipients == 1
    if from_is_owned(tenant, read, envelope, DIRECTORY, kind):
        assert read.from_valid
