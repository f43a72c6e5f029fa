"""Every message and every fate, to the log and to the metrics at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from relay.model import (
    Action,
    Client,
    Copy,
    CopyState,
    Directory,
    Outcome,
    Receipt,
    StoredMessage,
    Tenant,
    Verdict,
)
from relay.observe.lines import Arrived, Fate, Queued
from relay.observe.logs import write
from relay.observe.metrics import Metrics
from relay.ports import Clock

log = logging.getLogger("relay.path")

_DECIDED = {
    Action.DROP: ("dropped", "2.7.1"),
    Action.QUARANTINE: ("held", "2.7.1"),
    Action.REJECT: ("rejected", "5.7.1"),
}
_ATTEMPTED = {
    CopyState.SENT: "sent",
    CopyState.WAITING: "deferred",
    CopyState.BOUNCED: "bounced",
    CopyState.EXPIRED: "expired",
}


class Fates:
    """Implements the pipeline's Witness."""

    def __init__(self, metrics: Metrics, directory: Callable[[], Directory], clock: Clock) -> None:
        self._metrics = metrics
        self._directory = directory
        self._clock = clock

    def accepted(
        self,
        message: StoredMessage,
        tenant: Tenant,
        client: Client | None,
        verdicts: Sequence[Verdict],
    ) -> None:
        """Who brought it, what it is, and the fate of each copy that does not go on its way."""
        if client is not None:
            username = client.credential.username if client.credential is not None else "-"
            write(Arrived(message.id, client.ip, username, tenant.slug))
        list_slug = self._list(message)
        size = len(message.header) + message.body_size
        write(
            Queued(
                message.id,
                message.mail_from,
                size,
                message.recipient_count,
                tenant.slug,
                list_slug,
                message.kind.value,
            )
        )
        for verdict in verdicts:
            self._metrics.recipient(tenant.slug, message.kind, verdict.action, verdict.reason)
            if verdict.action in _DECIDED:
                self._decided(message, tenant, verdict, list_slug)

    def attempted(
        self,
        message: StoredMessage,
        tenant: Tenant,
        copy: Copy,
        receipt: Receipt,
        state: CopyState,
    ) -> None:
        """One line and one count for what the upstream said about one copy."""
        delay = max(0.0, self._clock.now() - message.at)
        self._metrics.upstream_reply(receipt.relay.partition("[")[0], receipt.code)
        if receipt.outcome is Outcome.DELIVERED:
            self._metrics.delivered(delay)
        elif state is CopyState.BOUNCED:
            self._metrics.bounce(tenant.slug, "hard")
        elif state is CopyState.EXPIRED:
            self._metrics.bounce(tenant.slug, "expired")
        if receipt.our_trouble:
            log.error("%s: the upstream turns us away: %s", message.id, receipt.text)
        write(
            Fate(
                id=message.id,
                to=copy.recipient.wire,
                status=_ATTEMPTED[state],
                reply=receipt.text,
                relay=receipt.relay,
                delay=delay,
                dsn=receipt.enhanced,
                tenant=tenant.slug,
                list=self._list(message),
                reason=copy.reason,
                rule=copy.rule,
            )
        )

    def stopped(self, message: StoredMessage, tenant: Tenant, copy: Copy, verdict: Verdict) -> None:
        """A waiting copy was judged again and did not pass."""
        self._metrics.recipient(tenant.slug, message.kind, verdict.action, verdict.reason)
        # What was accepted can only be held now, not refused any more.
        self._decided(
            message,
            tenant,
            verdict,
            self._list(message),
            "held" if verdict.action is Action.REJECT else None,
        )

    def stage(self, name: str, seconds: float) -> None:
        """How long a stage took."""
        self._metrics.stage(name, seconds)

    def sent_after_optout(self, message: StoredMessage, copy: Copy) -> None:
        """The alarm that must stay silent."""
        self._metrics.sent_after_optout()
        log.critical("%s: sent although an opt-out was in force", copy.id)

    def _decided(
        self,
        message: StoredMessage,
        tenant: Tenant,
        verdict: Verdict,
        list_slug: str,
        status: str | None = None,
    ) -> None:
        usual, dsn = _DECIDED.get(verdict.action, ("held", "2.7.1"))
        detail = next((f.detail for f in verdict.findings if f.rule == verdict.rule), "")
        write(
            Fate(
                id=message.id,
                to=verdict.recipient.wire,
                status=status or usual,
                reply=detail or str(verdict.reason),
                delay=max(0.0, self._clock.now() - message.at),
                dsn=dsn,
                tenant=tenant.slug,
                list=list_slug,
                reason=verdict.reason,
                rule=verdict.rule,
            )
        )

    def _list(self, message: StoredMessage) -> str:
        if message.list_id is None:
            return ""
        mailing_list = self._directory().lists.get(message.list_id)
        return mailing_list.slug if mailing_list is not None else str(message.list_id)
