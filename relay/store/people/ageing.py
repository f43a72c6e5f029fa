"""Consents that may be about to run out, a page at a time. What they amount to is for
``relay.decide.expiry`` to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from relay.decide.address import one_spelling
from relay.model import SubjectKeys
from relay.store.sqlite.transaction import Session
from relay.store.sqlite.worker import Reader

Place: TypeAlias = tuple[str, int, int]
"""Exact key (hex), brand id and list id (0 above their level): what consents are ordered by."""

START: Final[Place] = ("", 0, 0)

SEEN: Final = 20_000
"""Most consents that one page looks through: a listing must not keep other reads waiting."""

_END: Final = "SELECT exact FROM consents WHERE exact > ? ORDER BY exact LIMIT 1 OFFSET ?"
_NO_END: Final = "g"
"""Behind every key in hex."""
_AGEING: Final = """
SELECT c.exact, c.wide, c.brand_id, c.list_id, s.address
  FROM consents c
  LEFT JOIN imports i ON i.id = c.import_id
  LEFT JOIN subjects s ON s.exact = c.exact
 WHERE c.exact >= ?2 AND c.exact < ?10 AND c.tenant_id = ?1 AND c.state = 'granted'
   AND (c.import_id IS NULL OR i.committed = 1)
   AND (c.exact, coalesce(c.brand_id, 0), coalesce(c.list_id, 0)) > (?2, ?3, ?4)
   AND (c.expires_at > ?5 AND c.expires_at <= ?6
        OR max(c.at, coalesce(c.used_at, c.at)) > ?7
           AND max(c.at, coalesce(c.used_at, c.at)) <= ?8)
 GROUP BY c.exact, coalesce(c.brand_id, 0), coalesce(c.list_id, 0)
 ORDER BY c.exact, coalesce(c.brand_id, 0), coalesce(c.list_id, 0)
 LIMIT ?9
"""


@dataclass(frozen=True, slots=True)
class AgeingConsent:
    """What one person has consented to at one scope, possibly more than once."""

    keys: SubjectKeys
    brand_id: int | None
    list_id: int | None
    address: str | None
    """In its one spelling; None once it was erased."""

    @property
    def place(self) -> Place:
        """Where it stands in the order of all."""
        return self.keys.exact.hex(), self.brand_id or 0, self.list_id or 0


@dataclass(frozen=True, slots=True)
class AgeingPage:
    """Some of them, and where the next page begins."""

    consents: tuple[AgeingConsent, ...]
    next: Place | None
    """None at the end."""


class Ageing:
    """Reads one tenant's consents by age."""

    def attach(self, reader: Reader) -> None:
        """Hand over the connection for listings."""
        self._reader = reader

    async def page(
        self,
        tenant_id: int,
        *,
        dated: tuple[float, float],
        last_sign: tuple[float, float],
        after: Place,
        limit: int,
    ) -> AgeingPage:
        """At most ``limit`` consents behind ``after`` that have a date, or were given or last used,
        within these spans (epoch seconds; the start is not in). Raises StoreTrouble."""
        look = (tenant_id, *after, *dated, *last_sign, limit)

        def work(session: Session) -> AgeingPage:
            row = session.raw.execute(_END, (after[0], SEEN)).fetchone()
            end = row[0] if row is not None else _NO_END
            found = tuple(
                AgeingConsent(
                    SubjectKeys(bytes.fromhex(exact), bytes.fromhex(wide)),
                    brand_id,
                    list_id,
                    one_spelling(address) if address is not None else None,
                )
                for exact, wide, brand_id, list_id, address in session.raw.execute(
                    _AGEING, (*look, end)
                )
            )
            if len(found) == limit:
                return AgeingPage(found, found[-1].place)
            return AgeingPage(found, (end, -1, -1) if row is not None else None)

        return await self._reader.read(work)
