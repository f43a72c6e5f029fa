"""Imports in two steps: rows are staged in small transactions, one short commit makes them count.

Nothing of a staged import is in force before its commit, and what a crash leaves behind is cleared
at the next start. Each row's evidence is kept; the batch's event holds a hash over all of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from relay.model import Basis, SubjectKeys
from relay.ports import Json, NewEvent
from relay.store.consents import project_import
from relay.store.engine import Writer
from relay.store.generation import Generation
from relay.store.journal import canonical
from relay.store.ledger import Ledger, commitment, content_hash, milliseconds
from relay.store.transaction import Transaction

ImportKind: TypeAlias = Literal["consent", "optout"]

_OPTED_OUT: Final = """
SELECT count(*) FROM json_each(?) k WHERE EXISTS (
  SELECT 1 FROM suppressions s LEFT JOIN imports i ON i.id = s.import_id
   WHERE s.wide = k.value AND (s.tenant_id = ? OR s.tenant_id IS NULL)
     AND s.state IN ('withdrawn', 'complained')
     AND (s.import_id IS NULL OR i.committed = 1)
     AND (s.brand_id IS NULL OR s.brand_id IS ?) AND (s.list_id IS NULL OR s.list_id IS ?))
"""


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
    """Rows of persons who opted out before: kept as evidence, without effect."""
    event_id: int
    content: str
    """Hash (hex) over the evidence of all rows."""


class Imports:
    """Staged imports of consents and opt-outs. All methods raise StoreTrouble."""

    def __init__(self, generation: Generation) -> None:
        self._generation: Final = generation
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
        await self._writer.write(lambda tx: _discard(tx, import_id))
        self._journal_names.pop(import_id, None)

    # --- in the writer's thread -------------------------------------------------------------

    @staticmethod
    def clear_abandoned(tx: Transaction) -> None:
        """Take back what a former run staged and never committed."""
        for (number,) in tx.raw.execute("SELECT id FROM imports WHERE committed = 0").fetchall():
            _discard(tx, number)

    def _stage(self, tx: Transaction, import_id: int, rows: Sequence[ImportRow]) -> None:
        kind, tenant, brand, mailing_list, running = _open(tx, import_id)
        stored, projected = [], []
        for row in rows:
            exact, wide = row.keys.exact.hex(), row.keys.wide.hex()
            at = milliseconds(row.at) / 1_000
            filed: dict[str, Json] = {"line": row.line, "exact": exact, "wide": wide, "at": at}
            text = canonical({**filed, "basis": row.basis.value, "evidence": dict(row.evidence)})
            salt = secrets.token_bytes(16)
            commit = commitment(salt, text)
            running = content_hash(running, commit)
            basis = row.basis.value
            stored.append((import_id, row.line, exact, wide, basis, at, commit, salt, text))
            projected.append((exact, wide, row.address))
            if kind == "optout":
                scope: dict[str, Json] = {"tenant": tenant, "brand": brand, "list": mailing_list}
                keys: dict[str, Json] = {"exact": exact, "wide": wide, "at": at}
                tx.journal({"import": self._journal_names[import_id], **scope, **keys})
        wides = canonical([wide for _, wide, _ in projected])
        (opted_out,) = tx.raw.execute(_OPTED_OUT, (wides, tenant, brand, mailing_list)).fetchone()
        tx.raw.executemany(
            "INSERT INTO import_rows (import_id, line, exact, wide, basis, at, commit_hash, salt,"
            " json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            stored,
        )
        if kind == "consent":
            tx.raw.executemany(
                "INSERT INTO subjects (exact, wide, address) VALUES (?, ?, ?)"
                " ON CONFLICT (exact) DO UPDATE SET address = coalesce(address, excluded.address)",
                projected,
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
        return ImportResult(import_id, rows, opted_out, event, content.hex())


def _open(tx: Transaction, import_id: int) -> tuple[str, int, int | None, int | None, bytes]:
    row = tx.raw.execute(
        "SELECT kind, tenant_id, brand_id, list_id, content FROM imports"
        " WHERE id = ? AND committed = 0",
        (import_id,),
    ).fetchone()
    if row is None:
        raise ImportClosed(f"import {import_id} is not open")
    kind, tenant, brand, mailing_list, content = row
    return kind, tenant, brand, mailing_list, content


def _discard(tx: Transaction, import_id: int) -> None:
    staged = "(SELECT id FROM imports WHERE id = ? AND committed = 0)"
    persons = tx.raw.execute(
        f"SELECT DISTINCT exact FROM consents WHERE import_id IN {staged}",  # noqa: S608 - constant
        (import_id,),
    ).fetchall()
    for table in ("consents", "suppressions", "import_rows"):
        tx.raw.execute(
            f"DELETE FROM {table} WHERE import_id IN {staged}",  # noqa: S608 - constants
            (import_id,),
        )
    # Nobody whom only this import named stays behind in clear.
    tx.raw.executemany(
        "DELETE FROM subjects WHERE exact = ?1"
        " AND NOT EXISTS (SELECT 1 FROM consents WHERE exact = ?1)",
        persons,
    )
    tx.raw.execute("DELETE FROM imports WHERE id = ? AND committed = 0", (import_id,))
