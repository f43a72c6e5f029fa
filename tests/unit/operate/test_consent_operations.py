"""Imports, a person's record, opt-outs, and the ledger behind them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from relay.decide.address import parse_address
from relay.model import Basis
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.operations import OPERATIONS
from relay.ports import NewEvent
from tests.support.clock import FakeClock


async def call(context: Context, name: str, /, **parameters: Any) -> Any:
    return await OPERATIONS.call(context, name, parameters)


def row(
    line: int, address: str, basis: str = "approved", at: str = "2026-01-02", **more: str
) -> Any:
    return [line, {"address": address, "basis": basis, "collected_at": at, **more}]


async def take(context: Context, *rows: Any, source: str = "form") -> tuple[Any, Any]:
    begun = await call(context, "import.begin_consents", tenant="shop", list="news", source=source)
    number = begun["import"]
    bad = await call(context, "import.consent_rows", number=number, source=source, rows=list(rows))
    return bad, await call(context, "import.commit", number=number)


async def standing(context: Context, address: str) -> str:
    record = await call(context, "consent.show", address=address)
    return next((s["state"] for s in record["standings"] if s["list"] == "news"), "absent")


async def test_import_grants_and_keeps_evidence(shop: Context) -> None:
    bad, result = await take(shop, row(2, "Ann@Example.org", ip="192.0.2.1"))
    assert (bad, result["rows"], result["opted_out"]) == ([], 1, 0)
    record = await call(shop, "consent.show", address="ann@example.org", tenant="shop")
    (entry,) = record["timeline"]
    assert entry["data"]["evidence"] == {
        "source": "form",
        "signed_by": "operator",
        "ip": "192.0.2.1",
    }
    assert await standing(shop, "ann@example.org") == "granted"


@pytest.mark.parametrize(
    ("fields", "source", "words"),
    [
        (row(7, "no-address"), "form", "not a mail address"),
        (row(7, "a@b.example", basis="confirmed"), "form", "cannot be imported"),
        (row(7, "a@b.example", basis="none"), "form", "no consent"),
        (row(7, "a@b.example", basis="magic"), "form", "none of approved"),
        (row(7, "a@b.example"), "paper", "needs an approved source"),
        (row(7, "a@b.example", at="yesterday"), "form", "not a date"),
        (row(7, "a@b.example", at="2099-01-01"), "form", "in the future"),
        (row(7, "a@b.example", at="1970-01-01"), "form", "before 1990"),
    ],
)
async def test_bad_rows_are_named_and_left_out(
    shop: Context, fields: Any, source: str, words: str
) -> None:
    bad, result = await take(shop, fields, source=source)
    ((line, why),) = bad
    assert line == 7
    assert words in why
    assert result["rows"] == 0


async def test_attested_may_come_from_any_source(shop: Context) -> None:
    bad, _ = await take(shop, row(2, "a@b.example", basis="attested"), source="paper")
    assert bad == []


async def test_opt_out_outweighs_an_import(shop: Context, clock: FakeClock) -> None:
    await take(shop, row(2, "ann@example.org"))
    await call(shop, "consent.withdraw", address="Ann+shop@example.org", tenant="shop")
    clock.advance(86_400)
    bad, result = await take(shop, row(2, "ann@example.org"), row(3, "bob@example.org"))
    assert (bad, result["rows"], result["opted_out"]) == ([], 2, 1)
    assert await standing(shop, "ann@example.org") == "withdrawn"
    assert await standing(shop, "bob@example.org") == "granted"


async def test_events_go_by_their_number_in_the_tenants_chain(shop: Context) -> None:
    ledger, keys = shop.store.ledger, shop.store.keys(parse_address("ann@example.org"))
    await ledger.record([NewEvent(9, "note", 1.0)] * 5)
    (asked,) = await ledger.record([NewEvent(1, "consent.pending", 1.0, keys, {"basis": "none"})])
    evidence = {"signup": {"event": asked}, "event": 1}
    await shop.store.consents.grant(1, keys, basis=Basis.CONFIRMED, at=2.0, evidence=evidence)
    data = {"consent": asked + 1, "as_of": asked + 1}
    await ledger.record([NewEvent(1, "copy.delivered", 3.0, keys, data)])
    left = await call(shop, "consent.withdraw", address="ann@example.org", tenant="shop")
    timeline = (await call(shop, "consent.show", address="ann@example.org"))["timeline"]
    assert [entry["event"] for entry in timeline] == [1, 2, 3, 4]
    assert timeline[1]["data"]["evidence"] == {"signup": {"event": 1}, "event": None}
    assert timeline[2]["data"] == {"consent": 2}
    assert left["event"] == 4


async def test_withdrawing_from_a_list_leaves_the_others(shop: Context) -> None:
    await call(
        shop,
        "list.add",
        tenant="shop",
        slug="deals",
        kind="commercial",
        purpose="Deals",
        promise="1/week",
    )
    await take(shop, row(2, "ann@example.org"))
    begun = await call(shop, "import.begin_consents", tenant="shop", list="deals", source="form")
    await call(
        shop,
        "import.consent_rows",
        number=begun["import"],
        source="form",
        rows=[row(2, "ann@example.org")],
    )
    await call(shop, "import.commit", number=begun["import"])
    await call(shop, "consent.withdraw", address="ann@example.org", tenant="shop", list="deals")
    assert await standing(shop, "ann@example.org") == "granted"
    await call(shop, "consent.withdraw", address="ann@example.org", tenant="shop", list="news")
    assert await standing(shop, "ann@example.org") == "withdrawn"


async def test_an_aborted_import_leaves_nothing(shop: Context) -> None:
    begun = await call(shop, "import.begin_consents", tenant="shop", list="news", source="form")
    number = begun["import"]
    await call(
        shop,
        "import.consent_rows",
        number=number,
        source="form",
        rows=[row(2, "ann@example.org")],
    )
    await call(shop, "import.abort", number=number)
    assert await standing(shop, "ann@example.org") == "absent"
    with pytest.raises(OperationError, match="not open"):
        await call(shop, "import.commit", number=number)


async def test_imported_opt_outs_block(shop: Context) -> None:
    await take(shop, row(2, "ann@example.org"))
    begun = await call(shop, "import.begin_optouts", tenant="shop")
    rows = [[2, {"address": "Ann@example.org", "why": "phoned"}], [3, {"address": "nobody"}]]
    bad = await call(shop, "import.optout_rows", number=begun["import"], rows=rows)
    assert [line for line, _ in bad] == [3]
    assert (await call(shop, "import.commit", number=begun["import"]))["rows"] == 1
    assert await standing(shop, "ann@example.org") == "withdrawn"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("2026-01-02T10:00Z", "granted"),
        ("2026-01-02", "granted"),
        ("today", "withdrawn"),
        ("", "withdrawn"),
    ],
)
async def test_only_a_file_that_dates_its_rows_can_be_brought_in_again(
    shop: Context, clock: FakeClock, said: str, state: str
) -> None:
    """The same opt-out told again sends nobody away who came back; in doubt it is a new one."""
    day = datetime.fromtimestamp(clock.now(), UTC).date().isoformat()
    rows = [[2, {"address": "ann@example.org", "at": day if said == "today" else said}]]

    async def file() -> None:
        begun = await call(shop, "import.begin_optouts", tenant="shop")
        await call(shop, "import.optout_rows", number=begun["import"], rows=rows)
        await call(shop, "import.commit", number=begun["import"])
        clock.advance(60)

    await file()
    owner = shop.store.directory.tenant("shop")
    assert owner is not None
    await shop.store.consents.grant(
        *(owner.id, shop.store.keys(parse_address("ann@example.org"))),
        basis=Basis.CONFIRMED,
        at=clock.now(),
        own_act=True,
    )
    assert await standing(shop, "ann@example.org") == "granted"
    await file()
    assert await standing(shop, "ann@example.org") == state


async def test_ledger_holds_and_is_exported(shop: Context) -> None:
    await take(shop, row(2, "ann@example.org"))
    await call(shop, "consent.withdraw", address="ann@example.org", tenant="shop")
    report = await call(shop, "ledger.verify", tenant="shop")
    assert (report["ok"], report["events"], report["broken"]) == (True, 2, None)
    bundle = json.loads("".join(await call(shop, "ledger.export", tenant="shop")))
    (run,) = bundle["tenants"][0]["runs"]
    assert [link["type"] for link in run] == ["consent.imported", "optout"]


async def test_unknown_source_list_and_address(shop: Context) -> None:
    for parameters in (
        {"tenant": "shop", "list": "news", "source": "nobody"},
        {"tenant": "shop", "list": "nothing", "source": "form"},
        {"tenant": "nobody", "list": "news", "source": "form"},
    ):
        with pytest.raises(OperationError) as caught:
            await call(shop, "import.begin_consents", **parameters)
        assert caught.value.status == 1
    with pytest.raises(OperationError) as caught:
        await call(shop, "consent.show", address="not an address")
    assert caught.value.status == 2


async def test_a_person_without_record(shop: Context) -> None:
    record = await call(shop, "consent.show", address="new@example.org")
    assert (record["standings"], record["timeline"]) == ([], [])
