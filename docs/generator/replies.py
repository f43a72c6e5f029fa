"""The page of SMTP replies, from ``relay.smtp.reply``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docs.generator.markdown import code, table
from docs.generator.words import CONTENT_PROBLEMS, REPLIES
from relay.model import Accepted, Action, Reason, Refusal, Verdict
from relay.smtp import reply

PUBLIC_URL = "https://mail.example.net"
"""Stands for ``http.public_url``."""


def replies() -> Iterator[str]:
    """Every reply of the front door."""
    yield "# SMTP replies"
    yield ""
    yield (
        "What the relay says to its clients. Every reply but greeting, HELO, EHLO, 334 and 354 "
        "carries an enhanced code (RFC 3463). No reply ever repeats what the client sent."
    )
    yield ""
    yield "## After the final dot"
    yield ""
    yield (
        "One reply stands for all recipients. Something that cannot be known now: 451 for all. "
        "All refused: the reply of the first. Otherwise 250 with the counts that are above zero; "
        "recipients refused by rule then come back as a delivery report to the envelope sender "
        "(with the null sender they are held instead)."
    )
    yield ""
    yield from table(("reply", "when"), [(code(line), when) for line, when in outcomes()])
    yield "## Refused by rule, for all recipients"
    yield ""
    yield (
        "The text names the reason; after a 5xx comes the page that explains it. The words before "
        "the reason may say more, such as the limit that was reached. [Reasons](reasons.md) says "
        "what each one means, and which of them nothing gives yet."
    )
    yield ""
    yield from table(
        ("reason", "reply"),
        [(code(reason.value), code(str(policy_reply(reason)))) for reason in Reason],
    )
    yield "## Content that cannot be taken"
    yield ""
    rows = [
        (code(str(reply.content_problem(problem))), when)
        for problem, when in CONTENT_PROBLEMS.items()
    ]
    yield from table(("reply", "when"), rows)
    yield "## The conversation"
    yield ""
    yield (
        "After `smtp.max_errors` commands answered with a 5xx the session ends with 421. What "
        "rulebooks say of a message is no error."
    )
    yield ""
    found = sorted(fixed_replies().items(), key=lambda item: item[1].code)
    yield from table(("reply", "when"), [(code(str(one)), REPLIES[name]) for name, one in found])


def fixed_replies() -> dict[str, reply.Reply]:
    """Name of the constant → reply."""
    return {
        name: value
        for name, value in vars(reply).items()
        if isinstance(value, reply.Reply) and not name.startswith("_")
    }


def policy_reply(reason: Reason) -> reply.Reply:
    """The reply when this reason turns a whole transaction away."""
    return reply.fold(Refusal(reason, reply._REASON_TEXTS[reason]), PUBLIC_URL)


def outcomes() -> Iterator[tuple[str, str]]:
    """Sample replies after DATA."""
    recipient: Any = None

    def verdict(action: Action, reason: Reason | None) -> Verdict:
        return Verdict(recipient, action, reason, None, (), "")

    mixed = (
        verdict(Action.DELIVER, None),
        verdict(Action.QUARANTINE, Reason.NO_CONSENT),
        verdict(Action.DROP, Reason.WITHDRAWN),
        verdict(Action.DELAY, Reason.RATE),
        verdict(Action.REJECT, Reason.SUPPRESSED),
    )
    yield (
        str(reply.fold(Accepted("ID", mixed), PUBLIC_URL)),
        "taken, and on disk; each number counts recipients",
    )
    deferred = (verdict(Action.DEFER, Reason.INTERNAL),)
    yield str(reply.fold(Accepted("ID", deferred), PUBLIC_URL)), "a verdict cannot be given now"
    yield str(reply.trouble("ID")), "the store cannot be written, or a fault of ours; see the log"
    yield str(reply.closing("ID")), "a fault of ours outside any command"
