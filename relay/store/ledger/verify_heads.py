"""The signed heads against the chains: a tail that was cut, or a chain that was written anew, does
not lead to what was signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from relay.store.ledger.chain import BEGINNING, OPERATOR_CHAIN, Head
from relay.store.ledger.head_file import End, read_lines
from relay.store.ledger.heads import Line, Unsigned, read_line
from relay.store.ledger.key import PublicKey
from relay.store.sqlite.transaction import Session

PAGE: Final = 100

Mismatch: TypeAlias = tuple[int, int, str]
"""Tenant, sequence number, and what is wrong."""


class HeadsCheck:
    """One file of signed heads, line by line."""

    def __init__(
        self, path: Path, public: PublicKey, tenant_id: int | None, *, end: End | None = None
    ) -> None:
        """``end`` is where the store's own file ended just now: every line of it must be there. A
        copy (None) may lack lines, and may hold a lost store's."""
        self._path: Final = path
        self._public: Final = public
        self._tenant: Final = tenant_id
        self._end: Final = end
        self._lines: Iterator[tuple[int, bytes]] | None = None
        self._before = bytes(32)
        self._seen = end is not None and end.lines == 0
        self._torn: str | None = None
        """Of a line that cannot be read, until the next one says that a crash left it."""
        self._off: Final[dict[int, tuple[int, int, bool]]] = {}
        """By chain: the lowest head that does not hold, the highest, and whether the first of them
        is missing (or another event stands there)."""
        self.broken: Mismatch | None = None

    def step(self, session: Session) -> bool:
        """Check a page; False when there is nothing left, or something is broken."""
        if self._lines is None:
            self._lines = read_lines(self._path)
        try:
            page = list(islice(self._lines, PAGE))
        except FileNotFoundError:
            page = []
        except OSError as error:
            self._break(f"cannot be read: {error.strerror}")
        for number, raw in page:
            self._line(session, number, raw)
            if self.broken is not None:
                return False
        if not page and self.broken is None:
            self._ended(session)
        return bool(page)

    def _line(self, session: Session, number: int, raw: bytes) -> None:
        before, self._before = self._before, hashlib.sha256(raw).digest()
        if self._end is not None and number == self._end.lines:
            self._seen = self._before == self._end.digest
        try:
            line = read_line(raw, self._public)
        except Unsigned as error:
            if self._torn is not None:
                self._break(self._torn)
            self._torn = f"line {number} {error}"
            return
        if self._torn is not None and not line.torn:
            self._break(self._torn)
        elif self._end is not None and (line.number, line.prev) != (number, before):
            self._break(f"line {number} does not follow from the line before it")
        else:
            self._torn = None
            self._heads(session, line)

    def _heads(self, session: Session, line: Line) -> None:
        if line.restored:
            for tenant, (lowest, _, _) in list(self._off.items()):
                if lowest > line.heads.get(tenant, BEGINNING).seq:
                    del self._off[tenant]
        for tenant, head in sorted(line.heads.items()):
            if self._tenant in (None, tenant):
                self._head(session, tenant, head)

    def _head(self, session: Session, tenant: int, head: Head) -> None:
        row = session.raw.execute(
            "SELECT hash FROM events WHERE tenant_id = ? AND seq = ?", (tenant, head.seq)
        ).fetchone()
        if row is not None and row[0] == head.hash:
            return
        lowest, highest, cut = self._off.get(tenant, (head.seq, 0, False))
        if head.seq <= lowest:
            lowest, cut = head.seq, row is None
        self._off[tenant] = (lowest, max(highest, head.seq), cut)

    def _ended(self, session: Session) -> None:
        if self._end is not None:
            if not self._seen:
                self._break(f"line {self._end.lines} is not the one that was written")
                return
            if self._end.torn:
                self._torn = None
        if self._torn is not None:
            self._break(self._torn)
            return
        for tenant, (lowest, highest, cut) in sorted(self._off.items()):
            if not cut:
                self.broken = (tenant, lowest, "it is not the event whose hash was signed")
                return
            (last,) = session.raw.execute(
                "SELECT coalesce(max(seq), 0) FROM events WHERE tenant_id = ?", (tenant,)
            ).fetchone()
            self.broken = (tenant, last + 1, f"events up to {highest} were cut off")
            return

    def _break(self, why: str) -> None:
        if self.broken is None:
            self.broken = (self._tenant or OPERATOR_CHAIN, 0, f"{self._path.name}: {why}")
