"""Mail just accepted, kept in memory so that its delivery need not read it back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay.model import Copy, StoredMessage

RECENT_BYTES: Final = 32 * 1024 * 1024
_ROW_BYTES: Final = 1_000
"""About what a message or a copy takes besides its octets."""


@dataclass(slots=True)
class Recent:
    """What is known of one message without asking the database."""

    message: StoredMessage
    body: bytes
    copies: dict[int, Copy] | None
    """As committed; None once any of them has changed."""

    @property
    def cost(self) -> int:
        """Octets of memory, roughly."""
        header = len(self.message.header)
        return len(self.body) + header + _ROW_BYTES * (1 + self.message.recipient_count)


class RecentMail:
    """Least recently used goes first."""

    def __init__(self, limit: int = RECENT_BYTES) -> None:
        self._limit: Final = limit
        self._entries: OrderedDict[str, Recent] = OrderedDict()
        self._costs = 0

    def put(
        self, message: StoredMessage, body: bytes, copies: Sequence[Copy] | None = None
    ) -> None:
        """Remember a message; one larger than the whole memory is not."""
        self.forget(message.id)
        known = {copy.seq: copy for copy in copies} if copies is not None else None
        entry = Recent(message, body, known)
        if entry.cost > self._limit:
            return
        self._entries[message.id] = entry
        self._costs += entry.cost
        while self._costs > self._limit:
            _, oldest = self._entries.popitem(last=False)
            self._costs -= oldest.cost

    def get(self, message_id: str) -> Recent | None:
        """What is remembered of a message."""
        entry = self._entries.get(message_id)
        if entry is not None:
            self._entries.move_to_end(message_id)
        return entry

    def changed(self, message_id: str) -> None:
        """Copies of the message are no longer what they were."""
        entry = self._entries.get(message_id)
        if entry is None:
            return
        if entry.message.recipient_count == 1:
            self.forget(message_id)
        else:
            entry.copies = None

    def forget(self, message_id: str) -> None:
        """Drop a message."""
        entry = self._entries.pop(message_id, None)
        if entry is not None:
            self._costs -= entry.cost
