"""The first half of the path, while the client waits for the reply to its final dot.

normalise → facts → tenant → classification → verdicts → one commit → 250.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from relay.clock import DAY
from relay.decide.address import parse_address
from relay.decide.classify import classify
from relay.decide.facts import read_message
from relay.decide.judge import told, wanted_action
from relay.decide.one_click import one_click_url
from relay.decide.sender import find_tenant
from relay.model import (
    Accepted,
    Action,
    Address,
    Classification,
    Copy,
    CopyState,
    Directory,
    Finding,
    Kind,
    Message,
    Reason,
    Refusal,
    StoredMessage,
    SubjectKeys,
    Submission,
    Tenant,
    Verdict,
)
from relay.pipeline import copy_events
from relay.pipeline.admit import Admission, suspended
from relay.pipeline.assess import Assessor
from relay.pipeline.generated import Generated
from relay.pipeline.personal_cap import PersonalCap
from relay.pipeline.unowned import unowned
from relay.pipeline.witness import Witness
from relay.ports import Clock, ContentProblem, MailStore, OneClick, Throttle, Waiting
from relay.settings import Settings
from relay.transform.body import body_hash
from relay.transform.normalise import ContentRefused, Normalised, normalise
from relay.transform.received import received_field

BIG_MESSAGE = 262_144
"""Octets above which per-octet work leaves the event loop, so that others are not kept waiting."""
STATE_OF = {
    Action.DELIVER: CopyState.WAITING,
    Action.DELAY: CopyState.WAITING,
    Action.DROP: CopyState.DROPPED,
    Action.QUARANTINE: CopyState.HELD,
    Action.REJECT: CopyState.REJECTED,
}

_LIVE = (CopyState.WAITING, CopyState.HELD)


OnHeld: TypeAlias = Callable[[Tenant, str, str, Reason | None], None]
"""Told of the first held copy of a message: tenant, copy id, subject, reason."""


class Acceptance(Admission):
    """Implements ``ports.Door``: everything that the SMTP session asks."""

    def __init__(
        self,
        *,
        directory: Callable[[], Directory],
        free_bytes: Callable[[], int],
        settings: Settings,
        assessor: Assessor,
        mail: MailStore,
        throttle: Throttle,
        generated: Generated,
        witness: Witness,
        offer: Callable[[Sequence[Waiting], int], None],
        on_held: OnHeld,
        clock: Clock,
    ) -> None:
        super().__init__(directory=directory, free_bytes=free_bytes, settings=settings)
        self._assessor = assessor
        self._mail = mail
        self._throttle = throttle
        self._generated = generated
        self._witness = witness
        self._offer = offer
        self._on_held = on_held
        self._clock = clock
        self._personal = PersonalCap(mail)

    async def accept(self, submission: Submission) -> Accepted | Refusal:
        """Judge and commit; a 250 made of what this returns stands for synced octets.

        Raises StoreTrouble, and ContentProblem when the content cannot be mended.
        """
        normal = await self._normalised(submission)
        # What had to be mended is in memory twice by now; as it came it is not needed any more.
        submission = replace(submission, header=b"", body=b"")
        message = read_message(normal.facts_header, self.settings.hostname)
        directory = self._directory()
        credential = submission.client.credential
        if credential is None:
            return Refusal(Reason.INTERNAL, "no sender is known for this connection")
        tenant = find_tenant(credential, message, directory)
        if tenant is None:
            return await self._hold_for_operator(submission, normal, message)
        if (refusal := suspended(tenant)) is not None:
            return refusal
        classification = classify(
            message,
            credential=credential,
            tenant=tenant,
            directory=directory,
            mail_from=submission.mail_from,
            recipients=len(submission.recipients),
            bulk_recipients=self.settings.limits.bulk_recipients,
        )
        if isinstance(classification, Refusal):
            return classification
        judged, own = self._split_own_host(submission.recipients)
        personal = len(judged) if classification.kind is Kind.PERSONAL else 0
        with self._personal.share(tenant.id, submission.at, personal) as share:
            began = self._clock.monotonic()
            assessment = await self._assessor.assess(
                tenant,
                message,
                classification,
                submission.mail_from,
                judged,
                now=submission.at,
                personal_before=share.before,
                gateway=credential.gateway,
            )
            self._witness.stage("judge", self._clock.monotonic() - began)
            wanted = wanted_action(tenant, classification.mailing_list)
            settled = self._settled(assessment.verdicts, submission, tenant, wanted) + own
            verdicts = self._within_quota(tenant, settled, len(normal.body))
            if isinstance(verdicts, Refusal):
                return verdicts
            if any(verdict.action is Action.DEFER for verdict in verdicts):
                return Accepted(submission.id, verdicts)
            counted = sum(v.action <= Action.DELAY for v in verdicts[:personal])
            stored = await self._stored(submission, normal, message, classification, tenant)
            refused = [verdict for verdict in verdicts if verdict.action is Action.REJECT]
            if refused and len(refused) < len(verdicts):
                # Before the commit: after it, trouble with the report would make the client send
                # again what has been taken. A crash between the two repeats a report at worst.
                await self._generated.refusals(stored, tenant, refused)
            await self._commit(
                stored,
                normal.body,
                verdicts,
                assessment.keys,
                counted,
                assessment.generation,
                self._one_click(message, stored.kind, verdicts, assessment.keys),
            )
            share.committed = counted
        self._tell(stored, tenant, submission, verdicts)
        return Accepted(submission.id, verdicts)

    async def _normalised(self, submission: Submission) -> Normalised:
        smtp = self.settings.smtp

        def work() -> Normalised:
            return normalise(
                submission.header,
                submission.body,
                hostname=self.settings.hostname,
                unique=submission.id,
                now=submission.at,
                bare_newlines=smtp.bare_newlines,
                long_lines=smtp.long_lines,
                max_header_bytes=smtp.max_header_bytes,
            )

        try:
            if len(submission.body) > BIG_MESSAGE:
                return await asyncio.to_thread(work)
            return work()
        except ContentRefused as refused:
            raise ContentProblem(refused.problem.value) from refused

    def _split_own_host(
        self, recipients: tuple[Address, ...]
    ) -> tuple[tuple[Address, ...], tuple[Verdict, ...]]:
        """Mail for postmaster and abuse of our own host goes to the operator, never judged
        (RFC 5321 section 4.5.1)."""
        hostname = self.settings.hostname.lower()
        judged: list[Address] = []
        own: list[Verdict] = []
        for recipient in recipients:
            if recipient.domain == hostname and recipient.local.lower() in ("postmaster", "abuse"):
                contact = parse_address(self.settings.operator.contact)
                own.append(Verdict(contact, Action.DELIVER, None, None, (), ""))
            else:
                judged.append(recipient)
        return tuple(judged), tuple(own)

    def _settled(
        self,
        verdicts: tuple[Verdict, ...],
        submission: Submission,
        tenant: Tenant,
        wanted: Action,
    ) -> tuple[Verdict, ...]:
        """What the judge cannot know: whether a refusal can be told, and the queue ahead.

        In a mixed transaction refusals come back as a DSN; the null sender gets none
        (RFC 5321 section 6.1), so there they are held instead, and drops stay drops.
        """
        if submission.mail_from is not None:
            verdicts = tuple([told(verdict, wanted) for verdict in verdicts])
        refused = [verdict.action is Action.REJECT for verdict in verdicts]
        hold_refused = submission.mail_from is None and any(refused) and not all(refused)
        settled = []
        for verdict in verdicts:
            if verdict.action is Action.REJECT and hold_refused:
                settled.append(replace(verdict, action=Action.QUARANTINE))
            elif verdict.action is Action.DELIVER and (
                self._throttle.wait(tenant.id, verdict.recipient.domain, submission.at) > 0
            ):
                settled.append(_delayed(verdict))
            else:
                settled.append(verdict)
        return tuple(settled)

    def _over_quota(self, tenant: Tenant, copies: int, size: int) -> Refusal | None:
        """Why ``copies`` of a message of ``size`` octets are too many now, or None."""
        limits = self.settings.limits
        there, octets = self._mail.usage(tenant.id)
        if there + copies <= limits.quota_messages and octets + size <= limits.quota_bytes:
            return None
        return Refusal(
            Reason.QUOTA,
            f"{there} copies ({octets} octets) of {tenant.slug} wait or are held; the limit "
            f"is {limits.quota_messages} copies or {limits.quota_bytes} octets",
        )

    def _within_quota(
        self, tenant: Tenant, verdicts: tuple[Verdict, ...], size: int
    ) -> tuple[Verdict, ...] | Refusal:
        """Over quota, mail that would only be held is refused; other mail may come back later."""
        refusal = self._over_quota(tenant, len(verdicts), size)
        if refusal is None:
            return verdicts
        if any(verdict.action in (Action.DELIVER, Action.DELAY) for verdict in verdicts):
            return refusal
        return tuple(
            replace(verdict, action=Action.REJECT)
            if verdict.action is Action.QUARANTINE
            else verdict
            for verdict in verdicts
        )

    async def _stored(
        self,
        submission: Submission,
        normal: Normalised,
        message: Message,
        classification: Classification,
        tenant: Tenant,
    ) -> StoredMessage:
        if len(normal.body) > BIG_MESSAGE:
            digest = await asyncio.to_thread(body_hash, normal.body)
        else:
            digest = body_hash(normal.body)
        hostname = self.settings.hostname
        mailing_list = classification.mailing_list
        return StoredMessage(
            id=submission.id,
            at=submission.at,
            tenant_id=tenant.id,
            list_id=mailing_list.id if mailing_list is not None else None,
            kind=classification.kind,
            declared=classification.declared,
            mail_from=submission.mail_from.wire if submission.mail_from is not None else "",
            header=received_field(submission, hostname, submission.at) + normal.header,
            body_hash=digest,
            body_size=len(normal.body),
            subject=message.subject,
            from_address=message.from_addresses[0].wire if message.from_addresses else "",
            smtputf8=submission.smtputf8,
            recipient_count=len(submission.recipients),
        )

    async def _commit(
        self,
        stored: StoredMessage,
        body: bytes,
        verdicts: tuple[Verdict, ...],
        keys: tuple[SubjectKeys, ...],
        personal: int,
        generation: int,
        one_click: OneClick | None = None,
    ) -> None:
        copies = [self._copy(stored, seq, verdict) for seq, verdict in enumerate(verdicts, start=1)]
        dropped = [
            copy_events.dropped(
                stored.tenant_id, copy.id, subject, reason=copy.reason, rule=copy.rule, at=stored.at
            )
            for copy, subject in zip(copies, keys, strict=False)
            if copy.state is CopyState.DROPPED
        ]
        began = self._clock.monotonic()
        await self._mail.accept(stored, body, copies, dropped, personal, one_click)
        self._witness.stage("commit", self._clock.monotonic() - began)
        waiting = [
            Waiting(
                stored.id, copy.seq, stored.tenant_id, copy.recipient.domain, stored.kind, stored.at
            )
            for copy in copies
            if copy.state is CopyState.WAITING
        ]
        if waiting:
            self._offer(waiting, generation)

    def _copy(self, stored: StoredMessage, seq: int, verdict: Verdict) -> Copy:
        settings = self.settings
        state = STATE_OF[verdict.action]
        lifetime = (
            settings.limits.quarantine_days * DAY
            if state is CopyState.HELD
            else settings.delivery.lifetime
        )
        return Copy(
            message_id=stored.id,
            seq=seq,
            recipient=verdict.recipient,
            state=state,
            reason=verdict.reason,
            rule=verdict.rule,
            digest=verdict.digest,
            consent_event=verdict.consent_event,
            next_at=stored.at,
            expires_at=stored.at + lifetime,
            findings=verdict.findings,
        )

    async def _hold_for_operator(
        self, submission: Submission, normal: Normalised, message: Message
    ) -> Accepted | Refusal:
        """A gateway's mail whose From belongs to no tenant: the operator decides, nobody else."""
        tenant = unowned(self.settings.operator)
        copies, size = len(submission.recipients), len(normal.body)
        if (refusal := self._over_quota(tenant, copies, size)) is not None:
            return refusal
        classification = Classification(Kind.PERSONAL, declared=False, evidence=("no owner found",))
        domain = message.from_addresses[0].domain if message.from_addresses else "(none)"
        finding = Finding(
            "base/foreign-sender",
            Action.QUARANTINE,
            Reason.FOREIGN_SENDER,
            f"no tenant owns the From domain {domain}",
        )
        verdicts = tuple(
            Verdict(
                recipient,
                finding.action,
                finding.reason,
                finding.rule,
                (finding,),
                "",
            )
            for recipient in submission.recipients
        )
        stored = await self._stored(submission, normal, message, classification, tenant)
        await self._commit(stored, normal.body, verdicts, (), 0, 0)
        self._tell(stored, tenant, submission, verdicts)
        return Accepted(submission.id, verdicts)

    def _one_click(
        self,
        message: Message,
        kind: Kind,
        verdicts: Sequence[Verdict],
        keys: Sequence[SubjectKeys],
    ) -> OneClick | None:
        """The sender's own address for opting out, where it is certain whom it is for."""
        if not message.list_unsubscribe_post or kind is not Kind.COMMERCIAL:
            return None
        if len(verdicts) != 1 or len(keys) != 1 or STATE_OF[verdicts[0].action] not in _LIVE:
            return None
        own_base = self.settings.http.public_url.rstrip("/")
        url = one_click_url(message, verdicts[0].recipient, own_base)
        return OneClick(keys[0], url) if url is not None else None

    def _tell(
        self,
        stored: StoredMessage,
        tenant: Tenant,
        submission: Submission,
        verdicts: tuple[Verdict, ...],
    ) -> None:
        self._witness.accepted(stored, tenant, submission.client, verdicts)
        for seq, verdict in enumerate(verdicts, start=1):
            if verdict.action is Action.QUARANTINE:
                self._on_held(tenant, f"{stored.id}.{seq}", stored.subject, verdict.reason)
                return


def _delayed(verdict: Verdict) -> Verdict:
    finding = Finding("throttle/rate", Action.DELAY, Reason.RATE, "more than the rate allows now")
    return replace(
        verdict,
        action=Action.DELAY,
        reason=finding.reason,
        rule=finding.rule,
        findings=(*verdict.findings, finding),
    )
