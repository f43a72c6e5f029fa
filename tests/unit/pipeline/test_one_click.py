"""Senders' own one-click addresses are remembered with the mail that carried them."""

from __future__ import annotations

from typing import Any

import pytest

from relay.settings import Http
from relay.store.sqlite.transaction import Transaction
from tests.unit.pipeline.conftest import House, keys

URL = "https://shop.test/out?t=abc"
FIELDS = f"List-Unsubscribe: <{URL}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


async def remembered(house: House) -> list[Any]:
    def work(tx: Transaction) -> list[Any]:
        return tx.raw.execute("SELECT wide, exact, list_id, url FROM one_click_urls").fetchall()

    return await house.store.writer.write(work)


async def test_a_newsletter_to_one_person(house: House) -> None:
    await house.submit("yes@people.test", fields=FIELDS)
    who = keys("yes@people.test")
    assert await remembered(house) == [(who.wide.hex(), who.exact.hex(), house.news.id, URL)]


async def test_also_when_the_copy_is_held(house: House) -> None:
    await house.submit("never@people.test", fields=FIELDS)
    assert await house.state("message.1") == "held"
    assert len(await remembered(house)) == 1


@pytest.mark.parametrize(
    ("to", "certain"),
    [
        ("yes@people.test", True),
        ("Yes <YES+tag@people.test>", True),
        ("undisclosed-recipients:;", True),
        ("never@people.test", False),
        ("yes@people.test, never@people.test", False),
        ("yes@people.test\r\nCc: never@people.test", False),
    ],
)
async def test_whose_address_it_is_must_be_certain(house: House, to: str, certain: bool) -> None:
    """A copy for somebody else carries the address of the person to whom it is written."""
    await house.submit("yes@people.test", fields=FIELDS, to=to)
    assert len(await remembered(house)) == certain


async def test_our_own_link_is_not_called(house: House) -> None:
    """Senders may put a link of ours (POST /links) there: it would tell us what we know."""
    http = Http(public_url="https://mail.relay.test/")
    house.acceptance.settings = house.settings.model_copy(update={"http": http})
    own = FIELDS.replace(URL, "https://Mail.relay.test/u/TOKEN")
    await house.submit("yes@people.test", fields=own)
    assert await remembered(house) == []


@pytest.mark.parametrize(
    ("recipients", "fields", "sender"),
    [
        (("yes@people.test", "never@people.test"), FIELDS, "news@shop.test"),
        (("left@people.test",), FIELDS, "news@shop.test"),
        (("yes@people.test",), f"List-Unsubscribe: <{URL}>\r\n", "news@shop.test"),
        (("yes@people.test",), FIELDS.replace("https:", "http:"), "news@shop.test"),
        (("yes@people.test",), FIELDS, "orders@shop.test"),
        (("postmaster@relay.test",), FIELDS, "news@shop.test"),
        (("yes@people.test",), "", "news@shop.test"),
    ],
    ids=["two people", "dropped", "no Post", "http", "a receipt", "our own host", "nothing"],
)
async def test_and_nothing_else(
    house: House, recipients: tuple[str, ...], fields: str, sender: str
) -> None:
    await house.submit(*recipients, fields=fields, sender=sender)
    assert await house.store.mail.message("message") is not None
    assert await remembered(house) == []
