"""The shipped rulebooks as data: their examples ran when they loaded, here is what is left."""

from __future__ import annotations

import tomllib

import pytest

from relay.decide.rulebook import load
from tests.unit.decide.samples import POLICIES, shipped

SHIPPED = ["base", "strict-opt-in"]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_rule_is_shown_deciding_by_an_example(name: str) -> None:
    text = (POLICIES / f"{name}.toml").read_text("utf-8")
    book = load(name, text, name)
    shown = {example["expect"].get("rule") for example in tomllib.loads(text)["example"]}
    assert {rule.id for rule in book.rules} <= shown


def test_every_rule_explains_itself_in_one_sentence() -> None:
    for rule in shipped().rules:
        assert rule.explain.endswith("."), rule.name
        assert len(rule.explain) <= 100, rule.name


def test_every_rule_of_the_policy_cites_a_clause() -> None:
    for rule in shipped().rules:
        assert rule.cite or rule.book == "base", rule.name
