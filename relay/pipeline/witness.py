"""What the path tells of itself, to whoever writes logs and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.model import Client, Copy, CopyState, Receipt, StoredMessage, Tenant, Verdict


class Witness(Protocol):
    """Sees every message and every fate (``relay.observe.fates``)."""

    def accepted(
        self,
        message: StoredMessage,
        tenant: Tenant,
        client: Client | None,
        verdicts: Sequence[Verdict],
    ) -> None:
        """A message was committed with these verdicts; without client it is our own."""

    def attempted(
        self,
        message: StoredMessage,
        tenant: Tenant,
        copy: Copy,
        receipt: Receipt,
        state: CopyState,
    ) -> None:
        """The upstream answered (or did not) for one copy, which is now in ``state``."""

    def stopped(self, message: StoredMessage, tenant: Tenant, copy: Copy, verdict: Verdict) -> None:
        """A waiting copy was judged again and did not pass."""

    def sent_after_optout(self, message: StoredMessage, copy: Copy) -> None:
        """A commercial copy was handed over after an opt-out was in force: must never happen."""

    def stage(self, name: str, seconds: float) -> None:
        """A stage of the path took so long: ``judge``, ``commit`` or ``send``."""
