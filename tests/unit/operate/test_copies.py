"""Quarantine and spool on a real store."""

import json
from typing import Any

import pytest

from relay.decide.address import parse_address
from relay.model import Copy, CopyState, Kind, Reason, StoredMessage
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.operate.operations import OPERATIONS
from relay.transform.body import body_hash

BODY = b"Hello\r\n"


async def call(context: Context, name: str, /, **parameters: Any) -> Any:
    return await OPERATIONS.call(context, name, parameters)


async def put(context: Context, number: str, state: CopyState, to: str = "ann@ok.test") -> str:
    """One message of shop/news with one copy; returns the copy's id."""
    directory = context.store.directory
    owner = directory.tenant("shop")
    assert owner is not None
    mailing_list = directory.list_of(owner.id, "news")
    assert mailing_list is not None
    now = context.clock.now()
    message = StoredMessage(
        id=number,
        at=now,
        tenant_id=owner.id,
        list_id=mailing_list.id,
        kind=Kind.COMMERCIAL,
        declared=True,
        mail_from="news@shop.example",
        header=b"From: News <news@shop.example>\r\nSubject: Sale\r\n\r\n",
        body_hash=body_hash(BODY),
        body_size=len(BODY),
        subject="Sale",
        from_address="news@shop.example",
    )
    held = state is CopyState.HELD
    copy = Copy(
        message_id=number,
        seq=1,
        recipient=parse_address(to),
        state=state,
        reason=Reason.NO_CONSENT if held else None,
        rule="strict-opt-in/no-consent" if held else None,
        next_at=now + 600,
        expires_at=now + 86_400,
    )
    await context.store.mail.accept(message, BODY, [copy], [], 0)
    return copy.id


@pytest.fixture
async def house(shop: Context) -> Context:
    await call(shop, "domain.add", tenant="shop", domain="shop.example")
    return shop


async def test_held_mail_is_listed_and_shown(house: Context) -> None:
    held = await put(house, "A1", CopyState.HELD)
    await put(house, "A2", CopyState.WAITING)
    (row,) = await call(house, "quarantine.list", tenant="shop")
    assert row == {
        "id": held,
        "time": "2027-01-15T08:00:00Z",
        "tenant": "shop",
        "list": "news",
        "from": "news@shop.example",
        "to": "ann@ok.test",
        "subject": "Sale",
        "reason": "no-consent",
    }
    shown = await call(house, "quarantine.show", id=held)
    assert shown["header"].startswith("From: News")
    assert shown["rule"] == "strict-opt-in/no-consent"
    assert await call(house, "quarantine.list", reason="pending") == []


async def test_waiting_mail_is_listed_with_why_and_next(house: Context) -> None:
    await put(house, "A1", CopyState.HELD)
    waiting = await put(house, "A2", CopyState.WAITING)
    (row,) = await call(house, "spool.list")
    assert (row["id"], row["why"], row["next"]) == (
        waiting,
        "not tried yet",
        "2027-01-15T08:10:00Z",
    )


async def test_release_without_consent_stays_held(house: Context) -> None:
    held = await put(house, "A1", CopyState.HELD)
    (answer,) = await call(house, "quarantine.release", ids=[held])
    assert (answer["released"], answer["reason"]) == (False, "no-consent")
    assert len(await call(house, "quarantine.list")) == 1


async def test_release_as_what_a_person_has_seen(house: Context) -> None:
    held = await put(house, "A1", CopyState.HELD)
    (answer,) = await call(
        house, "quarantine.release", ids=[held], kind="transactional", reason="an invoice"
    )
    assert answer["released"] is True
    assert await call(house, "quarantine.list") == []
    assert [row["id"] for row in await call(house, "spool.list")] == [held]
    bundle = json.loads("".join(await call(house, "ledger.export", tenant="shop")))
    (*_, last) = bundle["tenants"][0]["runs"][0]
    assert json.loads(last["content"])["data"]["reason"] == "an invoice"


async def test_release_never_passes_an_opt_out(house: Context) -> None:
    held = await put(house, "A1", CopyState.HELD)
    await call(house, "consent.withdraw", address="ann@ok.test", tenant="shop")
    (answer,) = await call(house, "quarantine.release", ids=[held])
    assert (answer["released"], answer["reason"]) == (False, "withdrawn")


async def test_release_with_a_wrong_id_releases_nothing(house: Context) -> None:
    held = await put(house, "A1", CopyState.HELD)
    with pytest.raises(OperationError, match=r"there is no copy 'A9\.1'") as caught:
        await call(
            house, "quarantine.release", ids=[held, "A9.1"], kind="personal", reason="a letter"
        )
    assert caught.value.status == 1
    assert len(await call(house, "quarantine.list")) == 1


async def test_kind_wants_a_reason(house: Context) -> None:
    held = await put(house, "A1", CopyState.HELD)
    with pytest.raises(OperationError) as caught:
        await call(house, "quarantine.release", ids=[held], kind="personal", reason=" ")
    assert caught.value.status == 2


async def test_delete(house: Context) -> None:
    held = await put(house, "A1", CopyState.HELD)
    waiting = await put(house, "A2", CopyState.WAITING)
    with pytest.raises(OperationError, match="is waiting, not held"):
        await call(house, "quarantine.delete", ids=[waiting])
    assert await call(house, "quarantine.delete", ids=[held, held]) == [{"id": held}]
    assert await call(house, "spool.delete", ids=[waiting]) == [{"id": waiting}]
    assert await call(house, "quarantine.list") == await call(house, "spool.list") == []
    with pytest.raises(OperationError, match="is deleted, not held"):
        await call(house, "quarantine.delete", ids=[held])


async def test_retry_makes_a_copy_due_and_wakes_delivery(house: Context) -> None:
    waiting = await put(house, "A2", CopyState.WAITING)
    woken: list[str] = []
    house.wake = woken.extend
    await call(house, "spool.retry", ids=[waiting])
    assert woken == [waiting]
    assert (await call(house, "spool.list"))[0]["next"] == "2027-01-15T08:00:00Z"


async def test_explain_sends_and_stores_nothing(house: Context) -> None:
    import base64

    content = base64.b64encode(b"From: news@shop.example\nList-Unsubscribe: <x>\n\nhi\n").decode()
    told = await call(house, "explain", content=content, tenant="shop", to=["ann@ok.test"])
    (fate,) = told["recipients"]
    assert (fate["action"], fate["reason"]) == ("quarantine", "no-consent")
    assert await call(house, "quarantine.list") == await call(house, "spool.list") == []


async def test_explain_tells_of_an_envelope_sender_that_would_be_refused(house: Context) -> None:
    import base64

    content = base64.b64encode(b"From: news@shop.example\n\nhi\n").decode()
    mail = {"content": content, "tenant": "shop", "to": ["ann@ok.test"]}
    told = await call(house, "explain", **mail, mail_from="news@elsewhere.example")
    assert told["reason"] == "foreign-sender"
    assert "not registered" in told["refused"]
    for own in ("bounces@shop.example", "<>"):
        assert "refused" not in await call(house, "explain", **mail, mail_from=own)


async def test_mail_of_a_tenant_that_may_send_again_goes_now(house: Context) -> None:
    woken: list[str] = []
    house.wake = woken.extend
    waiting = await put(house, "A1", CopyState.WAITING)
    await put(house, "A2", CopyState.HELD)
    await call(house, "tenant.suspend", slug="shop", reason="spam run")
    await call(house, "tenant.resume", slug="shop")
    assert woken == [waiting]
