"""Files of consents that a tenant sends in on its own word (clauses A8, A11, B14 to B16, B27).

Nothing is taken before a person has accepted the terms in force for exactly these octets and this
list, and nothing counts before all of it does.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import tempfile
from collections.abc import AsyncIterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from weakref import WeakValueDictionary

from relay.consent import csv_file, evidence
from relay.consent.evidence import RecordingRefused
from relay.consent.rows import CONSENT_COLUMNS, Bad, Reader, consent_row, read_rows
from relay.consent.terms import TermsDesk
from relay.model import Basis, MailingList, Source, Tenant
from relay.ports import Clock, StoreTrouble
from relay.store.people.consents import scope_of
from relay.store.people.imports import ImportResult, ImportRow
from relay.store.store import Store

BASES: Final = (Basis.CUSTOMER, Basis.ATTESTED, Basis.OFFLINE)
"""What a tenant may import: a signed consent comes one at a time, a confirmation never."""
LARGEST: Final = 100_000_000
"""Octets of one file."""
LONGEST_FIELD: Final = 4_000
"""Characters of one field."""
NAMED: Final = 100
"""Bad rows that are named one by one."""

_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a file."""

    seq: int | None
    """Number of the import's event in the tenant's chain; None: nothing was imported."""
    rows: int
    opted_out: int
    """Rows of persons who opted out before: counted, without effect."""
    bad: int
    """Rows that cannot be taken."""
    named: tuple[Bad, ...]
    """The first of them, each with its line and why."""


class Importing:
    """Takes files in over the API."""

    def __init__(self, store: Store, clock: Clock, desk: TermsDesk) -> None:
        self._store = store
        self._clock = clock
        self._desk = desk
        # One file of a tenant at a time lies on the disk that mail needs too.
        self._turns: Final[WeakValueDictionary[int, asyncio.Lock]] = WeakValueDictionary()

    async def run(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        *,
        source: object,
        body: AsyncIterable[bytes],
        skip_bad: bool = False,
    ) -> Report:
        """Import one CSV file: UTF-8, columns ``address,basis,collected_at`` and any evidence.

        ``source`` is the slug of the system that collected it. All or nothing, unless
        ``skip_bad``. Files of one tenant wait for each other before they are read. Raises
        RecordingRefused when the file as a whole cannot be taken, and StoreTrouble.
        """
        if mailing_list.tenant_id != tenant.id or mailing_list.archived:
            raise RecordingRefused("list: there is no such list, or it is archived")
        origin = self._store.directory.sources.get(source) if isinstance(source, str) else None
        if origin is None:
            raise RecordingRefused("source names none that the operator knows: ask for its slug")
        turn = self._turns.setdefault(tenant.id, asyncio.Lock())
        async with turn:
            with _unnamed(self._store.data_dir) as file:
                digest = await _spool(body, file)
                return await self._import(tenant, mailing_list, origin, file, digest, skip_bad)

    async def _import(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        source: Source,
        file: IO[bytes],
        digest: str,
        skip_bad: bool,
    ) -> Report:
        accepted = await self._desk.find(tenant, mailing_list, digest)
        if accepted is None:
            raise RecordingRefused(
                f"nobody has accepted the terms in force for list {mailing_list.slug} and this"
                f" file (SHA-256 {digest}): read them, have them accepted, send the file again"
            )
        now = self._clock.now()
        notices = frozenset(
            version.id for version in await self._store.notice_versions.of_list(mailing_list.id)
        )

        def read(line: int, fields: dict[str, str]) -> ImportRow:
            if any(len(value) > LONGEST_FIELD for value in fields.values()):
                raise RecordingRefused(f"a field is longer than {LONGEST_FIELD} characters")
            row = consent_row(
                line,
                fields,
                keys=self._store.keys,
                now=now,
                source=source,
                bases=BASES,
                said={"accepted_by": accepted.accepted_by, "acceptance": accepted.seq},
            )
            if row.basis is Basis.CUSTOMER:
                _check_customer(fields, notices)
            if row.basis is Basis.OFFLINE and fields.get("channel") not in ("paper", "phone"):
                raise RecordingRefused("channel must be paper or phone for basis offline")
            return row

        brand_id, list_id = scope_of(mailing_list)
        number = await self._store.imports.begin(
            "consent",
            tenant.id,
            at=now,
            brand_id=brand_id,
            list_id=list_id,
            source_id=source.id,
        )
        done: ImportResult | None = None
        bad: list[Bad] = []
        try:
            rows, bad_rows = await self._stage(number, _batches(file, read), bad)
            if rows == bad_rows == 0:
                raise RecordingRefused("the file has no rows")
            if rows and (skip_bad or not bad_rows):
                done = await self._store.imports.commit(number)
        finally:
            if done is None:
                await self._store.imports.abort(number)
        named = tuple(sorted(bad))
        if done is None:
            return Report(None, 0, 0, bad_rows, named)
        seq = await self._store.changes.sequence(tenant.id, done.event_id)
        return Report(seq, done.rows, done.opted_out, bad_rows, named)

    async def _stage(
        self, number: int, batches: Iterator[tuple[list[ImportRow], list[Bad]]], bad: list[Bad]
    ) -> tuple[int, int]:
        """Stage all good rows; how many are good and bad. The first bad ones go to ``bad``."""
        rows = bad_rows = 0
        while True:
            # Reading is work for a thread: mail goes on meanwhile.
            batch = await asyncio.to_thread(next, batches, None)
            if batch is None:
                return rows, bad_rows
            good, wrong = batch
            if good:
                await self._store.imports.stage(number, good)
            rows += len(good)
            bad_rows += len(wrong)
            bad.extend(sorted(wrong)[: NAMED - len(bad)])


def _unnamed(directory: Path) -> IO[bytes]:
    """A file that nobody else sees, and that a crash leaves nothing of. Raises StoreTrouble."""
    try:
        return tempfile.TemporaryFile(dir=directory)
    except OSError as error:
        raise StoreTrouble(f"the file cannot be kept: {error.strerror}") from error


async def _keep(file: IO[bytes], octets: bytes) -> None:
    def write() -> None:
        file.write(octets)
        file.flush()

    try:
        await asyncio.to_thread(write)
    except OSError as error:
        raise StoreTrouble(f"the file cannot be kept: {error.strerror}") from error


async def _spool(body: AsyncIterable[bytes], file: IO[bytes]) -> str:
    """Keep ``body`` in ``file``; its SHA-256, hex. Raises RecordingRefused, StoreTrouble."""
    digest = hashlib.sha256()
    size, block = 0, bytearray()
    async for octets in body:
        size += len(octets)
        if size > LARGEST:
            raise RecordingRefused(f"the file is larger than {LARGEST} octets: send it in parts")
        digest.update(octets)
        block += octets
        if len(block) >= _BLOCK:
            await _keep(file, bytes(block))
            block.clear()
    await _keep(file, bytes(block))
    file.seek(0)
    return digest.hexdigest()


def _batches(file: IO[bytes], read: Reader) -> Iterator[tuple[list[ImportRow], list[Bad]]]:
    # Closes the file, also when nobody reads on; closing it again does no harm.
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        try:
            for chunk in csv_file.chunks(text, CONSENT_COLUMNS):
                good, bad = read_rows(chunk.rows, read)
                yield good, [*chunk.bad, *bad]
        except csv_file.HeaderProblem as error:
            raise RecordingRefused(f"line 1: {error}") from error
        except UnicodeDecodeError as error:
            raise RecordingRefused("the file is not UTF-8 text: save it as UTF-8") from error


def _check_customer(fields: dict[str, str], notices: frozenset[int]) -> None:
    """The evidence of an existing customer, as for one that is sent alone (clause A6)."""
    evidence.sha256(fields.get("order_hash"), "order_hash", "the order number")
    evidence.text(fields.get("product_group"), "product_group", most=200)
    evidence.flag(fields.get("optout_offered"), "optout_offered")
    notice = fields.get("notice", "").strip()
    if not notice.isdecimal() or int(notice[:18]) not in notices:
        raise RecordingRefused("notice must be the id of a stored version of this list")
