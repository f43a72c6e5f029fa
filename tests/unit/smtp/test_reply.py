"""The reply table of the contract, and folding many verdicts into one reply."""

from __future__ import annotations

import re

import pytest

from relay.decide.address import parse_address
from relay.model import Accepted, Action, Reason, Refusal, Verdict
from relay.smtp import reply
from relay.smtp.reply import Reply, fold

URL = "https://relay.test/"
TABLE = [value for value in vars(reply).values() if isinstance(value, Reply)]


def verdict(action: Action, reason: Reason | None = None) -> Verdict:
    return Verdict(parse_address("b@y.test"), action, reason, "base/x", (), "")


def folded(*verdicts: Verdict) -> str:
    return str(fold(Accepted("ID", verdicts), URL))


@pytest.mark.parametrize("one", TABLE, ids=str)
def test_every_reply_has_the_enhanced_code_of_its_class(one: Reply) -> None:
    if one.code == 354:
        assert one.enhanced == ""
    else:
        assert re.fullmatch(rf"{str(one.code)[0] if one.code != 334 else 2}\.\d\.\d+", one.enhanced)
    assert str(one).isprintable()
    assert str(one).isascii()


def test_counts_above_zero() -> None:
    assert folded(verdict(Action.DELIVER)) == "250 2.0.0 Ok: ID sent=1"
    assert (
        folded(
            verdict(Action.DELIVER),
            verdict(Action.QUARANTINE, Reason.NO_CONSENT),
            verdict(Action.DROP, Reason.WITHDRAWN),
            verdict(Action.DELAY, Reason.RATE),
            verdict(Action.QUARANTINE, Reason.PENDING),
        )
        == "250 2.0.0 Ok: ID sent=1 held=2 dropped=1 delayed=1"
    )


def test_a_refused_one_among_others_is_counted() -> None:
    mixed = folded(verdict(Action.REJECT, Reason.NO_CONSENT), verdict(Action.DROP))
    assert mixed == "250 2.0.0 Ok: ID dropped=1 refused=1"


def test_all_refused_is_the_first_reason() -> None:
    assert folded(
        verdict(Action.REJECT, Reason.WITHDRAWN), verdict(Action.REJECT, Reason.NO_CONSENT)
    ) == ("550 5.7.1 Recipient has unsubscribed reason=withdrawn https://relay.test/why/withdrawn")


def test_one_unknown_defers_all() -> None:
    assert folded(
        verdict(Action.DELIVER), verdict(Action.DEFER, Reason.INTERNAL), verdict(Action.REJECT)
    ).startswith("451 4.3.0 ")


@pytest.mark.parametrize(
    ("action", "reason", "start"),
    [
        (Action.DEFER, Reason.SUSPENDED, "450 4.7.1 "),
        (Action.DEFER, Reason.RATE, "451 4.7.1 "),
        (Action.DEFER, Reason.FOREIGN_SENDER, "451 4.3.0 "),
        (Action.REJECT, Reason.FOREIGN_SENDER, "553 5.7.1 "),
        (Action.REJECT, Reason.LOOP, "554 5.4.6 "),
        (Action.REJECT, Reason.SUSPENDED, "550 5.7.1 "),
        (Action.REJECT, None, "550 5.7.1 "),
    ],
)
def test_the_action_says_whether_to_try_again(
    action: Action, reason: Reason | None, start: str
) -> None:
    assert folded(verdict(action, reason)).startswith(start)


@pytest.mark.parametrize("action", [Action.REJECT, Action.DEFER])
@pytest.mark.parametrize("reason", Reason)
def test_every_reason_can_be_said(action: Action, reason: Reason) -> None:
    words = folded(verdict(action, reason))
    assert f"reason={reason.value}" in words
    assert words[0] == ("5" if action is Action.REJECT else "4")
    assert len(words) < 510


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason.SUSPENDED, "450 4.7.1 text reason=suspended"),
        (
            Reason.FOREIGN_SENDER,
            "553 5.7.1 text reason=foreign-sender https://relay.test/why/foreign-sender",
        ),
        (
            Reason.UNKNOWN_LIST,
            "550 5.7.1 text reason=unknown-list https://relay.test/why/unknown-list",
        ),
        (Reason.RATE, "451 4.7.1 text reason=rate"),
        (Reason.QUOTA, "452 4.3.1 text reason=quota"),
        (Reason.LOOP, "554 5.4.6 text reason=loop https://relay.test/why/loop"),
        (Reason.INTERNAL, "451 4.3.0 text reason=internal"),
    ],
)
def test_refusals(reason: Reason, words: str) -> None:
    assert str(fold(Refusal(reason, "text"), URL)) == words


def test_no_text_breaks_the_line() -> None:
    words = str(fold(Refusal(Reason.RATE, "a\r\n250 ok\x85\u2028é" + "x" * 1000), URL))
    assert words.isprintable()
    assert words.isascii()
    assert len(words) < 400


@pytest.mark.parametrize(
    ("problem", "start"),
    [
        ("bare-newline", "550 5.5.2 "),
        ("long-line", "550 5.6.0 "),
        ("nul", "550 5.6.0 "),
        ("header", "550 5.6.0 "),
        ("header-too-large", "552 5.3.4 "),
    ],
)
def test_content_problems(problem: str, start: str) -> None:
    assert str(reply.content_problem(problem)).startswith(start)


def test_hello_is_one_reply() -> None:
    assert reply.hello("mx.test", ("A", "B")) == "250-mx.test\r\n250-A\r\n250 B"
    assert reply.hello("mx.test") == "250 mx.test"
