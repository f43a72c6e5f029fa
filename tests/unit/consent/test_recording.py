"""Consents on the word of others: what is recorded, what is refused, and what is of no effect."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from relay.consent.erasing import Erasing
from relay.consent.recording import Recorded, RecordingRefused
from relay.consent.source_keys import read_keys, write_keys
from relay.consent.withdrawing import Withdrawing
from relay.decide.address import parse_address
from relay.decide.notice import Notice
from relay.model import Basis, StandingState
from tests.support.clock import FakeClock
from tests.unit.consent.collectors import Collector, House, house

ANN = "ann@example.org"
ORDER = hashlib.sha256(b"order 1001").hexdigest()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def shop(tmp_path: Path, clock: FakeClock) -> AsyncIterator[House]:
    async with house(tmp_path / "data", clock) as opened:
        yield opened


async def send(where: House, token: object) -> Recorded:
    return await where.recording.approved(where.shop, where.news, token)


async def leave(where: House, address: str = ANN) -> None:
    await where.store.consents.withdraw(
        where.shop.id, where.keys(address), at=where.clock.now(), channel="page"
    )


# --- approved sources ---------------------------------------------------------------------------


async def test_a_signed_consent_is_the_persons_own_act(shop: House, clock: FakeClock) -> None:
    token = shop.form.sign(clock)
    done = await send(shop, token)
    assert (done.basis, done.seq, done.state, done.note) == (Basis.APPROVED, 1, "recorded", "")
    assert await shop.state(ANN) is StandingState.GRANTED
    (event,) = await shop.chain()
    said = event["data"]
    assert (said["basis"], said["own_act"], said["list"]) == ("approved", True, shop.news.id)
    assert event["t"] == (int(clock.now()) - 60) * 1_000
    evidence = said["evidence"]
    assert evidence["jwt"] == token
    assert (evidence["act"], evidence["ip"], evidence["source"]) == ("tick", "192.0.2.7", "form")
    (key,) = read_keys(evidence["public_key"])
    jwt.PyJWS().decode_complete(evidence["jwt"], key, algorithms=["EdDSA"])
    assert (await shop.store.ledger.verify()).ok


async def test_the_same_event_counts_once_also_after_a_restart(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with house(tmp_path / "data", clock) as opened:
        token = opened.form.sign(clock)
        first = await send(opened, token)
        assert await send(opened, token) == first
        claims = jwt.decode(token, options={"verify_signature": False})
    async with house(tmp_path / "data", clock) as opened:
        # The same event under the source's next key is still the same event.
        again = jwt.encode(claims, opened.form.key, algorithm="EdDSA")
        assert await send(opened, again) == first
        assert len(await opened.chain()) == 1


async def test_one_number_never_stands_for_two_consents(shop: House, clock: FakeClock) -> None:
    await send(shop, shop.form.sign(clock))
    with pytest.raises(RecordingRefused, match="jti: this number was used"):
        await send(shop, shop.form.sign(clock, sub="bob@example.org"))
    assert await shop.state("bob@example.org") is StandingState.ABSENT
    # Another source counts on its own.
    done = await send(shop, shop.till.sign(clock, sub="bob@example.org"))
    assert done.effective


async def test_an_old_event_never_undoes_an_opt_out(shop: House, clock: FakeClock) -> None:
    sent, kept_back = shop.form.sign(clock), shop.form.sign(clock, jti="n-2")
    await send(shop, sent)
    clock.advance(10)
    await leave(shop, "Ann+news@example.org")
    clock.advance(10)
    for token in (sent, kept_back, shop.till.sign(clock, iat=int(clock.now()) - 15)):
        done = await send(shop, token)
        assert (done.state, done.seq) == ("without effect: opted out", None)
        assert await shop.state(ANN) is StandingState.WITHDRAWN
    clock.advance(60)
    fresh = await send(shop, shop.form.sign(clock, jti="n-3", iat=int(clock.now())))
    assert (fresh.state, fresh.seq) == ("recorded", 3)
    assert await shop.state(ANN) is StandingState.GRANTED


async def test_the_clock_of_a_source_may_be_a_minute_ahead(shop: House, clock: FakeClock) -> None:
    await send(shop, shop.form.sign(clock, iat=int(clock.now()) + 60))
    (event,) = await shop.chain()
    assert event["t"] == round(clock.now() * 1_000)
    with pytest.raises(RecordingRefused, match="iat lies in the future"):
        await send(shop, shop.form.sign(clock, jti="n-2", iat=int(clock.now()) + 61))


async def test_a_key_is_replaced_without_a_gap(shop: House, clock: FakeClock) -> None:
    source = shop.store.directory.sources["form"]
    following = Collector("form")
    both = write_keys([shop.form.key.public_key(), following.key.public_key()])
    await shop.store.registry.change_source(replace(source, public_key=both))
    assert (await send(shop, shop.form.sign(clock))).effective
    assert (await send(shop, following.sign(clock, jti="n-2"))).effective
    await shop.store.registry.change_source(replace(source, public_key=following.pem))
    with pytest.raises(RecordingRefused, match="signature does not fit"):
        await send(shop, shop.form.sign(clock, jti="n-3"))


BAD_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"iss": "nobody"}, "iss names no source"),
    ({"iss": "paper"}, "not approved"),
    ({"iss": "mute"}, "has no key"),
    ({"iss": "till"}, "signature does not fit"),
    ({"iss": None}, "iss names no source"),
    ({"aud": "https://other.example"}, "aud must be one of https://"),
    ({"aud": None}, "aud must be"),
    ({"aud": ["https://other.example"]}, "aud must be"),
    ({"tenant": "club"}, "tenant must be 'shop'"),
    ({"tenant": None}, "tenant must be 'shop'"),
    ({"list": "sale"}, "list must be 'news'"),
    ({"iat": None}, "iat is missing"),
    ({"iat": "1800000000"}, "iat must be a number"),
    ({"iat": True}, "iat must be a number"),
    ({"iat": 5}, "before 1990"),
    ({"iat": 10**400}, "iat must be a number"),
    ({"exp": 1_800_000_000}, "has expired"),
    ({"exp": "never"}, "exp must be a number"),
    ({"nbf": 1_800_000_061}, "does not count yet"),
    ({"jti": None}, "jti must be a text"),
    ({"jti": ""}, "jti must not be empty"),
    ({"act": None}, "act must say"),
    ({"act": "preticked"}, "act must say"),
    ({"act": ["tick"]}, "act must say"),
    ({"sub": None}, "sub must be a mail address"),
    ({"sub": "nobody"}, "sub is not a mail address"),
    ({"ip": "here"}, "ip is not an IP address"),
    ({"ip": None}, "ip must be an IP address"),
    ({"form_url": "shop.example"}, "form_url must be a whole web address"),
    ({"form_url": "https://[x"}, "form_url is not a web address"),
    ({"user_agent": "a\nb"}, "user_agent holds characters"),
    ({"user_agent": "x" * 301}, "longer than 300"),
    ({"notice": None}, "notice must be the words"),
    ({"notice": 999}, "has no version 999"),
    ({"notice": "We share it with selected partners."}, "names nobody"),
]


async def test_refused_tokens(shop: House, clock: FakeClock) -> None:
    for changed, words in BAD_CLAIMS:
        with pytest.raises(RecordingRefused, match=words):
            await send(shop, shop.form.sign(clock, **changed))
    assert await shop.chain() == []


async def test_a_notice_may_name_a_sender_who_is_called_partners(
    shop: House, clock: FakeClock
) -> None:
    tenant = replace(shop.shop, party=replace(shop.shop.party, name="Partners in Care"))
    words = shop.form.sign(clock, notice="Partners in Care may write to you every week.")
    assert (await shop.recording.approved(tenant, shop.news, words)).effective


async def test_the_relay_goes_by_several_names(shop: House, clock: FakeClock) -> None:
    for name in ("https://mail.example/", "mail.example", "mx.mail.example"):
        assert (await send(shop, shop.form.sign(clock, aud=[name], jti=name))).effective


async def test_tricks_with_the_algorithm(shop: House, clock: FakeClock) -> None:
    claims = shop.form.claims(clock)
    good = shop.form.sign(clock)
    head, body, signature = good.split(".")
    der = read_keys(shop.form.pem)[0].public_bytes_raw()
    tokens = [
        jwt.encode(claims, None, algorithm="none"),  # type: ignore[arg-type]
        jwt.encode(claims, der, algorithm="HS256"),
        jwt.encode(claims, shop.form.key, algorithm="EdDSA", headers={"typ": "at+jwt"}),
        jwt.encode(claims, shop.form.key, algorithm="EdDSA", headers={"crit": ["x"], "x": 1}),
        f"{head}.{body}.",
        f"{head}.{body}",
        f".{body}.{signature}",
        f"{head}..{signature}",
        f"{good}.{signature}",
        good.replace(".", ".."),
        "",
        "é" * 10,
        "a" * 9_000,
        json.dumps({"payload": body}),
    ]
    for token in tokens:
        with pytest.raises(RecordingRefused):
            await send(shop, token)
    with pytest.raises(RecordingRefused, match="as a text"):
        await send(shop, {"jwt": good})
    assert await shop.chain() == []


async def test_claims_that_are_there_twice(shop: House, clock: FakeClock) -> None:
    body = json.dumps(shop.form.claims(clock))[:-1] + ',"sub":"eve@example.org"}'
    for payload in (body, "[1]", '"text"', "{" + "[" * 5_000, '{"iat":NaN}', '{"a":"\\ud800"}'):
        token = jwt.PyJWS().encode(payload.encode(), shop.form.key, algorithm="EdDSA")
        with pytest.raises(RecordingRefused, match="not a plain JSON object"):
            await send(shop, token)


async def test_a_source_that_is_approved_no_more(shop: House, clock: FakeClock) -> None:
    source = shop.store.directory.sources["form"]
    await shop.store.registry.change_source(replace(source, approved=False))
    with pytest.raises(RecordingRefused, match="not approved"):
        await send(shop, shop.form.sign(clock))


async def test_a_stored_notice_is_named_by_its_id(shop: House, clock: FakeClock) -> None:
    stored = await notice(shop)
    await send(shop, shop.form.sign(clock, notice=stored))
    (_, event) = await shop.chain()
    assert event["data"]["evidence"]["notice"] == stored
    with pytest.raises(RecordingRefused, match="list sale has no version"):
        await shop.recording.approved(
            shop.shop, shop.sale, shop.form.sign(clock, list="sale", jti="2", notice=stored)
        )


async def notice(where: House) -> int:
    """Store a version of the notice of shop/news."""
    words = Notice("en", "News", "1/week", "Shop", "Shop BV", "Street 1", "", "a@b.test", "", "Ok?")
    stored = await where.store.notice_versions.ensure(where.shop.id, where.news.id, words, at=1.0)
    return stored.id


async def test_lists_that_cannot_take_any(shop: House, clock: FakeClock) -> None:
    with pytest.raises(RecordingRefused, match="no such list"):
        await shop.recording.approved(shop.shop, shop.post, shop.form.sign(clock, list="post"))
    await shop.store.registry.change_list(replace(shop.news, archived=True))
    archived = shop.store.directory.lists[shop.news.id]
    with pytest.raises(RecordingRefused, match="archived"):
        await shop.recording.approved(shop.shop, archived, shop.form.sign(clock))


# --- the tenant's word --------------------------------------------------------------------------


async def customer(where: House, **changed: Any) -> Recorded:
    given = {
        "address": ANN,
        "order_hash": ORDER,
        "date": "2026-11-02",
        "product_group": "bread",
        "notice": 0,
        "optout_offered": True,
        **changed,
    }
    return await where.recording.customer(where.shop, where.news, **given)


async def attested(where: House, **changed: Any) -> Recorded:
    given = {
        "address": ANN,
        "collected_at": "2026-11-02T10:00Z",
        "origin": "form in the shop of Delft",
        "version": where.desk.terms().version,
        "accepted_by": "B. Baker",
        **changed,
    }
    return await where.recording.attested(where.shop, where.news, **given)


async def offline(where: House, **changed: Any) -> Recorded:
    given = {
        "address": ANN,
        "channel": "paper",
        "date": "2026-11-02",
        "collected_by": "C. Clerk",
        **changed,
    }
    return await where.recording.offline(where.shop, where.news, **given)


async def test_a_customer_is_recorded_and_held(shop: House) -> None:
    stored = await notice(shop)
    done = await customer(shop, notice=stored, optout_offered=False)
    assert (done.basis, done.effective) == (Basis.CUSTOMER, True)
    assert "four-part test" in done.note
    event = (await shop.chain())[-1]["data"]
    assert event["own_act"] is False
    assert event["evidence"] == {
        "order_hash": ORDER,
        "product_group": "bread",
        "optout_offered": False,
        "notice": stored,
        "notice_digest": event["evidence"]["notice_digest"],
    }


BAD_CUSTOMERS: list[tuple[dict[str, Any], str]] = [
    ({"order_hash": "1001"}, "order_hash must be the SHA-256 of the order number"),
    ({"date": "soon"}, "date is not a date"),
    ({"date": "2099-01-01"}, "date lies in the future"),
    ({"product_group": ""}, "product_group must not be empty"),
    ({"optout_offered": "perhaps"}, "optout_offered must say yes or no"),
    ({"optout_offered": None}, "optout_offered must say yes or no"),
    ({"notice": 4711}, "has no version 4711"),
    ({"notice": "some words"}, "notice must be the id"),
    ({"notice": True}, "notice must be the id"),
    ({"address": "x"}, "address is not a mail address"),
]


async def test_refused_customers(shop: House) -> None:
    stored = await notice(shop)
    for changed, words in BAD_CUSTOMERS:
        with pytest.raises(RecordingRefused, match=words):
            await customer(shop, **{"notice": stored, **changed})
    assert len(await shop.chain()) == 1


async def test_an_attested_consent_has_its_acceptance(shop: House) -> None:
    done = await attested(shop, ip="2001:db8::1", form_url="https://shop.example/")
    accepted, granted = await shop.chain()
    assert (accepted["type"], accepted["data"]["accepted_by"]) == ("terms.accepted", "B. Baker")
    assert accepted["data"]["terms_digest"] == shop.desk.terms().digest
    assert granted["data"]["evidence"]["acceptance"] == accepted["seq"]
    assert (done.seq, done.state) == (2, "recorded")
    assert "until the operator admits" in done.note
    await shop.store.registry.change_tenant(replace(shop.shop, attested_admitted=True))
    admitted = shop.store.directory.tenant("shop")
    assert admitted is not None
    shop.shop = admitted
    assert (await attested(shop, address="bob@example.org")).note == ""


BAD_ATTESTATIONS: list[tuple[dict[str, Any], str]] = [
    ({"version": "2020-01"}, "version must be"),
    ({"version": None}, "version must be"),
    ({"accepted_by": ""}, "accepted_by must not be empty"),
    ({"accepted_by": 5}, "accepted_by must be a text"),
    ({"origin": ""}, "origin must not be empty"),
    ({"collected_at": "2026-13-01"}, "collected_at is not a date"),
    ({"ip": "x"}, "ip is not"),
    ({"notice": "Our partners may write to you."}, "names nobody"),
    ({"address": "\ud800@example.org"}, "address is not a mail address"),
    ({"origin": "\ud800"}, "origin holds characters"),
]


async def test_refused_attestations(shop: House) -> None:
    for changed, words in BAD_ATTESTATIONS:
        with pytest.raises(RecordingRefused, match=words):
            await attested(shop, **changed)
    assert await shop.chain() == []


async def test_paper_and_phone_are_recorded_and_held(shop: House) -> None:
    done = await offline(shop)
    assert done.basis is Basis.OFFLINE
    assert "until the person confirms" in done.note
    (event,) = await shop.chain()
    assert event["data"]["evidence"] == {"channel": "paper", "collected_by": "C. Clerk"}
    with pytest.raises(RecordingRefused, match="channel must be one of paper, phone"):
        await offline(shop, channel="web")


async def test_nothing_that_a_tenant_says_brings_a_person_back(
    shop: House, clock: FakeClock
) -> None:
    stored = await notice(shop)
    await leave(shop)
    clock.advance(86_400)
    before = await shop.chain()
    for done in (
        await customer(shop, notice=stored),
        await attested(shop),
        await offline(shop, address="Ann+other@example.org"),
    ):
        assert (done.state, done.seq) == ("without effect: opted out", None)
        assert "the person has opted out" in done.note
    assert await shop.chain() == before
    assert await shop.store.consents.address_of(shop.keys(ANN), None) is None


async def test_an_opt_out_from_one_list_stops_the_tenants_word_for_all(
    shop: House, clock: FakeClock
) -> None:
    await shop.store.consents.withdraw(
        shop.shop.id, shop.keys(ANN), at=clock.now(), channel="page", list_id=shop.sale.id
    )
    assert not (await attested(shop)).effective
    # The person's own later act for another list is another matter.
    assert (await send(shop, shop.form.sign(clock))).effective


async def test_nothing_of_an_erased_person_is_stored_again(shop: House, clock: FakeClock) -> None:
    withdrawing = Withdrawing(shop.store, clock, lambda *_: None, lambda _: None)
    erasing = Erasing(store=shop.store, clock=clock, withdrawing=withdrawing)
    await erasing.erase(parse_address(ANN), tenant_id=None)
    clock.advance(3_600)
    before = await shop.chain()
    fresh = shop.form.sign(clock, iat=int(clock.now()))
    for done in (await send(shop, fresh), await offline(shop)):
        assert (done.effective, done.seq) == (False, None)
    assert await shop.chain() == before
    assert await shop.store.consents.address_of(shop.keys(ANN), None) is None
