"""What the unsubscribe page says about how much stops (clause B21)."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from relay.model import ScopeLevel
from tests.unit.web.book import PAGE, TOKEN, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("change", "asked", "done"),
    [
        ({}, "no more mail from this list", "no more mail from this list"),
        (
            {"scope": ScopeLevel.BRAND, "brand": "Korenbloem Thuis"},
            "no more newsletters or offers from Korenbloem Thuis, not from its other lists",
            "Korenbloem Thuis can send you no more newsletters or offers.",
        ),
        (
            {"scope": ScopeLevel.TENANT},
            "Bakkerij De Korenbloem B.V. can send you no more newsletters or offers.",
            "Bakkerij De Korenbloem B.V. can send you no more newsletters or offers.",
        ),
        (
            {"scope": ScopeLevel.TENANT, "purpose": "", "promise": ""},
            "Bakkerij De Korenbloem B.V. can send you no more newsletters or offers.",
            "Bakkerij De Korenbloem B.V. can send you no more newsletters or offers.",
        ),
    ],
)
async def test_scope_is_said_before_and_after(
    site: Site, web: httpx.AsyncClient, change: dict[str, object], asked: str, done: str
) -> None:
    site.book.pages[TOKEN] = replace(PAGE, **change)  # type: ignore[arg-type]
    assert asked in (await web.get(f"/u/{TOKEN}")).text
    assert done in (await web.post(f"/u/{TOKEN}", data={"confirm": "1"})).text


async def test_what_is_not_known_has_no_empty_row(site: Site, web: httpx.AsyncClient) -> None:
    site.book.pages[TOKEN] = replace(PAGE, purpose="", promise="")
    html = (await web.get(f"/u/{TOKEN}")).text
    assert "How often" not in html
    assert "What they send" not in html
