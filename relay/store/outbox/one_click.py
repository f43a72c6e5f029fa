"""One-click addresses that senders' own mail carried, so that an opt-out can be passed on to them.

Written along with the mail that carried them, by the lane that takes mail; read by the outbox in
the transaction of the opt-out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from relay.model import SubjectKeys
from relay.ports import OneClick
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.transaction import Transaction

KEPT_SECONDS: Final = 60 * 86_400
"""How long an address is remembered after the last mail that carried it."""
_NO_LIST: Final = 0
_ONCE: Final = 1_000

UPSERT: Final = (
    "INSERT INTO one_click_urls (tenant_id, wide, exact, list_id, url, at)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET url = excluded.url, at = excluded.at"
)
# What a scope closes: all of the tenant, the lists of a brand, or one list.
_TAKE: Final = """
DELETE FROM one_click_urls
 WHERE tenant_id = ?1 AND wide = ?2
   AND (?4 IS NULL OR list_id = ?4)
   AND (?3 IS NULL OR ?4 IS NOT NULL OR list_id IN (SELECT id FROM lists WHERE brand_id = ?3))
RETURNING exact, url, list_id
"""


def row(tenant_id: int, list_id: int | None, at: float, seen: OneClick) -> tuple[Any, ...]:
    """The parameters of ``UPSERT``."""
    keys = seen.keys
    return (tenant_id, keys.wide.hex(), keys.exact.hex(), list_id or _NO_LIST, seen.url, at)


def take(
    tx: Transaction, tenant_id: int, keys: SubjectKeys, brand_id: int | None, list_id: int | None
) -> Sequence[tuple[str, str, int]]:
    """Remove and return ``(exact key, URL, list)`` of a person under a closed scope, all spellings;
    list 0 is none."""
    return tx.raw.execute(_TAKE, (tenant_id, keys.wide.hex(), brand_id, list_id)).fetchall()


class OneClickUrls:
    """What has to be forgotten of them."""

    def attach(self, writer: Writer) -> None:
        """Hand over the connection."""
        self._writer = writer

    async def forget_old(self, now: float) -> int:
        """Forget addresses older than 60 days, at most 1,000 at once; returns how many.

        Raises StoreTrouble.
        """
        return await self._writer.write(
            lambda tx: (
                tx.raw.execute(
                    "DELETE FROM one_click_urls WHERE (tenant_id, wide, exact, list_id) IN"
                    " (SELECT tenant_id, wide, exact, list_id FROM one_click_urls WHERE at < ?"
                    " ORDER BY at LIMIT ?)",
                    (now - KEPT_SECONDS, _ONCE),
                ).rowcount
            ),
            essential=True,
        )
