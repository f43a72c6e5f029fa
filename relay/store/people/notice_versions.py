"""What a person was shown when asked for consent: every version, for ever (clauses B5, B7-B11).

Content-addressed: the same words are the same version. A version is on record, in the ledger too,
before anybody is shown it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.decide.notice import Notice, canonical, digest, from_json
from relay.ports import NewEvent
from relay.store.ledger.ledger import Ledger
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.transaction import Session, Transaction
from relay.store.sqlite.worker import Reader

_COLUMNS: Final = "SELECT id, tenant_id, list_id, version, language, digest, json, at"
_BY_ID: Final = f"{_COLUMNS} FROM notice_versions WHERE id = ?"
_BY_DIGEST: Final = f"{_COLUMNS} FROM notice_versions WHERE list_id = ? AND digest = ?"
_OF_LIST: Final = f"{_COLUMNS} FROM notice_versions WHERE list_id = ? ORDER BY version"
_LAST: Final = "SELECT coalesce(max(version), 0) FROM notice_versions WHERE list_id = ?"
_INSERT: Final = (
    "INSERT INTO notice_versions (id, tenant_id, list_id, version, language, digest, json, at,"
    " event_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ID_BITS: Final = 48
"""Of the id of a version: every JSON reader takes it for a whole number."""


@dataclass(frozen=True, slots=True)
class NoticeVersion:
    """One notice as it was, or is, shown."""

    id: int
    """What a form sends back, so that the consent points at what was shown. By chance: a number
    that counts would tell each tenant how busy the others are, and after a return to an older
    backup it would name other words."""
    tenant_id: int
    list_id: int
    version: int
    """Counts from 1 for each list, over all languages."""
    language: str
    digest: str
    """SHA-256 over the canonical JSON, hex."""
    content: Notice
    at: float
    """When it was first stored, epoch seconds."""


class NoticeVersions:
    """Keeps versions; nothing here is ever changed or deleted."""

    def attach(self, writer: Writer, reader: Reader, ledger: Ledger) -> None:
        """Hand over the connections."""
        self._writer, self._reader, self._ledger = writer, reader, ledger

    async def ensure(
        self, tenant_id: int, list_id: int, notice: Notice, *, at: float
    ) -> NoticeVersion:
        """The version with these words, stored now when there is none. Raises StoreTrouble."""
        known = await self._reader.read(lambda session: _find(session, list_id, digest(notice)))
        if known is not None:
            return known
        return await self._writer.write(
            lambda tx: self._ensure(tx, tenant_id, list_id, notice, at),
        )

    async def version(self, number: int) -> NoticeVersion | None:
        """The version of that id, of whatever list. Raises StoreTrouble."""
        return await self._reader.read(lambda session: find(session, number))

    async def of_list(self, list_id: int) -> Sequence[NoticeVersion]:
        """All versions of a list, oldest first. Raises StoreTrouble."""
        rows = await self._reader.read(
            lambda session: session.raw.execute(_OF_LIST, (list_id,)).fetchall()
        )
        return [_version(*row) for row in rows]

    # --- in the writer's thread -------------------------------------------------------------

    def _ensure(
        self, tx: Transaction, tenant_id: int, list_id: int, notice: Notice, at: float
    ) -> NoticeVersion:
        sum_ = digest(notice)
        known = _find(tx, list_id, sum_)
        if known is not None:
            return known
        (last,) = tx.raw.execute(_LAST, (list_id,)).fetchone()
        data = {
            "list": list_id,
            "version": last + 1,
            "language": notice.language,
            "digest": sum_,
        }
        (event,) = self._ledger.append(tx, [NewEvent(tenant_id, "notice.version", at, None, data)])
        tx.raw.execute(
            _INSERT,
            (
                _new_id(tx),
                tenant_id,
                list_id,
                last + 1,
                notice.language,
                sum_,
                canonical(notice),
                at,
                event,
            ),
        )
        made = _find(tx, list_id, sum_)
        assert made is not None
        return made


def _new_id(tx: Transaction) -> int:
    while True:
        number = 1 + secrets.randbits(_ID_BITS)
        if find(tx, number) is None:
            return number


def find(session: Session, number: int) -> NoticeVersion | None:
    """The version of that id, on any connection."""
    row = session.raw.execute(_BY_ID, (number,)).fetchone()
    return _version(*row) if row is not None else None


def _find(session: Session, list_id: int, sum_: str) -> NoticeVersion | None:
    row = session.raw.execute(_BY_DIGEST, (list_id, sum_)).fetchone()
    return _version(*row) if row is not None else None


def _version(
    number: int,
    tenant_id: int,
    list_id: int,
    version: int,
    language: str,
    sum_: str,
    text: str,
    at: float,
) -> NoticeVersion:
    said: dict[str, Any] = json.loads(text)
    return NoticeVersion(number, tenant_id, list_id, version, language, sum_, from_json(said), at)
