"""The languages that we speak: one for each catalogue in ``locales/``, and that of the source.

A new language is a new file, ``locales/CODE/LC_MESSAGES/messages.po`` with its compiled ``.mo``;
CODE is an ISO 639 code. The catalogue translates its own name, too.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

SOURCE: Final = "en"
"""Language of the texts in the code, and for everybody who asks for none of ours."""

_LOCALES = Path(__file__).parent / "locales"
_QVALUE = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The catalogue of one of our languages."""
    if language == SOURCE:
        return gettext.NullTranslations()
    return gettext.translation("messages", _LOCALES, [language])


LANGUAGES: Final[tuple[str, ...]] = (
    SOURCE,
    *sorted(file.parents[1].name for file in _LOCALES.glob("*/LC_MESSAGES/messages.mo")),
)
"""What we speak; the source first."""

NAMES: Final[Mapping[str, str]] = {
    language: translations(language).pgettext("the name of this language, in itself", "English")
    for language in LANGUAGES
}


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
    return best if wanted.get(best, rest) > 0 else SOURCE
