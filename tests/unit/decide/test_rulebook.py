from __future__ import annotations

import re

import pytest

from relay.decide.rulebook import Rulebook, RulebookError, load
from relay.decide.rulebook import compile as compile_books
from relay.model import Action, Reason

GOOD = """
title = "Test"
version = "1"

[[rule]]
id = "no-consent"
when = { kind = "commercial", standing = ["absent", "pending"], internal = false }
then = "configured"
reason = "no-consent"
cite = ["A2", "B32"]
explain = "Nothing on record."

[[rule]]
id = "crowd"
when = { recipients_over = 5 }
then = "reject"
reason = "unmarked-bulk"

[[example]]
given = { kind = "commercial", standing = "pending" }
expect = { then = "configured", rule = "no-consent" }

[[example]]
given = { kind = "commercial", recipients = 6 }
expect = { then = "reject", rule = "crowd" }

[[example]]
given = { recipients = 5 }
expect = { then = "deliver" }
"""


def read(text: str = GOOD, name: str = "test") -> Rulebook:
    return load(name, text, f"{name}.toml")


def refused(text: str) -> str:
    with pytest.raises(RulebookError) as caught:
        read(text)
    return str(caught.value)


def rule(when: str, then: str = '"quarantine"', **extra: str) -> str:
    lines = {"id": '"r"', "when": when, "then": then, "reason": '"no-consent"', **extra}
    body = "\n".join(f"{key} = {value}" for key, value in lines.items())
    return f'title = "t"\nversion = "1"\n[[rule]]\n{body}\n'


def test_a_good_book() -> None:
    book = read()
    assert (book.name, book.title, book.version, book.examples) == ("test", "Test", "1", 3)
    first = book.rules[0]
    assert (first.name, first.then, first.reason) == ("test/no-consent", None, Reason.NO_CONSENT)
    assert first.cite == ("A2", "B32")
    assert first.finding(Action.DROP).action is Action.DROP
    assert first.finding(Action.DROP).detail == "Nothing on record."
    assert book.rules[1].finding(Action.DROP).action is Action.REJECT


def test_messages_name_file_line_rule_and_nearest_key() -> None:
    message = refused(GOOD.replace('reason = "unm', 'resaon = "unm'))
    assert message == ("test.toml:13: rule 'crowd': unknown key 'resaon' (did you mean 'reason'?)")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("title =", "titel =", r"test\.toml: unknown key 'titel' \(did you mean 'title'"),
        ('title = "Test"', "", r"test\.toml: key 'title' is missing"),
        ('version = "1"', "version = 1", r"version must be a text, not 1"),
        ('"1"\n\n[[rule]]', '"1"\n\n[[rules]]', r"unknown key 'rules' \(did you mean 'rule'"),
        ('id = "crowd"', "", r":13: rule number 2: key 'id' is missing"),
        ('id = "crowd"', 'id = "Big Crowd"', r"id must be lower-case words"),
        ('id = "crowd"', 'id = "no-consent"', r":13: rule 'no-consent': the id is used twice"),
        ("recipients_over", "recipients_ove", r"when: unknown key .* mean 'recipients_over'"),
        ('kind = "commercial", standing = [', 'kind = "x", standing = [', r"kind cannot be 'x'"),
        ('"absent", "pending"', "", r"standing = \[\] can never hold"),
        ("{ recipients_over = 5 }", "{}", r"'when' is empty"),
        ("when = { recipients_over = 5 }", "", r"key 'when' is missing"),
        ("when = { recipients_over = 5 }", "when = 5", r"key 'when' is missing or no table"),
        ('then = "reject"', 'then = "rejct"', r"then cannot be 'rejct' \(did you mean 'reject'"),
        ('then = "reject"', 'then = "deliver"', r"does not exist: an exemption is a condition"),
        ('then = "reject"', 'then = "drop"', r"such mail is never dropped"),
        ('"unmarked-bulk"', '"unmarked-bluk"', r"unknown reason .* mean 'unmarked-bulk'"),
        ('"A2", "B32"', '"A2", "B33"', r"no clause 'B33'"),
        ('"A2", "B32"', '"A0"', r"no clause 'A0'"),
        ('["A2", "B32"]', '"A2"', r"cite must be a list"),
        ("{ recipients = 5 }", "{ recipient = 5 }", r":27: example number 3: given: unknown key"),
        ("{ recipients = 5 }", '{ kind = "autp" }', r"example number 3: given: kind cannot be"),
        ("{ recipients = 5 }", '{ kind = "auto" }', r"kind = auto cannot stand with null_sender"),
        (
            "{ recipients = 5 }",
            "{ recipients = 6 }",
            r":27: example number 3: fails: expected then",
        ),
        ('rule = "crowd" }', 'rule = "x" }', r"fails: expected then = 'reject' by rule 'x'"),
        ('{ then = "deliver" }', "{ }", r"example number 3: expect: key 'then' is missing"),
        ('{ then = "deliver" }', "{ that = 1 }", r"expect: unknown key 'that'"),
        ('expect = { then = "deliver" }', "", r"needs the tables 'given' and 'expect'"),
        ("title", "title = ", r"test\.toml: not valid TOML: .*line 2"),
    ],
)
def test_refused(old: str, new: str, words: str) -> None:
    assert old in GOOD
    assert re.search(words, refused(GOOD.replace(old, new, 1)))


def test_no_rules() -> None:
    assert "there is no [[rule]]" in refused('title = "t"\nversion = "1"')
    assert "must be written as [[rule]]" in refused('rule = "x"')


@pytest.mark.parametrize(
    "when",
    [
        '{ kind = "auto", null_sender = false }',
        '{ standing = ["absent", "withdrawn"], basis = "confirmed" }',
        '{ unmarked_bulk = true, kind = ["commercial", "personal"] }',
        '{ over_personal_limit = true, kind = "commercial" }',
        '{ kind = "personal", declared = true }',
        "{ unmarked_bulk = true, released = true }",
        '{ over_personal_limit = true, kind = ["personal", "commercial"], declared = true }',
    ],
)
def test_a_rule_that_can_never_fire(when: str) -> None:
    assert "test.toml:3: rule 'r': can never fire" in refused(rule(when))


@pytest.mark.parametrize(
    "when",
    [
        '{ kind = ["auto", "personal"], null_sender = false }',
        '{ standing = ["absent", "granted"], basis = "confirmed" }',
        '{ unmarked_bulk = false, kind = "commercial" }',
    ],
)
def test_a_rule_that_can_fire(when: str) -> None:
    assert read(rule(when)).rules


@pytest.mark.parametrize(
    ("when", "fine"),
    [
        ('{ kind = "commercial" }', True),
        ('{ kind = ["commercial", "discussion"] }', True),
        ('{ kind = ["commercial", "transactional"] }', False),
        ('{ kind = "personal" }', False),
        ('{ standing = "withdrawn" }', False),
    ],
)
def test_only_mail_that_needs_consent_may_be_dropped(when: str, fine: bool) -> None:
    text = rule(when, '"drop"')
    if fine:
        assert read(text).rules[0].then is Action.DROP
    else:
        assert "never dropped" in refused(text)


def test_contradiction_and_repetition() -> None:
    def twice(first: str, second: str, then: str) -> str:
        return (
            rule(first)
            + f'[[rule]]\nid = "s"\nwhen = {second}\nthen = "{then}"\nreason = "no-consent"\n'
        )

    same, reordered = (
        '{ kind = ["auto", "personal"], auto = true }',
        ('{ auto = [true], kind = ["personal", "auto"] }'),
    )
    assert ":8: rule 's': contradicts rule 'r'" in refused(twice(same, reordered, "reject"))
    assert ":8: rule 's': repeats rule 'r'" in refused(twice(same, reordered, "quarantine"))
    assert read(twice(same, "{ auto = true }", "reject")).rules


def test_compile_joins_in_order_and_digests_every_octet() -> None:
    one, two = read(name="one"), read(name="two")
    policy = compile_books([one, two])
    assert policy.names == ("one", "two")
    assert [rule.name for rule in policy.rules] == [
        "one/no-consent",
        "one/crowd",
        "two/no-consent",
        "two/crowd",
    ]
    assert re.fullmatch(r"[0-9a-f]{16}", policy.digest)
    assert policy.digest == compile_books([read(name="one"), read(name="two")]).digest
    others = (
        [two, one],
        [one],
        [one, load("two", GOOD + "# changed\n", "two.toml")],
    )
    assert all(compile_books(books).digest != policy.digest for books in others)


def test_compile_refuses_a_book_twice() -> None:
    with pytest.raises(RulebookError, match="'test' is named twice"):
        compile_books([read(), read()])
