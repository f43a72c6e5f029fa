"""Files over the API: only with an acceptance, whole or not at all, and never past an opt-out."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.consent import importing
from relay.consent.importing import Importing, Report
from relay.consent.recording import RecordingRefused
from relay.decide.notice import Notice
from relay.model import StandingState
from relay.store.sqlite.transaction import Transaction
from tests.support.clock import FakeClock
from tests.unit.consent.collectors import House, house

HEAD = b"address,basis,collected_at,origin\n"
TWO = HEAD + b"ann@example.org,attested,2026-01-02,fair\nbob@example.org,attested,2026-01-03,\n"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def shop(tmp_path: Path, clock: FakeClock) -> AsyncIterator[House]:
    async with house(tmp_path / "data", clock) as opened:
        yield opened


async def octets(content: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def accept(where: House, content: bytes) -> None:
    await where.desk.accept(
        where.shop,
        where.news,
        version=where.desk.terms().version,
        accepted_by="B. Baker",
        content_digest=hashlib.sha256(content).hexdigest(),
    )


async def take(where: House, content: bytes, accepted: bool = True, **given: Any) -> Report:
    if accepted:
        await accept(where, content)
    return await Importing(where.store, where.clock, where.desk).run(
        where.shop,
        given.pop("mailing_list", where.news),
        source=given.pop("source", "paper"),
        body=octets(content, given.pop("size", 4_096)),
        **given,
    )


async def nothing_is_left(where: House) -> bool:
    def count(tx: Transaction) -> int:
        tables = ("imports", "import_rows", "consents", "subjects")
        return sum(tx.raw.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables)

    return await where.store.writer.write(count) == 0


async def test_an_accepted_file_is_imported(shop: House) -> None:
    report = await take(shop, TWO, size=1)
    assert report == Report(seq=2, rows=2, opted_out=0, bad=0, named=())
    assert await shop.state("ann@example.org") is StandingState.GRANTED
    assert [event["type"] for event in await shop.chain()] == ["terms.accepted", "consent.imported"]
    (entry,) = await shop.store.consents.show(shop.keys("ann@example.org"))
    assert entry.data["evidence"] == {
        "origin": "fair",
        "source": "paper",
        "accepted_by": "B. Baker",
        "acceptance": 1,
    }
    assert (await shop.store.ledger.verify()).ok


async def test_without_an_acceptance_of_exactly_this_file(shop: House) -> None:
    await accept(shop, TWO + b"eve@example.org,attested,2026-01-02,\n")
    with pytest.raises(RecordingRefused, match=hashlib.sha256(TWO).hexdigest()):
        await take(shop, TWO, accepted=False)
    await accept(shop, TWO)
    with pytest.raises(RecordingRefused, match="for list sale"):
        await take(shop, TWO, accepted=False, mailing_list=shop.sale)
    with pytest.raises(RecordingRefused, match="no such list"):
        await take(shop, TWO, accepted=False, mailing_list=shop.post)
    with pytest.raises(RecordingRefused, match="source names none"):
        await take(shop, TWO, accepted=False, source="nobody")
    assert await nothing_is_left(shop)


BAD = {
    b"nobody,attested,2026-01-02,": "not a mail address",
    b"c@example.org,approved,2026-01-02,": "needs the signature of its source",
    b"c@example.org,confirmed,2026-01-02,": "only our own confirmation",
    b"c@example.org,none,2026-01-02,": "no consent; there are customer, attested, offline",
    b"c@example.org,magic,2026-01-02,": "none of customer, attested, offline",
    b"c@example.org,attested,tomorrow,": "not a date",
    b"c@example.org,attested,2099-01-01,": "in the future",
    b"c@example.org,attested": "fields where the header has",
    b"c@example.org,offline,2026-01-02,": "channel must be paper or phone",
    b"c@example.org,customer,2026-01-02,": "order_hash must be the SHA-256",
    b"c@example.org,attested,2026-01-02," + b"x" * 4_001: "longer than 4000",
}


async def test_bad_rows_are_named_and_nothing_is_taken(shop: House) -> None:
    content = TWO + b"".join(line + b"\n" for line in BAD)
    report = await take(shop, content)
    assert (report.seq, report.rows, report.bad) == (None, 0, len(BAD))
    for (line, why), (number, words) in zip(
        report.named, enumerate(BAD.values(), start=4), strict=True
    ):
        assert line == number
        assert words in why
    assert await nothing_is_left(shop)
    kept = await take(shop, content, accepted=False, skip_bad=True)
    assert (kept.rows, kept.bad) == (2, len(BAD))


async def test_only_the_first_bad_rows_are_named(shop: House) -> None:
    content = HEAD + b"nobody,attested,2026-01-02,\n" * 1_200
    report = await take(shop, content, skip_bad=True)
    assert (report.bad, report.seq) == (1_200, None)
    assert [line for line, _ in report.named] == list(range(2, 102))


async def test_more_than_one_chunk(shop: House) -> None:
    lines = (f"p{n}@example.org,attested,2026-01-02,\n".encode() for n in range(1_100))
    report = await take(shop, HEAD + b"".join(lines))
    assert report.rows == 1_100
    assert await shop.state("p1099@example.org") is StandingState.GRANTED


async def test_people_who_left_stay_away(shop: House, clock: FakeClock) -> None:
    keys = shop.keys("ann@example.org")
    await shop.store.consents.withdraw(shop.shop.id, keys, at=clock.now(), channel="page")
    clock.advance(60)
    report = await take(shop, TWO)
    assert (report.rows, report.opted_out) == (2, 1)
    assert await shop.state("ann@example.org") is StandingState.WITHDRAWN
    assert await shop.state("bob@example.org") is StandingState.GRANTED


async def test_customers_bring_their_evidence(shop: House) -> None:
    words = Notice("en", "News", "1/week", "Shop", "Shop BV", "Street 1", "", "a@b.test", "", "Ok?")
    stored = await shop.store.notice_versions.ensure(shop.shop.id, shop.news.id, words, at=1.0)
    order = hashlib.sha256(b"1001").hexdigest()
    head = b"address;basis;collected_at;order_hash;product_group;notice;optout_offered\n"
    row = f"ann@example.org;customer;2026-01-02;{order};bread;{stored.id};yes\n"
    assert (await take(shop, head + row.encode())).rows == 1
    for good, wrong in (
        (order, "1001"),
        ("bread", ""),
        (f";{stored.id};", ";77;"),
        (f";{stored.id};", f";{'9' * 400};"),
        ("yes", "maybe"),
    ):
        report = await take(shop, head + row.replace(good, wrong).encode())
        assert (report.seq, report.bad) == (None, 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1: the file is empty"),
        (b"address,basis\na@b.example,attested\n", "no column collected_at"),
        (b"address,address,basis,collected_at\n", "there twice"),
        (HEAD, "no rows"),
        (HEAD + "rené@example.org,attested,2026-01-02,".encode("latin-1"), "not UTF-8"),
    ],
)
async def test_files_that_are_none(shop: House, content: bytes, words: str) -> None:
    with pytest.raises(RecordingRefused, match=words):
        await take(shop, content)
    assert await nothing_is_left(shop)


async def test_a_file_that_is_too_large(shop: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "LARGEST", len(TWO) - 1)
    with pytest.raises(RecordingRefused, match="larger than"):
        await take(shop, TWO)


async def test_a_column_of_the_file_overrules_nothing(shop: House) -> None:
    content = (
        b"address,basis,collected_at,source,accepted_by,signed_by\n"
        b"ann@example.org,attested,2026-01-02,form,Somebody,operator\n"
    )
    await take(shop, content)
    (entry,) = await shop.store.consents.show(shop.keys("ann@example.org"))
    said = entry.data["evidence"]
    assert isinstance(said, dict)
    assert (said["source"], said["accepted_by"]) == ("paper", "B. Baker")


async def test_a_client_that_goes_away_leaves_nothing(shop: House) -> None:
    async def torn() -> AsyncIterator[bytes]:
        yield TWO[:40]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await Importing(shop.store, shop.clock, shop.desk).run(
            shop.shop, shop.news, source="paper", body=torn()
        )
    assert await nothing_is_left(shop)
    assert sorted(path.name for path in shop.store.data_dir.iterdir() if "tmp" in path.name) == []


async def test_files_of_one_tenant_wait_for_each_other(shop: House) -> None:
    """Else many uploads at once fill the disk that mail needs."""
    await accept(shop, TWO)
    taking = Importing(shop.store, shop.clock, shop.desk)
    begun: list[int] = []
    go_on = asyncio.Event()

    async def slowly(number: int) -> AsyncIterator[bytes]:
        begun.append(number)
        await go_on.wait()
        yield TWO

    def run(number: int) -> asyncio.Task[Report]:
        body = slowly(number)
        return asyncio.ensure_future(taking.run(shop.shop, shop.news, source="paper", body=body))

    running = [run(number) for number in range(3)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert begun == [0]
    go_on.set()
    assert [report.rows for report in await asyncio.gather(*running)] == [2, 2, 2]
