"""The verdict on one recipient's copy: every rule is asked, every finding kept."""

from __future__ import annotations

from dataclasses import replace

from relay.decide.rule import configured_action, worst
from relay.decide.rulebook import Policy
from relay.decide.terms import Case, facts_of
from relay.model import Action, Kind, MailingList, StandingState, Tenant, Verdict


def judge(case: Case, policy: Policy) -> Verdict:
    """Judge one copy by all rules; the worst action wins, ties by file order.

    There are no allow rules: a copy that no rule objects to is delivered. A commercial copy of a
    person with a consent names the event that allows it (clause A2).
    """
    facts = facts_of(case)
    fired = [rule for rule in policy.rules if rule.fires(facts)]
    standing = case.standing
    kind = case.kind
    consent = (
        standing.event_id
        if kind is Kind.COMMERCIAL and standing.state is StandingState.GRANTED
        else None
    )
    if not fired:
        return Verdict(
            recipient=case.recipient,
            action=Action.DELIVER,
            reason=None,
            rule=None,
            findings=(),
            digest=policy.digest,
            consent_event=consent,
        )
    wanted = wanted_action(case.tenant, case.classification.mailing_list)
    configured = configured_action(wanted, kind, case.declared)
    findings = tuple([rule.finding(configured) for rule in fired])
    decisive = worst(findings)
    assert decisive is not None  # at least one rule fired
    return Verdict(
        recipient=case.recipient,
        action=decisive.action,
        reason=decisive.reason,
        rule=decisive.rule,
        findings=findings,
        digest=policy.digest,
        consent_event=consent,
    )


def wanted_action(tenant: Tenant, mailing_list: MailingList | None) -> Action:
    """What the list, or else the tenant, wants done with mail that may not pass."""
    if mailing_list is not None and mailing_list.action is not None:
        return mailing_list.action
    return tenant.action


def told(verdict: Verdict, wanted: Action) -> Verdict:
    """A drop as the refusal that ``reject`` asks for; only while the client waits for its reply."""
    if verdict.action is Action.DROP and wanted is Action.REJECT:
        return replace(verdict, action=Action.REJECT)
    return verdict
