"""``source`` and ``hook`` as an operator types them."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.consent.source_keys import fingerprint, write_keys
from tests.unit.cli.conftest import Command


def test_a_source_with_its_key(shop: Command, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    file = tmp_path / "key.pem"
    file.write_text(write_keys([key]))
    done = shop("source", "add", "api", "--approved", "--public-key", file, "--json")
    assert (done.status, done.json["fingerprints"]) == (0, [fingerprint(key)])
    assert fingerprint(key) in shop("source", "list").out
    changed = shop("source", "set", "api", "--not-approved", "--json")
    assert (changed.json["approved"], changed.json["fingerprints"]) == (False, [fingerprint(key)])


def test_a_key_file_that_is_none(shop: Command, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(b"\xff")
    for path in (file, tmp_path / "nothing"):
        done = shop("source", "set", "form", "--public-key", path)
        assert done.status == 2
        assert "cannot be read: No such file" in done.err or "is no key in PEM" in done.err


def test_a_hook(shop: Command) -> None:
    done = shop("hook", "add", "shop", "crm", "--format", "mailchimp", "--list", "news", "--json")
    assert done.status == 0
    assert "/hooks/" in done.json["url"]
    assert "not shown again" in done.err
    listed = shop("hook", "list", "shop", "--json")
    assert "url" not in listed.json[0]
    assert (listed.json[0]["format"], listed.json[0]["list"]) == ("mailchimp", "news")
    assert shop("hook", "remove", "shop", "crm").status == 0
    assert shop("hook", "list", "--json").json == []
    assert shop("hook", "remove", "shop", "crm").status == 1
    assert shop("hook", "add", "shop", "crm", "--format", "magic").status == 2
