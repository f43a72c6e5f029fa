"""The question that our own forms ask; a tenant's own form may ask it in other words."""

from __future__ import annotations

from relay.web.language import translations
from relay.web.rendering import promise_text


def standard_question(*, purpose: str, promise: str, sender: str, language: str) -> str:
    """The text beside the box, in one of our languages; ``promise`` is ``N/day|week|month``."""
    text = translations(language).gettext(
        "Yes, send me: %(purpose)s (%(promise)s), from %(sender)s."
    )
    return text % {
        "purpose": purpose.strip().rstrip("."),
        "promise": promise_text(promise, language),
        "sender": sender.strip().rstrip("."),
    }
