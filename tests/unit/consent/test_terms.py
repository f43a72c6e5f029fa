"""The terms: what they are, who accepted them for what, and that no word of them moves unseen."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.consent.recording import RecordingRefused
from relay.consent.terms import VERSION, TermsTrouble, current_terms
from tests.support.clock import FakeClock
from tests.unit.consent.collectors import House, house

FILE = hashlib.sha256(b"file").hexdigest()
SHIPPED = "25c481386effe814"
"""First digits of the digest of our own texts: another text is another VERSION."""


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path / "data", FakeClock()) as opened:
        yield opened


def test_ours_are_in_english_and_dutch() -> None:
    terms = current_terms(None)
    assert sorted(terms.texts) == ["en", "nl"]
    assert all(len(text) > 1_000 for text in terms.texts.values())
    assert (terms.version, terms.digest[:16]) == (VERSION, SHIPPED)


def test_both_languages_say_as_much() -> None:
    terms = current_terms(None)
    counts = {
        language: [line.split(".")[0] for line in text.splitlines() if line[:1].isdigit()]
        for language, text in terms.texts.items()
    }
    assert counts["en"] == counts["nl"] == [str(number) for number in range(1, 12)]


def test_an_operators_own(tmp_path: Path) -> None:
    file = tmp_path / "terms.txt"
    file.write_text("\ufeffBe good.\n", "utf-8")
    terms = current_terms(file)
    assert dict(terms.texts) == {"und": "Be good."}
    assert terms.version == f"own-{terms.digest[:12]}"
    file.write_text("Be better.")
    assert current_terms(file).version != terms.version


def test_an_operators_own_that_cannot_be_read(tmp_path: Path) -> None:
    for octets in (b"", b" \n", b"\xff\xfe", b"x" * 100_001):
        file = tmp_path / "terms.txt"
        file.write_bytes(octets)
        with pytest.raises(TermsTrouble, match="terms_file"):
            current_terms(file)
    with pytest.raises(TermsTrouble):
        current_terms(tmp_path / "none")


async def test_an_acceptance_is_for_one_content_of_one_list(shop: House) -> None:
    desk = shop.desk
    accepted = await desk.accept(
        shop.shop, shop.news, version=VERSION, accepted_by=" B. Baker ", content_digest=FILE.upper()
    )
    assert (accepted.seq, accepted.accepted_by, accepted.content_digest) == (1, "B. Baker", FILE)
    assert await desk.find(shop.shop, shop.news, FILE) == accepted
    assert await desk.find(shop.shop, shop.sale, FILE) is None
    assert await desk.find(shop.club, shop.post, FILE) is None
    assert await desk.find(shop.shop, shop.news, "0" * 64) is None
    (event,) = await shop.chain()
    assert (event["type"], event["subject"]) == ("terms.accepted", None)
    assert event["data"] == {
        "list": shop.news.id,
        "accepted_by": "B. Baker",
        "terms_version": VERSION,
        "terms_digest": desk.terms().digest,
        "content_digest": FILE,
    }


async def test_new_terms_want_a_new_acceptance(shop: House, tmp_path: Path) -> None:
    await shop.desk.accept(
        shop.shop, shop.news, version=VERSION, accepted_by="B. Baker", content_digest=FILE
    )
    own = tmp_path / "terms.txt"
    own.write_text("Be good.")
    operator = shop.settings.operator.model_copy(update={"terms_file": own})
    shop.desk.settings = shop.settings.model_copy(update={"operator": operator})
    assert await shop.desk.find(shop.shop, shop.news, FILE) is None
    with pytest.raises(RecordingRefused, match="version must be 'own-"):
        await shop.desk.accept(
            shop.shop, shop.news, version=VERSION, accepted_by="B. Baker", content_digest=FILE
        )


async def test_refused_acceptances(shop: House) -> None:
    good = {"version": VERSION, "accepted_by": "B. Baker", "content_digest": FILE}
    for wrong in (
        {"version": 5},
        {"accepted_by": "  "},
        {"accepted_by": "a\nb"},
        {"accepted_by": "x" * 201},
        {"content_digest": "abc"},
        {"content_digest": None},
    ):
        with pytest.raises(RecordingRefused, match=next(iter(wrong))):
            await shop.desk.accept(shop.shop, shop.news, **{**good, **wrong})
    assert await shop.chain() == []
