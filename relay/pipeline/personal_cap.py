"""The daily cap on personal recipients, shared exactly by messages that are judged at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from relay.clock import DAY
from relay.ports import MailStore


@dataclass(slots=True)
class Share:
    """What one message takes of its tenant's day."""

    before: int
    """Personal recipients of the tenant on this day that were committed or claimed before."""
    committed: int = 0
    """How many of its own were committed; the others are given back."""


class PersonalCap:
    """Counts personal recipients on one UTC day: those committed and those being judged now, each
    once."""

    def __init__(self, mail: MailStore) -> None:
        self._mail = mail
        self._day = -1
        self._spent: dict[int, int] = {}

    @contextmanager
    def share(self, tenant_id: int, at: float, recipients: int) -> Iterator[Share]:
        """Claim ``recipients`` of the day of ``at`` (epoch seconds) while a message is judged."""
        day = int(at // DAY)
        if day != self._day:
            self._day, self._spent = day, {}
        spent = self._spent
        share = Share(spent.setdefault(tenant_id, self._mail.personal_today(tenant_id, day)))
        spent[tenant_id] += recipients
        try:
            yield share
        finally:
            spent[tenant_id] -= recipients - share.committed
