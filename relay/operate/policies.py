"""The rulebooks: whether they are whole, and what they say."""

from __future__ import annotations

from relay.operate.errors import OperationError
from relay.ports import Json
from relay.rulebooks import Rulebooks


def listing() -> list[dict[str, Json]]:
    """``{name, title, version, rules, examples, file}`` of every rulebook; each is checked and
    its examples have run. Raises RulebookError."""
    books = Rulebooks.read().books
    return [
        {
            "name": name,
            "title": book.title,
            "version": book.version,
            "rules": len(book.rules),
            "examples": book.examples,
            "file": book.file,
        }
        for name, book in sorted(books.items())
    ]


def show(name: str) -> dict[str, Json]:
    """``{name, title, version, summary, text, rules: [{id, then, reason, cite, explain}]}``.

    Raises RulebookError, OperationError when there is none of that name.
    """
    books = Rulebooks.read().books
    book = books.get(name)
    if book is None:
        raise OperationError(f"no rulebook {name!r}; there are: {', '.join(sorted(books))}")
    return {
        "name": name,
        "title": book.title,
        "version": book.version,
        "summary": book.summary,
        "text": book.text,
        "rules": [
            {
                "id": rule.id,
                "then": "configured" if rule.then is None else rule.then.slug,
                "reason": rule.reason,
                "cite": rule.cite,
                "explain": rule.explain,
            }
            for rule in book.rules
        ],
    }
