"""The way in for mail that the relay itself writes: delivery reports and notices.

It goes through the same store, judge and delivery as everything else, with the null sender
(RFC 5321 section 4.5.5), so that it can never start a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from relay.decide.address import AddressError, parse_address
from relay.decide.facts import read_message
from relay.model import (
    Action,
    Address,
    Classification,
    Copy,
    CopyState,
    Kind,
    StoredMessage,
    Tenant,
    Verdict,
)
from relay.pipeline.assess import Assessor
from relay.pipeline.witness import Witness
from relay.ports import Clock, MailStore, Waiting
from relay.settings import Settings
from relay.transform.body import body_hash


class NoticeWriter(Protocol):
    """Writes RFC 3464 reports (``relay.egress.dsn``)."""

    def wants_notice(self, message: StoredMessage) -> bool:
        """Whether the sender of ``message`` may be told at all."""

    def failure_notice(
        self,
        message: StoredMessage,
        failures: Sequence[tuple[Copy, str, str]],
        *,
        hostname: str,
        now: float,
        unique: str,
        operator_contact: str,
    ) -> bytes:
        """The whole report for copies with their status and diagnostic."""


class Generated:
    """Stores and queues mail of our own."""

    def __init__(
        self,
        *,
        assessor: Assessor,
        mail: MailStore,
        writer: NoticeWriter,
        witness: Witness,
        offer: Callable[[Sequence[Waiting], int], None],
        new_id: Callable[[], str],
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._assessor = assessor
        self._mail = mail
        self._writer = writer
        self._witness = witness
        self._offer = offer
        self._new_id = new_id
        self.settings = settings
        self._clock = clock

    async def failures(
        self, message: StoredMessage, tenant: Tenant, failures: Sequence[tuple[Copy, str, str]]
    ) -> None:
        """Tell the envelope sender which copies failed (status, diagnostic); never ``<>``."""
        if not failures or not self._writer.wants_notice(message):
            return
        try:
            sender = parse_address(message.mail_from)
        except AddressError:
            return
        unique = self._new_id()
        content = self._writer.failure_notice(
            message,
            failures,
            hostname=self.settings.hostname,
            now=self._clock.now(),
            unique=unique,
            operator_contact=self.settings.operator.contact,
        )
        await self.post(unique, tenant, sender, content)

    async def refusals(
        self, message: StoredMessage, tenant: Tenant, refused: Sequence[Verdict]
    ) -> None:
        """Tell the envelope sender which recipients of a mixed transaction were refused by rule."""
        base = self.settings.http.public_url.rstrip("/")
        await self.failures(
            message,
            tenant,
            [
                (
                    Copy(message.id, 0, verdict.recipient, CopyState.REJECTED),
                    "5.7.1",
                    f"refused by rule, reason={verdict.reason} {base}/why/{verdict.reason}",
                )
                for verdict in refused
            ],
        )

    async def post(self, unique: str, tenant: Tenant, recipient: Address, content: bytes) -> bool:
        """Commit one message of ours (CRLF, whole) and queue it; False when a rule stops it.

        Raises StoreTrouble.
        """
        now = self._clock.now()
        header, separator, body = content.partition(b"\r\n\r\n")
        header += separator
        facts = read_message(header, self.settings.hostname)
        classification = Classification(Kind.AUTO, declared=False, evidence=("generated",))
        assessment = await self._assessor.assess(
            tenant, facts, classification, None, (recipient,), now=now, ours=True
        )
        verdict = assessment.verdicts[0]
        if verdict.action is not Action.DELIVER:
            return False
        stored = StoredMessage(
            id=unique,
            at=now,
            tenant_id=tenant.id,
            list_id=None,
            kind=Kind.AUTO,
            declared=False,
            mail_from="",
            header=header,
            body_hash=body_hash(body),
            body_size=len(body),
            subject=facts.subject,
            from_address=facts.from_addresses[0].wire if facts.from_addresses else "",
            # RFC 6531 section 3.4: the address in the envelope or the To field needs it.
            smtputf8=not (recipient.wire.isascii() and header.isascii()),
            ours=True,
        )
        copy = Copy(
            message_id=unique,
            seq=1,
            recipient=recipient,
            state=CopyState.WAITING,
            digest=verdict.digest,
            next_at=now,
            expires_at=now + self.settings.delivery.lifetime,
        )
        await self._mail.accept(stored, body, (copy,), (), 0)
        self._witness.accepted(stored, tenant, None, (verdict,))
        self._offer(
            (Waiting(unique, 1, tenant.id, recipient.domain, Kind.AUTO, now),),
            assessment.generation,
        )
        return True
