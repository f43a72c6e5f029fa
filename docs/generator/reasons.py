"""The page of reasons, from ``relay.web.reasons`` and the shipped rulebooks."""

from __future__ import annotations

from collections.abc import Iterator

from docs.generator.words import GIVEN_BY_CODE
from relay.model import Reason
from relay.rulebooks import Rulebooks
from relay.web.reasons import EXPLANATIONS


def reasons() -> Iterator[str]:
    """Every reason: what it tells a sender, and what gives it."""
    yield "# Reasons"
    yield ""
    yield (
        "A closed list. The same word stands in rulebooks, in the store, in "
        "`relay_recipients_total{reason}`, in log lines, in SMTP replies (`reason=…`) and in the "
        f"page `/why/REASON`, which says what follows in Dutch and English. "
        f"{len(Reason)} reasons; those that nothing in this release gives keep their word for a "
        "later one."
    )
    yield ""
    givers = rules_by_reason()
    for reason in Reason:
        text = EXPLANATIONS[reason]
        yield f"## {reason.value}"
        yield ""
        yield f"**{text.title}.** {text.happened} {text.why}"
        yield ""
        yield f"*What the sender can do:* {text.next}"
        yield ""
        by = [f"`{rule}` ({then})" for rule, then in givers.get(reason, ())]
        if reason in GIVEN_BY_CODE:
            by.append(GIVEN_BY_CODE[reason])
        yield f"*Given by:* {'; '.join(by)}." if by else "*Given by:* nothing in this release."
        yield ""


def rules_by_reason() -> dict[Reason, list[tuple[str, str]]]:
    """Reason → (``rulebook/rule``, what it leads to) of the shipped rulebooks."""
    found: dict[Reason, list[tuple[str, str]]] = {}
    for _, book in sorted(Rulebooks.read().books.items()):
        for rule in book.rules:
            then = "as configured" if rule.then is None else rule.then.slug
            found.setdefault(rule.reason, []).append((rule.name, then))
    return found
