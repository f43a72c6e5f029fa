"""Imports in two steps: rows are staged in small transactions, one short commit makes them count.

Nothing of a staged import is in force before its commit. What a crash leaves behind is given up at
the next start, what a client leaves behind after a day, and either is cleared in steps. Each row's
evidence is kept; the batch's event holds a hash over all of it. Of a person who was erased only the
keyed hashes and the commitment are kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from relay.model import Basis, SubjectKeys
from relay.ports import Json, NewEvent
from relay.store.erasure.erasure import Erasure
from relay.store.ledger.chain import commitment, content_hash, milliseconds
from relay.store.ledger.ledger import Ledger
from relay.store.people.projection import project_import
from relay.store.people.subjects import KEEP_ADDRESS
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.generation import Generation
from relay.store.sqlite.journal import canonical
from relay.store.sqlite.transaction import Transaction

ImportKind: TypeAlias = Literal["consent", "optout"]

_OPTED_OUT: Final = """
SELECT k.value FROM json_each(?) k WHERE EXISTS (
  SELECT 1 FROM suppressions s LEFT JOIN imports i ON i.id = s.import_id
   WHERE s.wide = k.value AND (s.tenant_id = ? OR s.tenant_id IS NULL)
     AND s.state IN ('withdrawn', 'complained')
     AND (s.import_id IS NULL OR i.committed = 1))
"""
_GIVEN_UP: Final = "given up"
"""Kind of an import that is being taken back, in steps."""
_STEP: Final = 500
"""Rows that one step of clearing takes back."""


class ImportClosed(Exception):
    """An import that is not open: unknown, aborted or committed already."""


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One line of a file that was read and found good."""

    line: int
    """Lines ascend over all rows of an import."""
    keys: SubjectKeys
    address: str
    """Kept in clear in one table only; for an opt-out not kept at all."""
    at: float
    """When the consent was collected, or the opt-out made."""
    basis: Basis = Basis.NONE
    evidence: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What a committed import brought."""

    import_id: int
    rows: int
    opted_out: int
    """Rows of persons who left this tenant before, at whatever scope, or were erased: without
    effect."""
    event_id: int
    content: str
    """Hash (hex) over the evidence of all rows."""
    kind: str
    """``consent`` or ``optout``."""
    tenant_id: int


class Imports:
    """Staged imports of consents and opt-outs. All methods raise StoreTrouble."""

    def __init__(self, generation: Generation, erasure: Erasure) -> None:
        self._generation: Final = generation
        self._erasure: Final = erasure
        self._journal_names: Final[dict[int, str]] = {}
        self._writer: Writer
        self._ledger: Ledger

    def attach(self, writer: Writer, ledger: Ledger) -> None:
        """Hand over the connection."""
        self._writer, self._ledger = writer, ledger

    async def begin(
        self,
        kind: ImportKind,
        tenant_id: int,
        *,
        at: float,
        brand_id: int | None = None,
        list_id: int | None = None,
        source_id: int | None = None,
    ) -> int:
        """Open an import for one scope (see ``scope_of``); returns its id."""

        def work(tx: Transaction) -> int:
            cursor = tx.raw.execute(
                "INSERT INTO imports (kind, tenant_id, list_id, brand_id, source_id, at, rows,"
                " opted_out, content, committed) VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, 0)",
                (kind, tenant_id, list_id, brand_id, source_id, at, bytes(32)),
            )
            return int(cursor.lastrowid or 0)

        number = await self._writer.write(work)
        self._journal_names[number] = f"{number}-{secrets.token_hex(4)}"
        return number

    async def stage(self, import_id: int, rows: Sequence[ImportRow]) -> None:
        """Add rows; a few hundred at a time leave room for mail between them."""
        await self._writer.write(lambda tx: self._stage(tx, import_id, rows))

    async def commit(self, import_id: int) -> ImportResult:
        """Make all staged rows count at once."""
        result = await self._writer.write(lambda tx: self._commit(tx, import_id))
        self._journal_names.pop(import_id, None)
        return result

    async def abort(self, import_id: int) -> None:
        """Take all staged rows back; nothing happens when it is committed or gone."""
        await self._writer.write(lambda tx: _give_up(tx, import_id))
        while await self._writer.write(lambda tx: _discard_some(tx, import_id)):
            pass
        self._journal_names.pop(import_id, None)

    async def clear_stale(self, before: float) -> int:
        """Take back imports that were given up, or begun before a time (epoch seconds) and never
        committed, a few hundred rows at a time; returns how many."""
        stale = await self._writer.write(
            lambda tx: tx.raw.execute(
                "SELECT id FROM imports WHERE committed = 0 AND (at < ? OR kind = ?)",
                (before, _GIVEN_UP),
            ).fetchall()
        )
        for (number,) in stale:
            await self.abort(number)
        return len(stale)

    # --- in the writer's thread -------------------------------------------------------------

    @staticmethod
    def give_up_abandoned(tx: Transaction) -> None:
        """Let nothing that a former run staged be committed any more. Taking back its rows is for
        ``clear_stale``: a million of them would keep the relay from starting for minutes."""
        tx.raw.execute("UPDATE imports SET kind = ? WHERE committed = 0", (_GIVEN_UP,))

    def _stage(self, tx: Transaction, import_id: int, rows: Sequence[ImportRow]) -> None:
        kind, tenant, brand, mailing_list, running = _open(tx, import_id)
        stored: list[tuple[object, ...]] = []
        addresses: list[tuple[str, str, str]] = []
        wides = {row.keys.wide.hex() for row in rows}
        erased = self._erasure.erased(tx, wides, tenant)
        (began,) = tx.raw.execute("SELECT at FROM imports WHERE id = ?", (import_id,)).fetchone()
        for row in rows:
            exact, wide = row.keys.exact.hex(), row.keys.wide.hex()
            at = milliseconds(row.at) / 1_000
            filed: dict[str, Json] = {"line": row.line, "exact": exact, "wide": wide, "at": at}
            text = canonical({**filed, "basis": row.basis.value, "evidence": dict(row.evidence)})
            salt = secrets.token_bytes(16)
            commit = commitment(salt, text)
            running = content_hash(running, row.line, commit)
            basis = row.basis.value
            if wide in erased:
                # The commitment stands for what nobody keeps, so that the batch's hash still holds.
                left_at = began if kind == "consent" else at
                stored.append(
                    (import_id, row.line, wide, wide, "none", left_at, commit, None, None)
                )
            else:
                stored.append((import_id, row.line, exact, wide, basis, at, commit, salt, text))
                addresses.append((exact, wide, row.address))
            if kind == "optout":
                scope: dict[str, Json] = {"tenant": tenant, "brand": brand, "list": mailing_list}
                keys: dict[str, Json] = {"exact": exact, "wide": wide, "at": at}
                tx.journal({"import": self._journal_names[import_id], **scope, **keys})
        left = tx.raw.execute(_OPTED_OUT, (canonical(sorted(wides)), tenant)).fetchall()
        gone = erased | {wide for (wide,) in left}
        opted_out = sum(row.keys.wide.hex() in gone for row in rows)
        tx.raw.executemany(
            "INSERT INTO import_rows (import_id, line, exact, wide, basis, at, commit_hash, salt,"
            " json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            stored,
        )
        if kind == "consent":
            tx.raw.executemany(
                KEEP_ADDRESS,
                addresses,
            )
        tx.raw.execute(
            "UPDATE imports SET rows = rows + ?, opted_out = opted_out + ?, content = ?"
            " WHERE id = ?",
            (len(rows), opted_out, running, import_id),
        )
        first, last = (rows[0].line, rows[-1].line) if rows else (1, 0)
        project_import(tx, import_id, first, last)

    def _commit(self, tx: Transaction, import_id: int) -> ImportResult:
        kind, tenant, brand, mailing_list, content = _open(tx, import_id)
        at, rows, opted_out, source = tx.raw.execute(
            "SELECT at, rows, opted_out, source_id FROM imports WHERE id = ?", (import_id,)
        ).fetchone()
        data: dict[str, Json] = {
            "import": import_id,
            "at": at,
            "brand": brand,
            "list": mailing_list,
            "source": source,
            "rows": rows,
            "opted_out": opted_out,
            "content": content.hex(),
        }
        (event,) = self._ledger.append(tx, [NewEvent(tenant, f"{kind}.imported", at, None, data)])
        tx.raw.execute(
            "UPDATE imports SET committed = 1, event_id = ? WHERE id = ?", (event, import_id)
        )
        if kind == "optout":
            tx.journal({"import": self._journal_names[import_id], "committed": True})
        self._generation.grows(tx)
        return ImportResult(import_id, rows, opted_out, event, content.hex(), kind, tenant)


def _open(tx: Transaction, import_id: int) -> tuple[str, int, int | None, int | None, bytes]:
    row = tx.raw.execute(
        "SELECT kind, tenant_id, brand_id, list_id, content FROM imports"
        " WHERE id = ? AND kind != ? AND committed = 0",
        (import_id, _GIVEN_UP),
    ).fetchone()
    if row is None:
        raise ImportClosed(f"import {import_id} is not open")
    kind, tenant, brand, mailing_list, content = row
    return kind, tenant, brand, mailing_list, content


def _give_up(tx: Transaction, import_id: int) -> None:
    """From here on it can neither grow nor be committed."""
    tx.raw.execute(
        "UPDATE imports SET kind = ? WHERE id = ? AND committed = 0", (_GIVEN_UP, import_id)
    )


def _discard_some(tx: Transaction, import_id: int) -> bool:
    """Take back some rows of an import that was given up; False when nothing is left of it."""
    given_up = tx.raw.execute(
        "SELECT 1 FROM imports WHERE id = ? AND kind = ? AND committed = 0", (import_id, _GIVEN_UP)
    ).fetchone()
    if given_up is None:
        return False
    persons = tx.raw.execute(
        "DELETE FROM consents WHERE id IN (SELECT id FROM consents WHERE import_id = ? LIMIT ?)"
        " RETURNING exact",
        (import_id, _STEP),
    ).fetchall()
    # Nobody whom only this import named stays behind in clear.
    tx.raw.executemany(
        "DELETE FROM subjects WHERE exact = ?1"
        " AND NOT EXISTS (SELECT 1 FROM consents WHERE exact = ?1)",
        persons,
    )
    blocks = tx.raw.execute(
        "DELETE FROM suppressions WHERE id IN (SELECT id FROM suppressions WHERE import_id = ?"
        " LIMIT ?)",
        (import_id, _STEP),
    ).rowcount
    rows = tx.raw.execute(
        "DELETE FROM import_rows WHERE import_id = ?1 AND line IN (SELECT line FROM import_rows"
        " WHERE import_id = ?1 LIMIT ?2)",
        (import_id, _STEP),
    ).rowcount
    if persons or blocks or rows:
        return True
    tx.raw.execute("DELETE FROM imports WHERE id = ?", (import_id,))
    return False
