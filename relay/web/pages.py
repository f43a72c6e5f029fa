"""Renders the public pages: Jinja2 with autoescape, one inline style, no script."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from relay.web.language import LANGUAGES, NAMES, negotiate, translations

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
_PROMISE = re.compile(r"([1-9][0-9]{0,5})/(day|week|month)")


def content_security_policy() -> str:
    """Nothing but our own style, and forms that go to ourselves."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    )


def language_of(request: Request) -> str:
    """The language a person chose on the page (``?lang=``), else what the browser prefers."""
    chosen = request.query_params.get("lang", "")
    if chosen in LANGUAGES:
        return chosen
    return negotiate(",".join(request.headers.getlist("accept-language")))


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """One of ``templates/*.html`` in the asker's language."""
    language = language_of(request)
    html = _environment(language).get_template(template).render(**values)
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    return HTMLResponse(html, status, headers)


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


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    # The extension adds this method at run time.
    environment.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    environment.globals.update(
        language=language,
        others=[(code, NAMES[code]) for code in LANGUAGES if code != language],
        style=_STYLE,
    )
    environment.filters["promise"] = lambda promise: promise_text(promise, language)
    return environment
