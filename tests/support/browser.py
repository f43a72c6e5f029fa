"""A real browser (Debian's chromium through playwright), and what is asked of every page in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parents[1] / "interop/node_modules/axe-core/axe.min.js"
SIZES = {"phone": (360, 740), "desktop": (1280, 800)}
LOCALES = {"en": "en-GB", "nl": "nl-NL"}

missing = "".join(
    f"{name} is not installed; "
    for name, path in (("chromium", CHROMIUM), ("axe-core", AXE))
    if not path.exists()
)
"""Why the browser tests cannot run; empty when they can."""


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """One headless chromium that asks nothing of the network by itself."""
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
        try:
            yield chromium
        finally:
            await chromium.close()


async def person(
    browser: Browser, language: str = "en", size: str = "desktop", *, dark: bool = False
) -> BrowserContext:
    """Somebody with a browser of their own, in which the pages' scripts would not run."""
    width, height = SIZES[size]
    return await browser.new_context(
        viewport={"width": width, "height": height},
        locale=LOCALES[language],
        color_scheme="dark" if dark else "light",
        # The pages must work without; a policy error would still reach the console.
        java_script_enabled=False,
    )


async def inspector(
    browser: Browser, language: str = "en", size: str = "desktop", *, dark: bool = False
) -> BrowserContext:
    """As ``person``, with the script that ``violations`` needs."""
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        locale=LOCALES[language],
        color_scheme="dark" if dark else "light",
        bypass_csp=True,
    )
    await context.add_init_script(path=AXE)
    return context


async def violations(page: Page) -> list[str]:
    """What axe-core has against a page of an ``inspector`` (WCAG 2.2 A and AA, good practice)."""
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{page.url}: {each['id']}: {node['html']}: {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


async def sideways(page: Page) -> int:
    """CSS pixels by which the page is wider than the window."""
    wide: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wide


async def smallest_button(page: Page) -> float:
    """Height in CSS pixels of the lowest button; infinite without any."""
    heights: list[float] = await page.evaluate(
        "[...document.querySelectorAll('button')].map(it => it.getBoundingClientRect().height)"
    )
    return min(heights, default=float("inf"))
