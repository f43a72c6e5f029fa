"""Fills templates in one of our languages: those of the pages, and those of our letters."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from relay.web.language import translations

_PROMISE = re.compile(r"([1-9][0-9]{0,5})/(day|week|month)")


def _(text: str) -> str:
    """Mark ``text`` for the catalogues; it is translated when it is rendered."""
    return text


_MONTHS = (
    *(_("January"), _("February"), _("March"), _("April"), _("May"), _("June"), _("July")),
    *(_("August"), _("September"), _("October"), _("November"), _("December")),
)


@cache
def environment(folder: Path, language: str) -> Environment:
    """Templates of ``folder`` in ``language``; in ``*.html`` every name and word is escaped.

    Filters: ``promise`` (``2/week`` in words), ``covered`` (what consent to a notice covers),
    ``day`` and ``minute`` (epoch seconds as a date in UTC, without and with the time).
    """
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(["html"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.policies["ext.i18n.trimmed"] = True
    # The extension adds this method at run time.
    made.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    made.globals.update(language=language)
    made.filters.update(
        promise=lambda promise: promise_text(promise, language),
        covered=lambda it: covered_text(it.scope, it.sender, it.party, language),
        day=lambda at: day_text(at, language),
        minute=lambda at: minute_text(at, language),
    )
    return made


def promise_text(promise: str, language: str) -> str:
    """``2/week`` in words; what has another form is shown as it is."""
    match = _PROMISE.fullmatch(promise)
    if match is None:
        return promise
    number, period = int(match[1]), match[2]
    ngettext = translations(language).ngettext
    texts = {
        "day": ngettext("at most once a day", "at most %(number)d times a day", number),
        "week": ngettext("at most once a week", "at most %(number)d times a week", number),
        "month": ngettext("at most once a month", "at most %(number)d times a month", number),
    }
    return texts[period] % {"number": number}


def covered_text(scope: str, sender: str, party: str, language: str) -> str:
    """What a consent covers (B21): ``scope`` is list, brand or tenant."""
    gettext = translations(language).gettext
    if scope == "list":
        return gettext("this list alone")
    return gettext("all newsletters and offers from %(name)s") % {
        "name": sender if scope == "brand" else party
    }


def day_text(at: float, language: str) -> str:
    """Epoch seconds as a date (UTC): ``22 November 2026``."""
    date = datetime.fromtimestamp(at, UTC)
    gettext = translations(language).gettext
    return gettext("%(day)d %(month)s %(year)d") % {
        "day": date.day,
        "month": gettext(_MONTHS[date.month - 1]),
        "year": date.year,
    }


def minute_text(at: float, language: str) -> str:
    """Epoch seconds as date and time: ``22 November 2026, 14:03 UTC``."""
    return f"{day_text(at, language)}, {datetime.fromtimestamp(at, UTC):%H:%M} UTC"
