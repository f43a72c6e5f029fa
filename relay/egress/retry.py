"""What an upstream's answer means for a copy."""

from __future__ import annotations

from relay.model import Copy, CopyState, Outcome, Receipt
from relay.ports import CopyChange


def after(receipt: Receipt, copy: Copy, now: float, retry: tuple[int, ...]) -> CopyChange:
    """The state of ``copy`` after one attempt at ``now`` (epoch seconds) ended with ``receipt``.

    ``retry`` is the seconds between attempts; its last entry repeats. A deferred copy waits for
    the next attempt, at the latest for the one at its ``expires_at``; deferred then or later, it
    is expired. A copy without ``expires_at`` (0.0) never expires.
    """
    attempts = copy.attempts + 1

    def change(state: CopyState, next_at: float) -> CopyChange:
        return CopyChange(copy.message_id, copy.seq, state, next_at, attempts, receipt.text)

    if receipt.outcome is Outcome.DELIVERED:
        return change(CopyState.SENT, now)
    if receipt.outcome is Outcome.REFUSED:
        return change(CopyState.BOUNCED, now)
    next_at = now + retry[min(attempts, len(retry)) - 1]
    if copy.expires_at:
        if now >= copy.expires_at:
            return change(CopyState.EXPIRED, now)
        # The last attempt is made when the lifetime ends, not up to four hours before.
        next_at = min(next_at, copy.expires_at)
    return change(CopyState.WAITING, next_at)
