"""What the doctor sees of terms, proof, webhooks and the API, on real files and a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.decide.address import parse_address
from relay.operate import domains, lists, tenants, webhooks
from relay.operate.choices import ListKind
from relay.operate.context import Context
from relay.operate.doctor_consent import (
    check_api,
    check_heads_copy,
    check_sign_up,
    check_terms,
    check_webhooks,
)
from relay.settings import Settings
from relay.store.backup import HEADS


def set_up(directory: Path, **sections: dict[str, object]) -> Settings:
    return Settings.model_validate({"data_dir": directory, **sections})


def test_terms_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    assert check_terms(set_up(tmp_path)).ok
    own = tmp_path / "terms.txt"
    settings = set_up(tmp_path, operator={"terms_file": own})
    assert not check_terms(settings).ok
    own.write_text("You vouch for every address.\n", "utf-8")
    assert check_terms(settings).ok
    own.write_bytes(b"\xff\xfe\x00")
    assert not check_terms(settings).ok


def test_without_a_second_file_of_heads_it_says_what_one_is_good_for(tmp_path: Path) -> None:
    found = check_heads_copy(set_up(tmp_path))
    assert found.ok
    assert "leaves no trace" in found.detail
    assert "store.heads_copy" in found.next


@pytest.mark.parametrize(
    ("signed", "copied", "ok"),
    [
        (b"1\n2\n3\n", b"1\n2\n3\n", True),
        # One may just be on its way.
        (b"1\n2\n3\n", b"1\n2\n", True),
        (b"1\n2\n3\n", b"1\n", False),
        (b"1\n2\n3\n", b"", False),
        (b"1\n2\n3\n", b"9\n", False),
        # The file may be moved away at any time, and goes on from there.
        (b"1\n2\n3\n", b"3\n", True),
        (b"1\n2\n3\n", None, False),
    ],
)
def test_heads_copy(tmp_path: Path, signed: bytes, copied: bytes | None, ok: bool) -> None:
    (tmp_path / HEADS).write_bytes(signed)
    copy = tmp_path / "copy.jsonl"
    if copied is not None:
        copy.write_bytes(copied)
    found = check_heads_copy(set_up(tmp_path, store={"heads_copy": copy}))
    assert found.ok is ok, found
    assert ok or found.next


async def test_notices_that_were_given_up_are_named(shop: Context) -> None:
    assert (await check_webhooks(shop)).ok
    await webhooks.add(shop, "shop", "https://shop.example/hooks")
    keys = shop.store.keys(parse_address("anna@people.example"))
    now = shop.clock.now()
    await shop.store.consents.withdraw(1, keys, at=now, channel="api", brand_id=None, list_id=None)
    (lane,) = await shop.store.outbox.lanes()
    notice = await shop.store.outbox.next(lane, now)
    assert notice is not None
    assert (await check_webhooks(shop)).ok
    await shop.store.outbox.give_up(notice, "status 500")
    found = await check_webhooks(shop)
    assert not found.ok
    assert "webhook dead shop" in found.next


async def test_lists_that_nobody_can_sign_up_to_are_named(shop: Context) -> None:
    await lists.add(shop, "shop", "deals", ListKind.COMMERCIAL, "Deals", "1/week")
    await lists.add(shop, "shop", "post", ListKind.TRANSACTIONAL, "Receipts", "1/day")
    found = check_sign_up(shop)
    assert not found.ok
    assert "news of shop" in found.detail
    assert "no sender domain" in found.detail
    assert "(and 1 more list)" in found.detail
    assert found.next == "consent-relay domain add shop DOMAIN"
    await domains.add(shop, "shop", "shop.example")
    assert check_sign_up(shop).ok
    await tenants.change(shop, "shop", name="x" * 2_000)
    found = check_sign_up(shop)
    assert not found.ok
    assert "the question has more than 2000 characters" in found.detail


@pytest.mark.parametrize(("admin", "quiet"), [("127.0.0.1:8081", True), ("192.0.2.1:8081", False)])
def test_an_api_that_faces_others_is_pointed_out(tmp_path: Path, admin: str, quiet: bool) -> None:
    assert (check_api(set_up(tmp_path, http={"admin": admin})).next == "") is quiet
