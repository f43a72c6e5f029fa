"""Consents given elsewhere, files of them, and the terms for both."""

from __future__ import annotations

import hashlib
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.model import Source
from tests.support.api_rig import FORM, Rig

KEY = Ed25519PrivateKey.generate()
FILE = b"address,basis,collected_at\r\nanna@people.test,attested,2026-01-02\r\n"


@pytest.fixture
async def source(rig: Rig) -> None:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    await rig.store.registry.add_source(Source(0, "pos", True, pem.decode()))


def token(rig: Rig, **claims: Any) -> str:
    said = {
        "iss": "pos",
        "aud": "https://relay.test",
        "iat": int(rig.clock.now()),
        "jti": "1",
        "sub": "anna@people.test",
        "tenant": "shop",
        "list": "news",
        "act": "tick",
        "notice": "Mail me the weekly news of Shop BV.",
        "form_url": FORM,
        "ip": "192.0.2.1",
        **claims,
    }
    return jwt.encode(said, KEY, algorithm="EdDSA")


async def state(rig: Rig, address: str = "anna@people.test") -> str:
    record = (await rig.get("/consents", params={"address": address})).json()
    found: str = {s["list"]: s["state"] for s in record["standings"]}.get("news", "absent")
    return found


@pytest.mark.usefixtures("source")
async def test_a_signed_consent_counts(rig: Rig) -> None:
    wanted = {"basis": "approved", "list": "news", "token": token(rig)}
    answer = await rig.post_to("/consents", wanted)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["effective"], answer.json()["event"]) == (True, 1)
    assert await state(rig) == "granted"


@pytest.mark.usefixtures("source")
async def test_a_forged_one_is_refused_and_its_claim_named(rig: Rig) -> None:
    foreign = {"basis": "approved", "list": "news", "token": token(rig, tenant="club")}
    for wanted in (foreign, {**foreign, "token": token(rig)[:-6] + "AAAAAA"}):
        answer = await rig.post_to("/consents", wanted)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["detail"]
    assert await state(rig) == "absent"


async def test_other_bases_keep_their_evidence(rig: Rig) -> None:
    version = (await rig.get("/terms")).json()["version"]
    notice = await rig.post_to("/lists/news/notices", {"question": "Mail me news of Shop BV."})
    person = {"list": "news", "address": "anna@people.test"}
    for wanted in (
        {
            **person,
            "basis": "customer",
            "order_hash": "a" * 64,
            "date": "2026-01-02",
            "product_group": "shoes",
            "notice": notice.json()["id"],
            "optout_offered": True,
        },
        {
            **person,
            "basis": "attested",
            "collected_at": "2026-01-02",
            "origin": "counter",
            "version": version,
            "accepted_by": "Anna Jansen",
        },
        {
            **person,
            "basis": "offline",
            "channel": "paper",
            "date": "2026-01-02",
            "collected_by": "Bert",
        },
    ):
        answer = await rig.post_to("/consents", wanted)
        assert answer.status_code == 201, answer.text
        assert answer.json()["basis"] == wanted["basis"]
    record = await rig.get("/consents", params={"address": "anna@people.test"})
    bases = [line["data"]["basis"] for line in record.json()["timeline"]]
    assert bases == ["customer", "attested", "offline"]


async def test_what_a_tenant_says_brings_nobody_back(rig: Rig) -> None:
    await rig.post_to("/optouts", {"address": "anna@people.test"})
    rig.clock.advance(1)
    wanted = {
        "list": "news",
        "address": "anna@people.test",
        "basis": "offline",
        "channel": "paper",
        "date": "2026-01-02",
        "collected_by": "Bert",
    }
    answer = await rig.post_to("/consents", wanted)
    assert (answer.status_code, answer.json()["effective"]) == (200, False)
    assert await state(rig) == "withdrawn"


async def test_confirmed_cannot_be_recorded(rig: Rig) -> None:
    wanted = {"list": "news", "address": "anna@people.test", "basis": "confirmed"}
    assert (await rig.post_to("/consents", wanted)).status_code == 422


async def accept(rig: Rig, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    version = (await rig.get("/terms")).json()["version"]
    wanted = {"version": version, "accepted_by": "Anna Jansen", "content_digest": digest}
    answer = await rig.post_to("/lists/news/acceptances", wanted)
    assert (answer.status_code, answer.json()["content_digest"]) == (201, digest)
    return digest


async def send(rig: Rig, content: bytes, digest: str, **more: Any) -> Any:
    return await rig.ask(
        "POST",
        "/lists/news/imports",
        params={"source": "pos", "sha256": digest, **more.pop("params", {})},
        content=content,
        headers={"Content-Type": "text/csv", **more.pop("headers", {})},
    )


@pytest.mark.usefixtures("source")
async def test_a_file_counts_once_its_terms_are_accepted(rig: Rig) -> None:
    digest = hashlib.sha256(FILE).hexdigest()
    early = await send(rig, FILE, digest)
    assert (early.status_code, early.json()["errors"][0]["parameter"]) == (422, "sha256")
    await accept(rig, FILE)
    key = {"Idempotency-Key": "file-1"}
    done = await send(rig, FILE, digest, headers=key)
    assert (done.status_code, done.json()["rows"]) == (200, 1)
    again = await send(rig, FILE, digest, headers=key)
    assert (again.headers["idempotency-replayed"], again.json()) == ("true", done.json())
    assert await state(rig) == "granted"
    record = (await rig.get("/consents", params={"address": "anna@people.test"})).json()
    assert [(line["type"], line["list"]) for line in record["timeline"]] == [
        ("consent.imported", "news")
    ]


@pytest.mark.usefixtures("source")
async def test_a_file_other_than_the_accepted_one_is_not_taken(rig: Rig) -> None:
    digest = await accept(rig, FILE)
    answer = await send(rig, FILE + b"bert@people.test,attested,2026-01-02\r\n", digest)
    assert answer.status_code == 422
    assert await state(rig) == "absent"
    assert await state(rig, "bert@people.test") == "absent"


@pytest.mark.usefixtures("source")
async def test_bad_rows_are_named_and_nothing_is_taken(rig: Rig) -> None:
    content = FILE + b"no one,attested,2026-01-02\r\n"
    digest = await accept(rig, content)
    answer = await send(rig, content, digest)
    assert answer.status_code == 422
    assert "bad rows: 1." in answer.json()["detail"]
    assert answer.json()["errors"][0]["detail"].startswith("Line 3: ")
    assert await state(rig) == "absent"
    skipped = await send(rig, content, digest, params={"skip_bad": True})
    assert (skipped.json()["rows"], skipped.json()["bad"]) == (1, 1)


@pytest.mark.usefixtures("source")
async def test_a_file_is_text_csv(rig: Rig) -> None:
    digest = await accept(rig, FILE)
    answer = await send(rig, FILE, digest, headers={"Content-Type": "application/json"})
    assert answer.status_code == 415


async def test_consents_that_end_are_reported(rig: Rig) -> None:
    await rig.consent("anna@people.test")
    answer = await rig.get("/consents/expiring", params={"days": 3_650, "limit": 1})
    assert answer.status_code == 200
    for one in answer.json()["consents"]:
        assert one["address"] == "anna@people.test"
    strange = await rig.get("/consents/expiring", params={"after": "WyJ4Il0"})
    assert strange.status_code == 422


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"basis": "approved", "list": "news"}, "#/token", "It is required."),
        (
            {"basis": "approved", "list": "news", "token": "a.b.c"},
            "#/token",
            "the token is not a JWT signed with EdDSA",
        ),
        ({"basis": "confirmed"}, "#/basis", "It must be one of 'approved', 'customer'"),
        ({"list": "news"}, "#/basis", "It is required."),
    ],
)
async def test_what_is_wrong_is_pointed_at_where_it_stands(
    rig: Rig, body: dict[str, str], pointer: str, detail: str
) -> None:
    answer = await rig.post_to("/consents", body)
    assert answer.status_code == 422
    (item,) = answer.json()["errors"]
    assert item["pointer"] == pointer
    assert item["detail"].startswith(detail)
