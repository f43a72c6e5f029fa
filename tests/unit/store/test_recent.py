"""The memory of mail just accepted is bounded."""

from __future__ import annotations

from relay.store.mail.recent import RecentMail
from tests.unit.store.samples import copy, message


def test_the_least_recently_used_goes_first() -> None:
    recent = RecentMail(limit=25_000)
    for number in ("a", "b"):
        recent.put(message(number), b"x" * 8_000, [copy(number)])
    assert recent.get("a") is not None
    recent.put(message("c"), b"x" * 8_000, [copy("c")])
    assert recent.get("b") is None
    assert recent.get("a") is not None
    assert recent.get("c") is not None


def test_what_is_larger_than_the_memory_is_not_remembered() -> None:
    recent = RecentMail(limit=20_000)
    recent.put(message("a"), b"x" * 8_000)
    recent.put(message("b"), b"x" * 30_000)
    assert recent.get("b") is None
    assert recent.get("a") is not None


def test_a_change_forgets_copies_and_of_single_copies_the_message() -> None:
    recent = RecentMail()
    recent.put(message("one"), b"x", [copy("one")])
    recent.put(message("two", n=2), b"x", [copy("two", 1), copy("two", 2)])
    recent.changed("one")
    recent.changed("two")
    recent.changed("unknown")
    assert recent.get("one") is None
    kept = recent.get("two")
    assert kept is not None
    assert kept.copies is None
