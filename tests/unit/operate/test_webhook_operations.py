"""Webhooks at the operator's shell, and opt-outs there."""

from __future__ import annotations

from typing import Any

import pytest

from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.operations import OPERATIONS
from relay.settings import Outbound

HOOK = "https://hooks.shop.example/consent-relay"


async def call(context: Context, name: str, /, **parameters: Any) -> Any:
    return await OPERATIONS.call(context, name, parameters)


async def test_the_secret_is_shown_once(shop: Context) -> None:
    made = await call(shop, "webhook.add", tenant="shop", url=HOOK)
    assert made["secret"].startswith("whsec_")
    for parameters in ({}, {"tenant": "shop"}):
        listed = await call(shop, "webhook.list", **parameters)
        assert [(hook["tenant"], hook["url"]) for hook in listed] == [("shop", HOOK)]
        assert made["secret"] not in str(listed)
    with pytest.raises(OperationError, match="already"):
        await call(shop, "webhook.add", tenant="shop", url=HOOK)
    gone = await call(shop, "webhook.remove", tenant="shop", url=HOOK)
    assert made["secret"] not in str(gone)
    assert await call(shop, "webhook.list") == []
    with pytest.raises(OperationError, match="no webhook"):
        await call(shop, "webhook.remove", tenant="shop", url=HOOK)


@pytest.mark.parametrize(
    "url", ["http://shop.example/", "https://127.0.0.1/", "https://u:p@shop.example/", "shop"]
)
async def test_where_nobody_may_be_sent(shop: Context, url: str) -> None:
    with pytest.raises(OperationError) as caught:
        await call(shop, "webhook.add", tenant="shop", url=url)
    assert caught.value.status == 2


async def test_networks_of_the_operators_choice(shop: Context) -> None:
    outbound = Outbound(allow_networks=("10.0.0.0/8",))
    shop.settings = shop.settings.model_copy(update={"outbound": outbound})
    await call(shop, "webhook.add", tenant="shop", url="http://10.1.2.3:8080/hook")
    with pytest.raises(OperationError):
        await call(shop, "webhook.add", tenant="shop", url="https://127.0.0.1/")


async def test_dead_letters_and_their_second_chance(shop: Context) -> None:
    await call(shop, "webhook.add", tenant="shop", url=HOOK)
    await call(shop, "consent.withdraw", address="ann@example.org", tenant="shop")
    assert await call(shop, "webhook.dead", tenant="shop") == []
    (lane,) = await shop.store.outbox.lanes()
    notice = await shop.store.outbox.next(lane, shop.clock.now())
    assert notice is not None
    await shop.store.outbox.give_up(notice, "status 500")
    (letter,) = await call(shop, "webhook.dead", tenant="shop")
    assert (letter["host"], letter["type"], letter["answer"]) == (
        *("hooks.shop.example", "optout"),
        "status 500",
    )
    assert await call(shop, "webhook.retry", tenant="shop") == {"retried": 1}
    assert await call(shop, "webhook.dead", tenant="shop") == []


async def add_list(context: Context, slug: str, **more: Any) -> None:
    fields = {"kind": "commercial", "purpose": "Deals", "promise": "1/week"}
    await call(context, "list.add", tenant="shop", slug=slug, **fields, **more)


async def take(context: Context, mailing_list: str) -> None:
    begun = await call(
        context, "import.begin_consents", tenant="shop", list=mailing_list, source="form"
    )
    fields = {"address": "ann@example.org", "basis": "approved", "collected_at": "2026-01-02"}
    await call(
        context,
        "import.consent_rows",
        number=begun["import"],
        source="form",
        rows=[[2, fields]],
    )
    await call(context, "import.commit", number=begun["import"])


async def test_withdraw_says_what_stopped(shop: Context) -> None:
    await call(shop, "brand.add", tenant="shop", slug="kids", name="Shop Kids")
    await add_list(shop, "toys", brand="kids", scope="brand")
    await take(shop, "news")
    await take(shop, "toys")

    async def leave(**named: str) -> tuple[str, str, bool]:
        done = await call(
            shop, "consent.withdraw", address="ann@example.org", tenant="shop", **named
        )
        return done["scope"], done["stopped"], done["recorded"]

    assert await leave(list="toys") == (
        "brand",
        "commercial mail of Shop BV under the brand Shop Kids",
        True,
    )
    assert await leave(list="news") == ("list", "commercial mail of Shop BV on the list news", True)
    assert (await leave(list="news"))[1:] == (
        "commercial mail of Shop BV on the list news (it had stopped before)",
        False,
    )
    assert await leave() == ("tenant", "all commercial mail of Shop BV", True)


async def test_opt_outs_are_counted_by_channel(shop: Context) -> None:
    counted: list[tuple[str, str, int]] = []
    seconds: list[float] = []
    shop.optout = lambda tenant, channel, count=1: counted.append((tenant, channel, count))
    shop.optout_in_force = seconds.append
    await call(shop, "consent.withdraw", address="ann@example.org", tenant="shop")
    await call(shop, "consent.withdraw", address="ann@example.org", tenant="shop")
    begun = await call(shop, "import.begin_optouts", tenant="shop")
    rows = [[line, {"address": f"p{line}@example.org"}] for line in range(2, 5)]
    await call(shop, "import.optout_rows", number=begun["import"], rows=rows)
    await call(shop, "import.commit", number=begun["import"])
    await take(shop, "news")
    assert counted == [("shop", "command", 1), ("shop", "import", 3)]
    assert len(seconds) == 2
