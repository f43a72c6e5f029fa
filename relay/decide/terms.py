"""The closed vocabulary of the rulebooks: what a rule may ask about a case.

Each term is typed: it knows its possible values, reads one fact from a ``Case``, and turns the
TOML value of a ``when`` into a set of facts that it accepts. A new need of a rulebook becomes one
more term here, with a test; there is no escape hatch.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from relay.decide.standing import BLOCKS
from relay.model import (
    Address,
    Automation,
    Basis,
    Classification,
    Kind,
    Message,
    Standing,
    StandingState,
    Tenant,
    TenantState,
)

Fact: TypeAlias = str | bool | int

_MOST = 2**31


class TermError(ValueError):
    """A value that the term cannot have; the text names the term."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that is known when one recipient's copy is judged."""

    classification: Classification
    message: Message
    tenant: Tenant
    recipient: Address
    recipient_count: int
    """Recipients of the whole transaction."""
    standing: Standing
    internal: bool
    """From ``sender.internal_recipient``."""
    null_sender: bool
    sender_owned: bool
    """From ``sender.from_is_owned``."""
    gateway: bool = False
    """Came in by a gateway credential."""
    personal_today: int = 0
    """Recipients of personal mail that the tenant has today, this one included."""
    personal_limit: int
    max_received: int
    """Received fields before a message counts as looping."""
    max_own_received: int = 4
    """Received fields of ours before a message counts as looping."""
    released: Kind | None = None
    """The kind that a person set when releasing the copy from quarantine."""

    @property
    def kind(self) -> Kind:
        """The kind that counts. A person's word beats an inference; it never leads a message that
        the sender declared commercial past an opt-out."""
        own = self.classification.kind
        if self.released is None:
            return own
        declared_commercial = own is Kind.COMMERCIAL and self.classification.declared
        if declared_commercial and self.standing.state in BLOCKS:
            return own
        return self.released

    @property
    def declared(self) -> bool:
        """Whether the kind that counts was declared, not inferred or set by a person."""
        return self.classification.declared and self.kind is self.classification.kind


@dataclass(frozen=True, slots=True)
class Term:
    """One fact about a case, as a word of the rulebooks."""

    name: str
    values: tuple[str | bool, ...] | None
    """All possible values; None for a whole number, asked as ``NAME_over``."""
    read: Callable[[Case], Fact]
    usual: Fact
    """What an example means when it does not mention the term."""

    @property
    def key(self) -> str:
        """The key in ``when``."""
        return self.name if self.values is not None else f"{self.name}_over"

    def accepted(self, value: object) -> frozenset[Fact] | range:
        """The facts that a ``when`` value accepts. Raises TermError."""
        if self.values is None:
            if type(value) is not int or not 0 <= value < _MOST:
                raise TermError(f"{self.key} takes a whole number, not {value!r}")
            return range(value + 1, _MOST)
        if isinstance(value, list):
            if not value:
                raise TermError(f"{self.key} = [] can never hold")
            if len(set(map(repr, value))) != len(value):
                raise TermError(f"{self.key} names a value twice")
            return frozenset(self.fact(item) for item in value)
        return frozenset({self.fact(value)})

    def fact(self, value: object) -> Fact:
        """A single value of this term, as an example gives it. Raises TermError."""
        if self.values is None:
            if type(value) is not int or not 0 <= value < _MOST:
                raise TermError(f"{self.name} takes a whole number, not {value!r}")
            return value
        for known in self.values:
            if type(value) is bool or type(known) is bool:
                if value is known:
                    return known
            elif value == known:
                return known
        words = [str(known).lower() for known in self.values]
        raise TermError(
            f"{self.name} cannot be {value!r}{nearest(str(value), words)}; "
            f"it is one of {', '.join(words)}"
        )


_YES_NO = (True, False)
_AUTOMATED = tuple(level.slug for level in Automation)

TERMS: tuple[Term, ...] = (
    Term("kind", tuple(Kind), lambda case: case.kind, Kind.PERSONAL),
    Term("standing", tuple(StandingState), lambda case: case.standing.state, StandingState.ABSENT),
    Term("basis", tuple(Basis), lambda case: case.standing.basis, Basis.NONE),
    Term("declared", _YES_NO, lambda case: case.declared, False),
    Term("internal", _YES_NO, lambda case: case.internal, False),
    Term("null_sender", _YES_NO, lambda case: case.null_sender, False),
    Term("auto", _YES_NO, lambda case: case.message.auto_submitted is not None, False),
    Term("recipients", None, lambda case: case.recipient_count, 1),
    Term("tenant_state", tuple(TenantState), lambda case: case.tenant.state, TenantState.ACTIVE),
    Term("sender_owned", _YES_NO, lambda case: case.sender_owned, True),
    Term("gateway", _YES_NO, lambda case: case.gateway, False),
    Term("bounce_suppressed", _YES_NO, lambda case: case.standing.bounce_suppressed, False),
    Term("operator_suppressed", _YES_NO, lambda case: case.standing.operator_suppressed, False),
    Term(
        "loop",
        _YES_NO,
        lambda case: (
            case.message.received_count > case.max_received
            or case.message.own_received_count > case.max_own_received
        ),
        False,
    ),
    Term(
        "unmarked_bulk",
        _YES_NO,
        lambda case: case.classification.unmarked_bulk and case.released is None,
        False,
    ),
    Term(
        "over_personal_limit",
        _YES_NO,
        lambda case: case.kind is Kind.PERSONAL and case.personal_today > case.personal_limit,
        False,
    ),
    Term("tenant_admits_attested", _YES_NO, lambda case: case.tenant.attested_admitted, False),
    Term("released", _YES_NO, lambda case: case.released is not None, False),
    Term("automated", _AUTOMATED, lambda case: case.standing.automated.slug, Automation.NO.slug),
    Term("unused_days", None, lambda case: min(case.standing.unused_days, _MOST - 1), 0),
)
"""Every term, in the order of the facts that ``facts_of`` returns."""

INDEX: Mapping[str, int] = {term.name: index for index, term in enumerate(TERMS)}
BY_KEY: Mapping[str, Term] = {term.key: term for term in TERMS}

_READ = tuple(term.read for term in TERMS)


@dataclass(frozen=True, slots=True)
class Implication:
    """A law of the vocabulary: whenever one term is in ``values``, the other is in ``then``."""

    term: str
    values: frozenset[Fact]
    other: str
    then: frozenset[Fact]


IMPLICATIONS: tuple[Implication, ...] = (
    Implication(
        "standing",
        frozenset({StandingState.ABSENT, *BLOCKS}),
        "basis",
        frozenset({Basis.NONE}),
    ),
    Implication(
        "automated",
        frozenset({Automation.SUSPECTED.slug, Automation.CERTAIN.slug}),
        "standing",
        frozenset({StandingState.GRANTED}),
    ),
    Implication("kind", frozenset({Kind.AUTO}), "null_sender", frozenset({True})),
    Implication("unmarked_bulk", frozenset({True}), "kind", frozenset({Kind.TRANSACTIONAL})),
    Implication("unmarked_bulk", frozenset({True}), "declared", frozenset({True})),
    Implication("unmarked_bulk", frozenset({True}), "released", frozenset({False})),
    Implication("over_personal_limit", frozenset({True}), "kind", frozenset({Kind.PERSONAL})),
    Implication("kind", frozenset({Kind.PERSONAL, Kind.AUTO}), "declared", frozenset({False})),
)
"""What no case can contradict; a rule that asks for it could never fire."""


def facts_of(case: Case) -> tuple[Fact, ...]:
    """Every fact of a case, in the order of ``TERMS``."""
    return tuple([read(case) for read in _READ])


def broken_law(facts: Mapping[str, Fact]) -> Implication | None:
    """The first law of the vocabulary that these facts contradict; facts may be partial."""
    for law in IMPLICATIONS:
        if (
            law.term in facts
            and law.other in facts
            and facts[law.term] in law.values
            and facts[law.other] not in law.then
        ):
            return law
    return None


def nearest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for a close word, else nothing."""
    close = difflib.get_close_matches(word.lower(), list(map(str, known)), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
