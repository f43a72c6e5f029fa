"""Tenants, domains, brands, lists, credentials, sources: what they say and what they refuse."""

import hashlib
import stat
from typing import Any

import pytest

from relay.operate import keyfiles
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.operations import OPERATIONS


async def call(context: Context, name: str, /, **parameters: Any) -> Any:
    return await OPERATIONS.call(context, name, parameters)


async def refused(context: Context, name: str, /, **parameters: Any) -> OperationError:
    with pytest.raises(OperationError) as caught:
        await call(context, name, **parameters)
    return caught.value


TENANT = {"name": "Club", "address": "Lane 2", "contact": "board@club.example"}


async def test_tenant_defaults(context: Context) -> None:
    added = await call(context, "tenant.add", slug="club", **TENANT)
    assert added == await call(context, "tenant.show", slug="club")
    assert (added["mode"], added["state"]) == ("enforce", "active")
    assert list(added["rulebooks"]) == ["base", "strict-opt-in"]
    assert [tenant["slug"] for tenant in await call(context, "tenant.list")] == ["club"]


async def test_tenant_is_changed_only_where_said(shop: Context) -> None:
    before = await call(shop, "tenant.show", slug="shop")
    after = await call(
        shop, "tenant.set", slug="shop", mode="observe", action="drop", rate="5/hour,burst=2"
    )
    assert after == {**before, "mode": "observe", "action": "drop", "rate": "5/hour,burst=2"}
    assert (await call(shop, "tenant.set", slug="shop", rate=""))["rate"] is None


async def test_suspend_and_resume(shop: Context) -> None:
    suspended = await call(shop, "tenant.suspend", slug="shop", reason="spam run")
    assert (suspended["state"], suspended["state_reason"]) == ("suspended", "spam run")
    assert (await call(shop, "tenant.resume", slug="shop"))["state"] == "active"


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"slug": "No"}, 2, "lower-case"),
        ({"slug": "shop"}, 1, "there is a tenant 'shop' already"),
        ({"contact": "nobody"}, 2, "--contact 'nobody' is not a mail address"),
        ({"name": " "}, 2, "--name must be one line"),
        ({"address": "a\nb"}, 2, "--address must be one line"),
        ({"rulebooks": ["lenient"]}, 2, "there is no rulebook 'lenient'"),
        ({"rulebooks": ["base", "base"]}, 2, "named twice"),
        ({"rate": "5 per hour"}, 2, "N/second|minute|hour|day"),
        ({"colour": "red"}, 2, "colour"),
    ],
)
async def test_tenant_refused(
    shop: Context, changed: dict[str, Any], status: int, words: str
) -> None:
    error = await refused(shop, "tenant.add", **{"slug": "club", **TENANT, **changed})
    assert error.status == status
    assert words in error.sentence


async def test_unknown_names_are_not_found(shop: Context) -> None:
    for name, parameters in (
        ("tenant.show", {"slug": "nobody"}),
        ("list.show", {"tenant": "shop", "slug": "nothing"}),
        ("brand.remove", {"tenant": "shop", "slug": "nothing"}),
        ("domain.remove", {"tenant": "shop", "domain": "nothing.example"}),
        ("credential.revoke", {"username": "nobody"}),
    ):
        assert (await refused(shop, name, **parameters)).status == 1, name


async def test_domain_key_and_record(shop: Context) -> None:
    made = await call(shop, "domain.add", tenant="shop", domain="Shop.Example.")
    (record,) = made["records"]
    assert (made["domain"], made["selector"]) == ("shop.example", "relay1")
    assert (record["name"], record["type"]) == ("relay1._domainkey.shop.example", "TXT")
    assert record["value"].startswith("v=DKIM1; k=rsa; p=")
    file = keyfiles.dkim_file(shop.data_dir, "shop.example", "relay1")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await call(shop, "domain.list", tenant="shop") == [made]


async def test_rotation_keeps_the_old_key(shop: Context) -> None:
    first = await call(shop, "domain.add", tenant="shop", domain="shop.example")
    second = await call(shop, "domain.rotate", tenant="shop", domain="shop.example")
    assert second["selector"] == "relay2"
    assert second["records"] != first["records"]
    assert keyfiles.dkim_file(shop.data_dir, "shop.example", "relay1").exists()
    again = await refused(
        shop, "domain.rotate", tenant="shop", domain="shop.example", selector="relay1"
    )
    assert "has had a key" in again.sentence


async def test_a_removed_domain_comes_back_with_its_key(shop: Context) -> None:
    first = await call(shop, "domain.add", tenant="shop", domain="shop.example")
    await call(shop, "domain.remove", tenant="shop", domain="shop.example")
    assert await call(shop, "domain.list", tenant="shop") == []
    assert await call(shop, "domain.add", tenant="shop", domain="shop.example") == first


async def test_a_domain_has_one_owner(shop: Context) -> None:
    await call(shop, "domain.add", tenant="shop", domain="shop.example")
    await call(shop, "tenant.add", slug="club", **TENANT)
    for domain in ("shop.example", "mail.shop.example"):
        error = await refused(shop, "domain.add", tenant="club", domain=domain)
        assert "of tenant shop" in error.sentence


@pytest.mark.parametrize("domain", ["example", "../../etc", "a b.example", "[192.0.2.1]", ""])
async def test_not_a_domain(shop: Context, domain: str) -> None:
    assert (await refused(shop, "domain.add", tenant="shop", domain=domain)).status == 2


@pytest.mark.parametrize("selector", ["../x", "a.b", "-a", "a_b/"])
async def test_not_a_selector(shop: Context, selector: str) -> None:
    error = await refused(
        shop, "domain.add", tenant="shop", domain="shop.example", selector=selector
    )
    assert error.status == 2


async def test_list_is_shown_as_made(shop: Context) -> None:
    await call(shop, "domain.add", tenant="shop", domain="shop.example")
    await call(shop, "brand.add", tenant="shop", slug="main", name="The Shop")
    made = await call(
        shop,
        "list.add",
        tenant="shop",
        slug="deals",
        kind="commercial",
        purpose="Deals",
        promise="2/month",
        brand="main",
        scope="brand",
        from_address="Deals@Shop.example",
        list_id="<Deals.shop.example>",
        action="reject",
    )
    assert made == await call(shop, "list.show", tenant="shop", slug="deals")
    assert made["brand"] == "main"
    assert made["from"] == "deals@shop.example"
    assert made["list_id"] == "deals.shop.example"
    assert made["action"] == "reject"
    in_use = await refused(shop, "brand.remove", tenant="shop", slug="main")
    assert "used by the list deals" in in_use.sentence
    for other in ({"from_address": "deals@shop.example"}, {"list_id": "deals.shop.example"}):
        error = await refused(shop, "list.set", tenant="shop", slug="news", **other)
        assert "already" in error.sentence


async def test_archived_list_stays_listed(shop: Context) -> None:
    assert (await call(shop, "list.archive", tenant="shop", slug="news"))["archived"] is True
    assert len(await call(shop, "list.list", tenant="shop")) == 1


async def test_a_list_made_anew_takes_the_address_of_the_archived_one(shop: Context) -> None:
    await call(shop, "domain.add", tenant="shop", domain="shop.example")
    selects = {"from_address": "news@shop.example", "list_id": "news.shop.example"}
    await call(shop, "list.set", tenant="shop", slug="news", **selects)
    await call(shop, "list.archive", tenant="shop", slug="news")
    same = {"kind": "commercial", "purpose": "News", "promise": "1/week"}
    error = await refused(shop, "list.add", tenant="shop", slug="news", **same)
    assert "archived: choose another slug" in error.sentence
    made = await call(shop, "list.add", tenant="shop", slug="news2", **same, **selects)
    assert (made["from"], made["list_id"]) == ("news@shop.example", "news.shop.example")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"promise": "often"}, "the promise"),
        ({"promise": "0/week"}, "the promise"),
        ({"purpose": ""}, "--purpose"),
        ({"kind": "personal"}, "kind"),
        ({"scope": "brand"}, "--scope brand wants --brand"),
        ({"from_address": "a@elsewhere.example"}, "not in a domain of tenant shop"),
        ({"list_id": "one-word"}, "not a List-Id"),
        ({"list_headers_ok": True}, "transactional"),
        ({"purpose": "Offers of our partners"}, '"our partners" in --purpose'),
        ({"third_parties": "selected partners"}, "name every party"),
        ({"purpose": "x" * 1_001}, "--purpose has more than 1000 characters"),
        ({"third_parties": "Example BV and others"}, '"and others" in --third-parties'),
    ],
)
async def test_list_refused(shop: Context, changed: dict[str, Any], words: str) -> None:
    wanted = {
        "tenant": "shop",
        "slug": "deals",
        "kind": "commercial",
        "purpose": "Deals",
        "promise": "1/week",
    }
    error = await refused(shop, "list.add", **{**wanted, **changed})
    assert error.status == 2
    assert words in error.sentence


async def test_third_parties_of_a_list_are_named(shop: Context) -> None:
    error = await refused(
        shop, "list.set", tenant="shop", slug="news", third_parties="zorgvuldig gekozen partners"
    )
    assert error.status == 2
    assert '"zorgvuldig gekozen partners" in --third-parties' in error.sentence
    changed = await call(
        shop, "list.set", tenant="shop", slug="news", third_parties="Example BV, Sample Ltd"
    )
    assert changed["third_parties"] == "Example BV, Sample Ltd"
    # Words that nobody is asked to agree to are the tenant's own.
    made = await call(
        shop,
        "list.add",
        tenant="shop",
        slug="posts",
        kind="discussion",
        purpose="Posts of our partners",
        promise="9/day",
    )
    assert made["purpose"] == "Posts of our partners"


async def test_secret_is_shown_once_and_stored_as_hash(shop: Context) -> None:
    made = await call(shop, "credential.add", tenant="shop", name="web", list="news")
    assert made["username"] == "shop-web"
    assert len(made["secret"]) >= 43
    stored = shop.store.directory.credentials["shop-web"]
    assert stored.secret_hash == hashlib.sha256(made["secret"].encode()).digest()
    assert stored.list_id is not None
    (listed,) = await call(shop, "credential.list", tenant="shop")
    assert "secret" not in listed
    await call(shop, "credential.revoke", username="shop-web")
    assert await call(shop, "credential.list") == []


async def test_gateway_has_no_tenant(shop: Context) -> None:
    made = await call(
        shop, "credential.add", tenant=None, name="web1", gateway=True, networks=["192.0.2.7/32"]
    )
    assert (made["username"], made["tenant"], made["gateway"]) == ("gateway-web1", None, True)
    again = await refused(
        shop, "credential.add", tenant="shop", name="x", networks=["192.0.2.7/32"]
    )
    assert "admits gateway-web1 already" in again.sentence


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "10.0.0.0/15", "::/0", "2001:db8::/47", "10.0.0.1/24", "nonsense"]
)
async def test_no_open_relay(shop: Context, network: str) -> None:
    error = await refused(shop, "credential.add", tenant="shop", name="x", networks=[network])
    assert error.status == 2
    assert shop.store.directory.credentials == {}


@pytest.mark.parametrize("network", ["10.0.0.0/16", "2001:db8::/48", "192.0.2.1"])
async def test_narrow_networks_are_taken(shop: Context, network: str) -> None:
    await call(shop, "credential.add", tenant="shop", name="x", networks=[network])


async def test_source_with_a_key_that_is_none(shop: Context) -> None:
    error = await refused(shop, "source.add", slug="api", approved=True, public_key="hello")
    assert error.status == 2
    slugs = [(s["slug"], s["approved"]) for s in await call(shop, "source.list")]
    assert slugs == [("form", True), ("paper", False)]
