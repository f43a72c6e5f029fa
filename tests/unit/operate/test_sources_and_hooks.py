"""Sources with their keys, and hooks: what they say and what they refuse."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.consent.source_keys import fingerprint, write_keys
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.operations import OPERATIONS


async def call(context: Context, name: str, /, **parameters: Any) -> Any:
    return await OPERATIONS.call(context, name, parameters)


async def refused(context: Context, name: str, /, **parameters: Any) -> OperationError:
    with pytest.raises(OperationError) as caught:
        await call(context, name, **parameters)
    return caught.value


def holding(text: str, directory: Path) -> list[Path]:
    """Files that hold a text."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return [file for file in files if text.encode() in file.read_bytes()]


async def test_a_source_shows_its_fingerprint(shop: Context) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    made = await call(shop, "source.add", slug="api", approved=True, public_key=write_keys([key]))
    assert list(made["fingerprints"]) == [fingerprint(key)]
    assert made in await call(shop, "source.list")


async def test_a_source_changes_its_key_and_loses_its_approval(shop: Context) -> None:
    old, new = (Ed25519PrivateKey.generate().public_key() for _ in range(2))
    await call(shop, "source.add", slug="api", approved=True, public_key=write_keys([old]))
    both = await call(shop, "source.set", slug="api", public_key=write_keys([old, new]))
    assert list(both["fingerprints"]) == [fingerprint(old), fingerprint(new)]
    out = await call(shop, "source.set", slug="api", approved=False)
    assert (out["approved"], out["public_key"]) == (False, both["public_key"])
    assert (await refused(shop, "source.set", slug="nobody", approved=True)).status == 1


async def test_a_key_of_another_kind(shop: Context) -> None:
    error = await refused(shop, "source.add", slug="api", approved=True, public_key="hello")
    assert error.status == 2
    assert error.sentence.startswith("--public-key: ")
    error = await refused(shop, "source.set", slug="form", public_key="-----BEGIN PRIVATE KEY-----")
    assert "private key" in error.sentence


async def test_a_hook_shows_its_url_once(shop: Context, tmp_path: Path) -> None:
    made = await call(shop, "hook.add", tenant="shop", name="crm", format="listmonk", list="news")
    url = made.pop("url")
    assert url.startswith(f"{shop.settings.http.public_url}/hooks/")
    secret = url.rpartition("/")[2]
    assert len(secret) >= 43
    assert await call(shop, "hook.list") == [made]
    assert (made["format"], made["list"]) == ("listmonk", "news")
    found = await shop.store.inbound_hooks.of_secret(secret)
    assert found is not None
    assert not holding(secret, tmp_path)


async def test_hooks_of_one_tenant(shop: Context) -> None:
    club = {"name": "Club", "address": "Lane 2", "contact": "board@club.example"}
    await call(shop, "tenant.add", slug="club", **club)
    for tenant in ("shop", "club"):
        await call(shop, "hook.add", tenant=tenant, name="crm", format="generic")
    (one,) = await call(shop, "hook.list", tenant="club")
    assert one["tenant"] == "club"
    assert await call(shop, "hook.remove", tenant="club", name="crm") == one
    assert len(await call(shop, "hook.list")) == 1


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"tenant": "nobody"}, 1, "no tenant 'nobody'"),
        ({"list": "nothing"}, 1, "no list 'nothing'"),
        ({"name": "C R M"}, 2, "lower-case"),
        ({"format": "magic"}, 2, "format"),
        ({"name": "taken"}, 1, "has a hook 'taken' already"),
    ],
)
async def test_hook_refused(
    shop: Context, changed: dict[str, Any], status: int, words: str
) -> None:
    await call(shop, "hook.add", tenant="shop", name="taken", format="generic")
    given = {"tenant": "shop", "name": "crm", "format": "generic", **changed}
    error = await refused(shop, "hook.add", **given)
    assert error.status == status
    assert words in error.sentence


async def test_a_hook_that_is_not_there(shop: Context) -> None:
    error = await refused(shop, "hook.remove", tenant="shop", name="crm")
    assert (error.status, error.sentence) == (1, "tenant shop has no hook 'crm'")
