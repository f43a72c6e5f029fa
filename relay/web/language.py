"""Dutch or English: which one a browser wants, and its texts."""

from __future__ import annotations

import gettext
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LANGUAGES: Final = ("en", "nl")
"""What we speak; the first is for everybody else, and the language of the source texts."""

NAMES: Final[Mapping[str, str]] = {"en": "English", "nl": "Nederlands"}

_QVALUE = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def negotiate(accept_language: str) -> str:
    """The best of our languages for an Accept-Language field (RFC 9110 section 12.5.4).

    ``nl-BE`` is served by ``nl``; an item that is not well formed is passed over; ``q=0`` refuses.
    """
    wanted: dict[str, float] = {}
    for item in accept_language.lower().split(",")[:20]:
        tag, _, parameter = (part.strip() for part in item.partition(";"))
        quality = 1.0
        if parameter:
            name, _, value = (part.strip() for part in parameter.partition("="))
            if name != "q" or not _QVALUE.fullmatch(value):
                continue
            quality = float(value)
        language = tag.partition("-")[0]
        if language:
            wanted[language] = max(quality, wanted.get(language, 0.0))
    rest = wanted.get("*", 0.0)
    best = max(LANGUAGES, key=lambda language: wanted.get(language, rest))
    return best if wanted.get(best, rest) > 0 else LANGUAGES[0]


def translations(language: str) -> gettext.NullTranslations:
    """The catalogue of one of our languages."""
    if language == LANGUAGES[0]:
        return gettext.NullTranslations()
    return gettext.translation("messages", Path(__file__).parent / "locales", [language])
