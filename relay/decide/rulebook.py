"""Rulebooks: TOML data, checked whole before anything is judged by it.

A rulebook that says something the vocabulary cannot mean, contradicts itself, holds a rule that
can never fire, or fails one of its own examples does not load, and the relay does not start.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.decide.examples import run_example
from relay.decide.rule import Rule
from relay.decide.tables import CONFIGURED, Place, RulebookError, known_keys, tables, text_of
from relay.decide.terms import (
    BY_KEY,
    IMPLICATIONS,
    INDEX,
    Fact,
    TermError,
    broken_law,
    nearest,
)
from relay.model import Action, Finding, Kind, Reason

__all__ = ["CLAUSES", "Policy", "Rulebook", "RulebookError", "compile", "load"]

CLAUSES = frozenset({f"A{n}" for n in range(1, 21)} | {f"B{n}" for n in range(1, 33)})
"""Ids of the clauses that a rule may cite."""

_ACTIONS = {action.slug: action for action in Action if action is not Action.DELIVER}
_MAY_DROP = frozenset({Kind.COMMERCIAL, Kind.DISCUSSION, Kind.FORWARDED})
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

_BOOK_KEYS = ("title", "version", "summary", "rule", "example")
_RULE_KEYS = ("id", "when", "then", "reason", "cite", "explain")


@dataclass(frozen=True, slots=True)
class Rulebook:
    """One checked file of rules."""

    name: str
    file: str
    title: str
    version: str
    summary: str
    rules: tuple[Rule, ...]
    examples: int
    """How many of its examples ran."""
    text: str
    """The TOML as it was loaded; the digest is over this."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rulebooks that judge one tenant's mail, in order."""

    names: tuple[str, ...]
    rules: tuple[Rule, ...]
    digest: str
    """SHA-256 over names and texts, hexadecimal, first 16 digits."""


def load(name: str, text: str, file: str) -> Rulebook:
    """Read and check one rulebook. ``file`` is what messages call it. Raises RulebookError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulebookError(f"{file}: not valid TOML: {error}") from error
    place = Place(file, text)
    known_keys(data, _BOOK_KEYS, place.whole())
    rules = tuple(
        _rule(name, raw, place.rule(number, raw))
        for number, raw in enumerate(tables(data, "rule", place))
    )
    if not rules:
        raise RulebookError(f"{file}: there is no [[rule]]")
    _no_conflicts(rules, place)
    examples = tables(data, "example", place)
    for number, raw in enumerate(examples):
        run_example(raw, rules, place.example(number))
    return Rulebook(
        name=name,
        file=file,
        title=text_of(data, "title", place.whole()),
        version=text_of(data, "version", place.whole()),
        summary=text_of(data, "summary", place.whole(), default=""),
        rules=rules,
        examples=len(examples),
        text=text,
    )


def compile(rulebooks: Sequence[Rulebook]) -> Policy:  # noqa: A001 - what one does to rulebooks
    """Put rulebooks together in the order given. Raises RulebookError for a book named twice."""
    names = tuple(book.name for book in rulebooks)
    for name in names:
        if names.count(name) > 1:
            raise RulebookError(f"rulebook {name!r} is named twice")
    digest = hashlib.sha256()
    for book in rulebooks:
        for part in (book.name.encode(), book.text.encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return Policy(
        names=names,
        rules=tuple(rule for book in rulebooks for rule in book.rules),
        digest=digest.hexdigest()[:16],
    )


def _rule(book: str, raw: Mapping[str, object], where: str) -> Rule:
    known_keys(raw, _RULE_KEYS, where)
    rule_id = text_of(raw, "id", where)
    if _ID.fullmatch(rule_id) is None:
        raise RulebookError(f"{where}: id must be lower-case words joined by hyphens")
    accepted = _when(raw, where)
    then = _then(text_of(raw, "then", where), where)
    kinds = accepted.get("kind", frozenset(Kind))
    if then is Action.DROP and not all(kind in _MAY_DROP for kind in Kind if kind in kinds):
        raise RulebookError(
            f"{where}: then = 'drop' needs a kind that leaves out transactional, personal and "
            f"auto: such mail is never dropped"
        )
    reason = _reason(text_of(raw, "reason", where), where)
    cite = _cite(raw, where)
    explain = text_of(raw, "explain", where, default="")
    possible = tuple(Action) if then is None else (then,)
    return Rule(
        id=rule_id,
        book=book,
        tests=tuple((INDEX[name], facts) for name, facts in accepted.items()),
        then=then,
        reason=reason,
        cite=cite,
        explain=explain,
        findings={
            action: Finding(f"{book}/{rule_id}", action, reason, explain, cite)
            for action in possible
        },
    )


def _when(raw: Mapping[str, object], where: str) -> dict[str, frozenset[Fact] | range]:
    when = raw.get("when")
    if not isinstance(when, dict):
        raise RulebookError(f"{where}: key 'when' is missing or no table")
    if not when:
        raise RulebookError(f"{where}: 'when' is empty, so the rule would fire for all mail")
    accepted: dict[str, frozenset[Fact] | range] = {}
    for key, value in when.items():
        term = BY_KEY.get(key)
        if term is None:
            raise RulebookError(f"{where}: when: unknown key {key!r}{nearest(key, BY_KEY)}")
        try:
            accepted[term.name] = term.accepted(value)
        except TermError as error:
            raise RulebookError(f"{where}: when: {error}") from error
    _can_fire(accepted, where)
    return accepted


def _can_fire(accepted: Mapping[str, frozenset[Fact] | range], where: str) -> None:
    """Some combination of facts must satisfy the conditions and every law of the vocabulary."""
    laws = [law for law in IMPLICATIONS if law.term in accepted and law.other in accepted]
    names = sorted({name for law in laws for name in (law.term, law.other)})
    choices = [tuple(accepted[name]) for name in names]
    if not any(
        broken_law(dict(zip(names, chosen, strict=True))) is None
        for chosen in itertools.product(*choices)
    ):
        raise RulebookError(
            f"{where}: can never fire: no message has these values of {', '.join(names)} together"
        )


def _then(word: str, where: str) -> Action | None:
    if word == CONFIGURED:
        return None
    if word == Action.DELIVER.slug:
        raise RulebookError(
            f"{where}: then = 'deliver' does not exist: an exemption is a condition in 'when'"
        )
    known = (*_ACTIONS, CONFIGURED)
    if word not in _ACTIONS:
        raise RulebookError(
            f"{where}: then cannot be {word!r}{nearest(word, known)}; "
            f"it is one of {', '.join(known)}"
        )
    return _ACTIONS[word]


def _reason(word: str, where: str) -> Reason:
    try:
        return Reason(word)
    except ValueError:
        hint = nearest(word, Reason)
        raise RulebookError(f"{where}: unknown reason {word!r}{hint}") from None


def _cite(raw: Mapping[str, object], where: str) -> tuple[str, ...]:
    cite = raw.get("cite", [])
    if not isinstance(cite, list) or not all(isinstance(clause, str) for clause in cite):
        raise RulebookError(f"{where}: cite must be a list of clause ids")
    for clause in cite:
        if clause not in CLAUSES:
            raise RulebookError(f"{where}: cite: there is no clause {clause!r} (A1-A20, B1-B32)")
    return tuple(cite)


def _no_conflicts(rules: Sequence[Rule], place: Place) -> None:
    by_id: dict[str, Rule] = {}
    by_when: dict[frozenset[object], Rule] = {}
    for number, rule in enumerate(rules):
        where = place.rule(number, {"id": rule.id})
        if rule.id in by_id:
            raise RulebookError(f"{where}: the id is used twice")
        by_id[rule.id] = rule
        earlier = by_when.setdefault(frozenset(rule.tests), rule)
        if earlier is rule:
            continue
        if earlier.then is not rule.then:
            raise RulebookError(
                f"{where}: contradicts rule {earlier.id!r}: the same 'when', another 'then'"
            )
        raise RulebookError(f"{where}: repeats rule {earlier.id!r}: the same 'when'")
