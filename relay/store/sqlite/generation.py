"""A number that tells readers whether what they read may have changed."""

from __future__ import annotations

from relay.store.sqlite.transaction import Transaction


class Generation:
    """Grows after each commit that changed a consent, a block, a list or a tenant."""

    def __init__(self) -> None:
        self.value = 0

    def grows(self, tx: Transaction) -> None:
        """Let the number grow once ``tx`` has committed, before anyone is told."""
        tx.after(self._grow)

    def _grow(self) -> None:
        self.value += 1
