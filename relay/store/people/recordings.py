"""Records consents that were given elsewhere: never of a person who was erased, and never the same
signed one twice.

The number that a source gave a signed consent (``jti``) is kept as a keyed hash, in the transaction
of the event itself: a repetition after a crash finds both, or neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.ports import NewEvent
from relay.store.erasure.erasure import Erasure
from relay.store.ledger.ledger import Ledger
from relay.store.people.subjects import KEEP_ADDRESS
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.transaction import Transaction

_FIND: Final = "SELECT content, event_id FROM signed_consents WHERE source_id = ? AND jti = ?"
_KEEP: Final = (
    "INSERT INTO signed_consents (source_id, jti, content, tenant_id, event_id)"
    " VALUES (?, ?, ?, ?, ?)"
)


class NumberTaken(Exception):
    """The source has used this number for another consent."""


@dataclass(frozen=True, slots=True)
class Number:
    """What makes a signed consent the same one again; hashes are hex."""

    source_id: int
    jti: str
    """Keyed hash of the number that the source gave it."""
    content: str
    """Keyed hash of all that was signed."""


class Recordings:
    """Appends ``consent.granted`` events on the word of others."""

    def attach(self, writer: Writer, ledger: Ledger) -> None:
        """Hand over the connection."""
        self._writer, self._ledger = writer, ledger

    async def record(
        self, event: NewEvent, *, address: str, number: Number | None = None
    ) -> int | None:
        """Append the event, and put ``address`` into the one table that holds addresses in clear.

        Returns the event's id; of the one that was recorded before, when ``number`` is known.
        None: the person was erased, and nothing is kept. Raises NumberTaken, StoreTrouble.
        """
        return await self._writer.write(lambda tx: self._record(tx, event, address, number))

    def _record(
        self, tx: Transaction, event: NewEvent, address: str, number: Number | None
    ) -> int | None:
        keys = event.subject
        assert keys is not None
        if Erasure.is_erased(tx, keys, event.tenant_id):
            return None
        if number is not None:
            row = tx.raw.execute(_FIND, (number.source_id, number.jti)).fetchone()
            if row is not None and row[0] != number.content:
                raise NumberTaken
            if row is not None:
                return int(row[1])
        tx.raw.execute(KEEP_ADDRESS, (keys.exact.hex(), keys.wide.hex(), address))
        (added,) = self._ledger.append(tx, [event])
        if number is not None:
            kept = (number.source_id, number.jti, number.content, event.tenant_id, added)
            tx.raw.execute(_KEEP, kept)
        return added
