"""One rule of a rulebook, ready to be asked."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from relay.decide.terms import Fact
from relay.model import Action, Finding, Kind, Reason


@dataclass(frozen=True, slots=True)
class Rule:
    """When all ``tests`` hold, the rule fires and yields a finding."""

    id: str
    book: str
    """Name of the rulebook."""
    tests: tuple[tuple[int, Container[Fact]], ...]
    """Index of a term in ``terms.TERMS``, and the facts it accepts."""
    then: Action | None
    """None is ``configured``: what the list, or else the tenant, wants done without consent."""
    reason: Reason
    cite: tuple[str, ...]
    explain: str
    """One sentence for people."""
    findings: Mapping[Action, Finding]
    """The finding for each action that this rule can lead to; made once."""

    @property
    def name(self) -> str:
        """``rulebook/rule-id``."""
        return f"{self.book}/{self.id}"

    def fires(self, facts: tuple[Fact, ...]) -> bool:
        """Whether every condition holds for these facts (``terms.facts_of``)."""
        for index, accepted in self.tests:  # noqa: SIM110 - half the time of all() here
            if facts[index] not in accepted:
                return False
        return True

    def finding(self, configured: Action) -> Finding:
        """The finding, with ``configured`` as the action where the rule leaves it open."""
        return self.findings[configured if self.then is None else self.then]


def configured_action(wanted: Action, kind: Kind, declared: bool) -> Action:
    """What "configured" means for this message: a drop only for what was declared commercial.

    A message that we merely take for commercial could be somebody's receipt, so it is held where
    others of that tenant are dropped.
    """
    if wanted is Action.DROP and not (declared and kind is Kind.COMMERCIAL):
        return Action.QUARANTINE
    return wanted


def worst(findings: tuple[Finding, ...]) -> Finding | None:
    """The finding that decides: the worst action, ties by the order of the rules."""
    return max(findings, key=lambda finding: finding.action) if findings else None
