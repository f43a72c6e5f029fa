"""Renders the public pages: Jinja2 with autoescape, one inline style, no script."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from relay.web.language import LANGUAGES, NAMES, negotiate
from relay.web.rendering import environment

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "style.css").read_text(encoding="utf-8")


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
    html = (
        environment(_TEMPLATES, language)
        .get_template(template)
        .render(
            style=_STYLE,
            others=[(code, NAMES[code]) for code in LANGUAGES if code != language],
            **values,
        )
    )
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    return HTMLResponse(html, status, headers)
