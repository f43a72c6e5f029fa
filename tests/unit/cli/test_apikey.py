from __future__ import annotations

from tests.unit.cli.conftest import Command


def test_a_key_is_made_listed_and_revoked(shop: Command) -> None:
    made = shop("apikey", "add", "shop", "web", "--json")
    assert made.json["name"] == "web"
    assert made.json["key"].startswith("crk_")
    assert "not shown again" in made.err
    listed = shop("apikey", "list", "shop", "--json")
    assert [key["name"] for key in listed.json] == ["web"]
    assert made.json["key"] not in listed.out
    assert shop("apikey", "add", "shop", "web").status == 1
    revoked = shop("apikey", "revoke", "shop", "web")
    assert (revoked.status, revoked.err) == (0, "web is revoked\n")
    assert shop("apikey", "revoke", "shop", "web").status == 1
    assert shop("apikey", "list", "shop", "--json").json == []
