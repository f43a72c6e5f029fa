"""The public pages in a real browser: phone and desktop, Dutch and English, keyboard, no script.

With ``SCREENSHOTS`` in the environment every page is kept as a picture under ``tmp_path``; give
``--basetemp=DIRECTORY`` to look at them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from relay.model import ScopeLevel
from tests.support.browser import (
    SIZES,
    browsing,
    inspector,
    missing,
    person,
    sideways,
    smallest_button,
    violations,
)
from tests.unit.web.book import FORM, NOTICE, PAGE, TOKEN, Site, serve

pytestmark = [
    pytest.mark.skipif(bool(missing), reason=missing),
    pytest.mark.asyncio(loop_scope="module"),
]

LONG = "Donaudampfschifffahrtsgesellschaftskapitänsmützenfabrikverkaufsabteilung" * 2
WIDER = replace(PAGE, wider=ScopeLevel.BRAND, brand="Korenbloem Thuis")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as chromium:
        yield chromium


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Site]:
    async with serve() as site:
        yield site


@pytest_asyncio.fixture(loop_scope="module")
async def site(running: Site) -> Site:
    running.forget()
    running.book.pages[TOKEN] = WIDER
    return running


async def _form(page: Page, site: Site) -> None:
    await page.goto(site.url + FORM)


async def _form_with_faults(page: Page, site: Site) -> None:
    await _form(page, site)
    await page.locator("#address").fill("jan@gmail")
    await page.locator("button").click()


async def _form_changed(page: Page, site: Site) -> None:
    await _form(page, site)
    site.signups.shown = replace(NOTICE, number=8, third_parties="Molen De Hoop B.V., Utrecht")
    await page.locator("#address").fill("jan@example.org")
    await page.locator("#agree").check()
    await page.locator("button").click()


async def _mailbox(page: Page, site: Site) -> None:
    await _form(page, site)
    await page.locator("#address").fill("jan@example.org")
    await page.locator("#agree").check()
    await page.locator("button").click()


async def _confirm(page: Page, site: Site) -> None:
    await page.goto(f"{site.url}/c/{TOKEN}")


async def _confirmed(page: Page, site: Site) -> None:
    await _confirm(page, site)
    await page.locator("button").click()


async def _dead(page: Page, site: Site) -> None:
    await page.goto(f"{site.url}/c/dead")


async def _unsubscribe(page: Page, site: Site) -> None:
    await page.goto(f"{site.url}/u/{TOKEN}")


async def _unsubscribed(page: Page, site: Site) -> None:
    await _unsubscribe(page, site)
    await page.locator("button:not([class])").click()


async def _already(page: Page, site: Site) -> None:
    site.book.pages[TOKEN] = replace(WIDER, already_out=True)
    await _unsubscribe(page, site)


async def _record_asked(page: Page, site: Site) -> None:
    await _unsubscribe(page, site)
    await page.locator(".quiet").click()


async def _own_record(page: Page, site: Site) -> None:
    await page.goto(f"{site.url}/p/{TOKEN}")


async def _own_record_stopped(page: Page, site: Site) -> None:
    await _own_record(page, site)
    await page.locator("button:not([class])").click()


async def _receipt(page: Page, site: Site) -> None:
    await _own_record(page, site)
    await page.locator("a[href*='receipt?']").click()


async def _expired(page: Page, site: Site) -> None:
    await page.goto(f"{site.url}/p/old")


async def _lost(page: Page, site: Site) -> None:
    await page.goto(f"{site.url}/u/no-such-token")


async def _why(page: Page, site: Site) -> None:
    await page.goto(f"{site.url}/why/no-consent")


Reach = Callable[[Page, Site], Awaitable[None]]
PAGES: dict[str, tuple[Reach, str, str]] = {
    "form": (_form, "Mail from Korenbloem Thuis", "Mail van Korenbloem Thuis"),
    "form-with-faults": (
        _form_with_faults,
        "Mail from Korenbloem Thuis",
        "Mail van Korenbloem Thuis",
    ),
    "form-changed": (_form_changed, "Mail from Korenbloem Thuis", "Mail van Korenbloem Thuis"),
    "look-in-your-mailbox": (
        _mailbox,
        "One more step: look in your mailbox",
        "Nog één stap: kijk in uw mailbox",
    ),
    "confirm": (
        _confirm,
        "Do you want mail from Korenbloem Thuis?",
        "Wilt u mail van Korenbloem Thuis?",
    ),
    "confirmed": (_confirmed, "You are signed up", "U bent aangemeld"),
    "dead": (_dead, "This link does not work any more", "Deze link werkt niet meer"),
    "unsubscribe": (_unsubscribe, "Do you want to unsubscribe?", "Wilt u zich uitschrijven?"),
    "unsubscribed": (_unsubscribed, "You are unsubscribed", "U bent uitgeschreven"),
    "already": (_already, "You are already unsubscribed", "U bent al uitgeschreven"),
    "record-asked": (_record_asked, "Look in your mailbox", "Kijk in uw mailbox"),
    "own-record": (
        _own_record,
        "Your record at Bakkerij De Korenbloem B.V.",
        "Uw gegevens bij Bakkerij De Korenbloem B.V.",
    ),
    "own-record-stopped": (
        _own_record_stopped,
        "Your record at Bakkerij De Korenbloem B.V.",
        "Uw gegevens bij Bakkerij De Korenbloem B.V.",
    ),
    "receipt": (
        _receipt,
        "Receipt: your record at Bakkerij De Korenbloem B.V.",
        "Bewijs: uw gegevens bij Bakkerij De Korenbloem B.V.",
    ),
    "expired": (_expired, "This link does not work any more", "Deze link werkt niet meer"),
    "lost": (_lost, "This link does not work", "Deze link werkt niet"),
    "why": (_why, "No consent on record", "Er is geen toestemming bekend"),
}


@pytest.mark.parametrize("language", ["en", "nl"])
async def test_every_page_is_fit_for_everybody(
    browser: Browser, site: Site, language: str, tmp_path: Path
) -> None:
    context = await inspector(browser, language)
    page = await context.new_page()
    for name, (reach, english, dutch) in PAGES.items():
        site.forget()
        site.book.pages[TOKEN] = WIDER
        await reach(page, site)
        assert await page.locator("h1").inner_text() == (english if language == "en" else dutch)
        assert await page.locator("html").get_attribute("lang") == language
        for size, (width, height) in SIZES.items():
            await page.set_viewport_size({"width": width, "height": height})
            # Each page is seen in both schemes and at both widths, in one language or the other.
            dark = (language == "nl") == (size == "phone")
            await page.emulate_media(color_scheme="dark" if dark else "light")
            assert await violations(page) == []
            assert await sideways(page) <= 0, name
            assert await smallest_button(page) >= 44, "large enough for a thumb"
            if "SCREENSHOTS" in os.environ:
                await page.screenshot(
                    path=tmp_path / f"{name}-{language}-{size}.png", full_page=True
                )
    await context.close()


@pytest.mark.parametrize("name", ["confirm", "unsubscribe"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_one_button_is_reached_without_scrolling(
    browser: Browser, site: Site, name: str, size: str
) -> None:
    context = await person(browser, "nl", size)
    page = await context.new_page()
    await PAGES[name][0](page, site)
    box = await page.get_by_role("button").first.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= SIZES[size][1]
    await context.close()


async def test_long_words_never_make_a_page_wide(browser: Browser, site: Site) -> None:
    context = await inspector(browser, "en", "phone")
    page = await context.new_page()
    await page.set_viewport_size({"width": 320, "height": 640})
    for name, (reach, _, _) in PAGES.items():
        site.forget()
        site.book.pages[TOKEN] = replace(WIDER, sender=LONG, purpose=LONG, brand=LONG)
        site.signups.shown = replace(NOTICE, sender=LONG, purpose=LONG, question=LONG)
        asked = site.confirmations.pages[TOKEN]
        site.confirmations.pages[TOKEN] = replace(asked, notice=site.signups.shown)
        view = site.records.views[TOKEN]
        site.records.views[TOKEN] = replace(
            view,
            sender=LONG,
            address=f"{LONG}@example.org",
            consents=(replace(view.consents[0], name=LONG, asked_at=f"https://{LONG}.test/"),),
        )
        await reach(page, site)
        assert await sideways(page) <= 0, name
    await context.close()


@pytest.mark.parametrize("size", SIZES)
async def test_person_unsubscribes_without_script_cookie_or_complaint_of_the_policy(
    browser: Browser, site: Site, size: str
) -> None:
    context = await person(browser, "nl", size)
    page = await context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    await _unsubscribe(page, site)
    assert site.book.acts == []
    await page.get_by_role("button", name="Uitschrijven").click()
    await page.get_by_role("heading", name="U bent uitgeschreven").wait_for()
    await page.get_by_role("button", name="Stop alles van Korenbloem Thuis").click()
    await page.get_by_role("heading", name="U bent uitgeschreven").wait_for()
    assert [(act.channel, act.scope) for act in site.book.acts] == [
        ("page", None),
        ("page", ScopeLevel.BRAND),
    ]
    assert await page.get_by_role("button", name="Stop alles").count() == 0
    assert await context.cookies() == []
    assert troubles == [], "the policy lets the style through and nothing else was asked for"
    await context.close()


async def _tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus, and see that the focus shows."""
    for _ in range(20):
        await page.keyboard.press("Tab")
        focused = page.locator(f"{selector}:focus")
        if await focused.count():
            style = await focused.evaluate("it => getComputedStyle(it).outlineStyle")
            assert style != "none", "the focus is visible"
            return
    raise AssertionError(f"Tab never reaches {selector}")


async def test_sign_up_and_confirmation_with_the_keyboard_alone(
    browser: Browser, site: Site
) -> None:
    context = await person(browser)
    page = await context.new_page()
    await _form(page, site)
    await _tab_to(page, "#address")
    await page.keyboard.type("jan")
    await page.keyboard.press("Enter")
    await page.get_by_text("Please fill in one whole mail address").wait_for()
    assert await page.locator("#agree").is_checked() is False
    # The field with the fault has the focus, without a script.
    await page.locator("#address:focus").wait_for()
    assert await page.locator("#address").input_value() == "jan"
    await page.keyboard.press("End")
    await page.keyboard.type("@example.org")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await page.get_by_role("heading", name="look in your mailbox").wait_for()
    assert [request.address for request in site.signups.asked] == ["jan@example.org"]

    await _confirm(page, site)
    assert site.confirmations.acts == []
    await _tab_to(page, "button")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="You are signed up").wait_for()
    assert len(site.confirmations.acts) == 1
    await context.close()


async def test_unsubscribing_and_the_own_record_with_the_keyboard_alone(
    browser: Browser, site: Site
) -> None:
    context = await person(browser)
    page = await context.new_page()
    await _unsubscribe(page, site)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="You are unsubscribed").wait_for()
    await _tab_to(page, ".second")
    await page.keyboard.press("Space")
    await page.get_by_role("heading", name="You are unsubscribed").wait_for()
    await _tab_to(page, ".quiet")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Look in your mailbox").wait_for()
    assert [act.scope for act in site.book.acts] == [None, ScopeLevel.BRAND]
    assert len(site.records.links) == 1

    await _own_record(page, site)
    await _tab_to(page, "button[value='list:3']")
    await page.keyboard.press("Enter")
    await page.get_by_text("Done. It works from now on.").wait_for()
    await _tab_to(page, "button[value='tenant:0']")
    await page.keyboard.press("Space")
    await page.get_by_text("Everything is stopped").wait_for()
    assert site.records.stops == [("list", 3), ("tenant", 0)]
    await _tab_to(page, "a[href*='receipt?']")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Receipt: your record").wait_for()
    await _tab_to(page, "a[href^='..']")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Your record at").wait_for()
    await context.close()


async def test_receipt_on_paper_has_the_facts_and_no_furniture(
    browser: Browser, site: Site, tmp_path: Path
) -> None:
    context = await person(browser, "nl", dark=True)
    page = await context.new_page()
    await _receipt(page, site)
    await page.emulate_media(media="print")
    assert not await page.locator("footer").is_visible()
    assert not await page.locator("a[href^='..']").is_visible()
    assert await page.get_by_text(NOTICE.question).is_visible()
    ink = await page.locator("h1").evaluate("it => getComputedStyle(it).color")
    assert ink == "rgb(0, 0, 0)", "black on white, whatever the screen is"
    pdf = await page.pdf(path=tmp_path / "receipt.pdf", format="A4")
    assert pdf.startswith(b"%PDF")
    await context.close()


async def test_receipt_as_a_file(browser: Browser, site: Site) -> None:
    context = await person(browser)
    page = await context.new_page()
    await _own_record(page, site)
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Receipt as a file").click()
    assert (await download.value).suggested_filename == "receipt.json"
    await context.close()


async def test_style_is_applied_and_the_language_stays_as_chosen(
    browser: Browser, site: Site
) -> None:
    context = await person(browser, "en", "phone")
    page = await context.new_page()
    await _unsubscribe(page, site)
    background = await page.get_by_role("button").first.evaluate(
        "element => getComputedStyle(element).backgroundColor"
    )
    assert background == "rgb(11, 92, 173)"
    await page.get_by_role("link", name="Nederlands").click()
    await page.get_by_role("heading", name="Wilt u zich uitschrijven?").wait_for()
    await page.get_by_role("button", name="Uitschrijven").click()
    await page.get_by_role("heading", name="U bent uitgeschreven").wait_for()
    await context.close()
