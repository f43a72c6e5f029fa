"""The worked examples inside a rulebook: they run whenever it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relay.decide.rule import Rule, worst
from relay.decide.tables import CONFIGURED, RulebookError, known_keys, text_of
from relay.decide.terms import INDEX, TERMS, Fact, TermError, broken_law, nearest
from relay.model import Action

_EXAMPLE_KEYS = ("given", "expect")
_EXPECT_KEYS = ("then", "rule")


def run_example(raw: Mapping[str, object], rules: Sequence[Rule], where: str) -> None:
    """Judge one ``[[example]]`` by the rules of its own book.

    ``configured`` means quarantine here. Raises RulebookError when the outcome is not the
    expected one, or the example cannot be read.
    """
    known_keys(raw, _EXAMPLE_KEYS, where)
    given, expect = raw.get("given"), raw.get("expect")
    if not isinstance(given, dict) or not isinstance(expect, dict):
        raise RulebookError(f"{where}: needs the tables 'given' and 'expect'")
    expecting = f"{where}: expect"
    known_keys(expect, _EXPECT_KEYS, expecting)
    wanted = (text_of(expect, "then", expecting), expect.get("rule"))

    facts = _facts(given, where)
    fired = [rule for rule in rules if rule.fires(facts)]
    decisive = worst(tuple(rule.finding(Action.QUARANTINE) for rule in fired))
    got: tuple[str, str | None] = (Action.DELIVER.slug, None)
    for rule in fired:
        if decisive is not None and rule.name == decisive.rule:
            left_open = rule.then is None and wanted[0] == CONFIGURED
            got = (CONFIGURED if left_open else decisive.action.slug, rule.id)
    if got != wanted:
        raise RulebookError(
            f"{where}: fails: expected then = {wanted[0]!r} by rule {wanted[1]!r}, "
            f"but it is {got[0]!r} by rule {got[1]!r}"
        )


def _facts(given: Mapping[str, object], where: str) -> tuple[Fact, ...]:
    facts: dict[str, Fact] = {term.name: term.usual for term in TERMS}
    for key, value in given.items():
        if key not in INDEX:
            raise RulebookError(f"{where}: given: unknown key {key!r}{nearest(key, INDEX)}")
        try:
            facts[key] = TERMS[INDEX[key]].fact(value)
        except TermError as error:
            raise RulebookError(f"{where}: given: {error}") from error
    law = broken_law(facts)
    if law is not None:
        raise RulebookError(
            f"{where}: given: {law.term} = {_word(facts[law.term])} cannot stand with "
            f"{law.other} = {_word(facts[law.other])}"
        )
    return tuple(facts[term.name] for term in TERMS)


def _word(fact: Fact) -> str:
    return str(fact).lower()
