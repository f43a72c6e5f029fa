"""Puts a decision into words, and into JSON, for the people who ask why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from relay.model import Classification, Finding, Standing, Verdict
from relay.ports import Json


@dataclass(frozen=True, slots=True)
class Fate:
    """One recipient's standing and verdict."""

    standing: Standing
    verdict: Verdict


def explain(classification: Classification, fates: Sequence[Fate]) -> dict[str, Json]:
    """The whole decision as a JSON-able document."""
    mailing_list = classification.mailing_list
    return {
        "classification": {
            "kind": classification.kind.value,
            "declared": classification.declared,
            "list": mailing_list.slug if mailing_list is not None else None,
            "unmarked_bulk": classification.unmarked_bulk,
            "evidence": list(classification.evidence),
        },
        "recipients": [_fate(fate) for fate in fates],
    }


def lines(classification: Classification, fates: Sequence[Fate]) -> tuple[str, ...]:
    """The same for a terminal: one line per fact, indented below what it belongs to."""
    said = "declared" if classification.declared else "inferred"
    mailing_list = classification.mailing_list
    of_list = f"list {mailing_list.slug}" if mailing_list is not None else "no list"
    text = [f"kind: {classification.kind.value} ({said}), {of_list}"]
    text += [f"  {evidence}" for evidence in classification.evidence]
    for fate in fates:
        verdict = fate.verdict
        text.append(f"{verdict.recipient.wire}: {_outcome(verdict)}")
        text.append(f"  standing: {_standing_words(fate.standing)}")
        text += [f"  {_finding_words(finding)}" for finding in verdict.findings]
        if not verdict.findings:
            text.append("  no rule objects")
    return tuple(text)


def _outcome(verdict: Verdict) -> str:
    if verdict.reason is None:
        return verdict.action.slug
    return f"{verdict.action.slug} ({verdict.reason.value}, by {verdict.rule})"


def _standing_words(standing: Standing) -> str:
    words = standing.state.value
    if standing.basis.value != "none":
        words += f" ({standing.basis.value})"
    if standing.since is not None:
        words += f" since {_time(standing.since)}"
    if standing.bounce_suppressed:
        words += ", suppressed after a hard bounce"
    if standing.operator_suppressed:
        words += ", suppressed by the operator"
    return words


def _finding_words(finding: Finding) -> str:
    words = f"{finding.action.slug}: {finding.rule} ({finding.reason.value})"
    if finding.detail:
        words += f": {finding.detail}"
    if finding.cite:
        words += f" [{', '.join(finding.cite)}]"
    return words


def _fate(fate: Fate) -> dict[str, Json]:
    standing, verdict = fate.standing, fate.verdict
    return {
        "recipient": verdict.recipient.wire,
        "action": verdict.action.slug,
        "reason": verdict.reason.value if verdict.reason is not None else None,
        "rule": verdict.rule,
        "digest": verdict.digest,
        "consent_event": verdict.consent_event,
        "standing": {
            "state": standing.state.value,
            "basis": standing.basis.value,
            "since": _time(standing.since) if standing.since is not None else None,
            "event": standing.event_id,
            "bounce_suppressed": standing.bounce_suppressed,
            "operator_suppressed": standing.operator_suppressed,
        },
        "findings": [
            {
                "rule": finding.rule,
                "action": finding.action.slug,
                "reason": finding.reason.value,
                "detail": finding.detail,
                "cite": list(finding.cite),
            }
            for finding in verdict.findings
        ],
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
