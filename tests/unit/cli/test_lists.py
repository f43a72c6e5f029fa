"""``list``: what a person is told besides the record."""

from __future__ import annotations

from tests.unit.cli.conftest import Command

NEWS = ("--kind", "commercial", "--purpose", "News", "--promise", "1/week")


def test_a_list_that_nobody_can_sign_up_to_says_what_is_missing(shop: Command) -> None:
    said = shop("list", "add", "shop", "deals", *NEWS, "--json")
    assert said.status == 0
    assert said.json["slug"] == "deals"
    assert "domain add shop DOMAIN" in said.err
    receipts = ("--kind", "transactional", "--purpose", "Receipts", "--promise", "9/day")
    assert shop("list", "add", "shop", "post", *receipts).err == ""
    assert shop("domain", "add", "shop", "shop.example").status == 0
    assert shop("list", "add", "shop", "more", *NEWS).err == ""
