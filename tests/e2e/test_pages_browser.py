"""The public pages in a real browser: phone and desktop, Dutch and English, keyboard, no script.

With ``SCREENSHOTS=DIRECTORY`` in the environment every page is also saved there, to be looked at.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.unit.web.book import TOKEN, Site, serve

CHROMIUM = Path("/usr/bin/chromium")
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed")


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--headless",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with serve() as running:
        yield running


async def _page(browser: Browser, language: str, size: str) -> Page:
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        locale={"nl": "nl-NL", "en": "en-GB"}[language],
        # The pages must work without; a policy error would still reach the console.
        java_script_enabled=False,
    )
    return await context.new_page()


async def _keep(page: Page, name: str) -> None:
    if directory := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)


async def _width(page: Page) -> float:
    box = await page.locator("html").bounding_box()
    assert box is not None
    return box["width"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("language", "question", "button", "done", "lost"),
    [
        (
            "nl",
            "Wilt u zich uitschrijven?",
            "Uitschrijven",
            "U bent uitgeschreven",
            "Deze link werkt niet",
        ),
        (
            "en",
            "Do you want to unsubscribe?",
            "Unsubscribe",
            "You are unsubscribed",
            "This link does not work",
        ),
    ],
)
async def test_person_unsubscribes_with_one_button(
    browser: Browser,
    site: Site,
    language: str,
    size: str,
    question: str,
    button: str,
    done: str,
    lost: str,
) -> None:
    page = await _page(browser, language, size)
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))

    await page.goto(f"{site.url}/u/{TOKEN}")
    assert await page.locator("h1").inner_text() == question
    assert await page.locator("html").get_attribute("lang") == language
    await _keep(page, f"unsubscribe-{language}-{size}")
    target = page.get_by_role("button")
    assert await target.count() == 1
    assert await target.inner_text() == button
    box = await target.bounding_box()
    assert box is not None
    assert box["height"] >= 44, "large enough for a thumb"
    assert box["y"] + box["height"] <= SIZES[size][1], "reached without scrolling"
    assert await _width(page) <= SIZES[size][0], "no sideways scrolling"
    assert site.book.acts == []

    await target.click()
    await page.wait_for_load_state()
    assert await page.locator("h1").inner_text() == done
    await _keep(page, f"done-{language}-{size}")
    assert [act.channel for act in site.book.acts] == ["page"]
    assert await page.context.cookies() == []
    assert troubles == [], "the policy lets the style through and nothing else was asked for"

    await page.goto(f"{site.url}/u/{TOKEN}")
    await _keep(page, f"already-{language}-{size}")
    assert await page.get_by_role("button").count() == 0

    await page.goto(f"{site.url}/why/no-consent")
    await _keep(page, f"why-{language}-{size}")
    assert await _width(page) <= SIZES[size][0]

    await page.goto(f"{site.url}/u/no-such-token")
    assert await page.locator("h1").inner_text() == lost
    await _keep(page, f"lost-{language}-{size}")


async def test_keyboard_alone_is_enough(browser: Browser, site: Site) -> None:
    page = await _page(browser, "en", "desktop")
    await page.goto(f"{site.url}/u/{TOKEN}")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert [act.channel for act in site.book.acts] == ["page"]


async def test_style_is_applied_and_language_link_works(browser: Browser, site: Site) -> None:
    page = await _page(browser, "en", "phone")
    await page.goto(f"{site.url}/u/{TOKEN}")
    background = await page.get_by_role("button").evaluate(
        "element => getComputedStyle(element).backgroundColor"
    )
    assert background == "rgb(11, 92, 173)"
    await page.get_by_role("link", name="Nederlands").click()
    await page.get_by_role("heading", name="Wilt u zich uitschrijven?").wait_for()
    await page.get_by_role("button", name="Uitschrijven").click()
    await page.get_by_role("heading", name="U bent uitgeschreven").wait_for()
