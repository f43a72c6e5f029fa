"""What a person may do to held mail, and may ask without sending any.

A release puts a copy back at the judge: with the kind that the person has set, never past an
opt-out for commercial mail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.clock import DAY
from relay.decide.classify import classify
from relay.decide.explain import Fate, explain
from relay.decide.facts import read_message
from relay.decide.judge import told, wanted_action
from relay.model import (
    Action,
    Address,
    Classification,
    Copy,
    CopyState,
    Credential,
    Directory,
    Kind,
    MailingList,
    Reason,
    Refusal,
    StoredMessage,
    Tenant,
    Verdict,
)
from relay.pipeline.assess import Assessor, parsed
from relay.pipeline.unowned import unowned
from relay.ports import Clock, CopyChange, Json, MailStore, NewEvent, Waiting
from relay.settings import Settings
from relay.transform.lines import cut
from relay.transform.normalise import ContentRefused, normalise


class Review:
    """Judges on behalf of a person."""

    def __init__(
        self,
        *,
        directory: Callable[[], Directory],
        assessor: Assessor,
        mail: MailStore,
        offer: Callable[[Sequence[Waiting]], None],
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._assessor = assessor
        self._mail = mail
        self._offer = offer
        self.settings = settings
        self._clock = clock

    async def release(self, copy_id: str, kind: Kind | None, reason: str) -> Verdict:
        """Judge one held copy again and, when it passes, put it on its way, durably.

        ``kind`` is what the person says that it is (``reason`` says why); None leaves it.
        Raises KeyError when there is no such held copy, StoreTrouble.
        """
        message_id, _, seq = copy_id.rpartition(".")
        message = await self._mail.message(message_id) if seq.isdecimal() else None
        copies = await self._mail.copies(message_id, [int(seq)]) if message is not None else ()
        if message is None or not copies or copies[0].state is not CopyState.HELD:
            raise KeyError(copy_id)
        copy = copies[0]
        tenant = self._directory().tenants.get(message.tenant_id) or unowned(self.settings.operator)
        now = self._clock.now()
        verdict = await self._judge(message, tenant, copy, kind, now)
        if verdict.action <= Action.DELAY:
            await self._send_on(message, copy, kind, reason, now)
        return verdict

    async def _judge(
        self, message: StoredMessage, tenant: Tenant, copy: Copy, kind: Kind | None, now: float
    ) -> Verdict:
        directory = self._directory()
        mailing_list = directory.mailing_list(message.list_id)
        assessment = await self._assessor.assess(
            tenant,
            read_message(message.header, self.settings.hostname),
            Classification(
                kind=message.kind,
                declared=message.declared,
                evidence=("as accepted",),
                mailing_list=mailing_list,
                unmarked_bulk=copy.reason is Reason.UNMARKED_BULK,
            ),
            parsed(message.mail_from),
            (copy.recipient,),
            now=now,
            released=kind,
        )
        return assessment.verdicts[0]

    async def _send_on(
        self, message: StoredMessage, copy: Copy, kind: Kind | None, reason: str, now: float
    ) -> None:
        event = NewEvent(
            message.tenant_id,
            "copy.released",
            now,
            None,
            {"copy": copy.id, "kind": str(kind or message.kind), "reason": reason},
        )
        change = CopyChange(
            message_id=copy.message_id,
            seq=copy.seq,
            state=CopyState.WAITING,
            next_at=now,
            attempts=copy.attempts,
            released_kind=kind,
            expires_at=now + self.settings.delivery.lifetime,
        )
        await self._mail.change((change,), (event,))
        self._offer(
            (
                Waiting(
                    copy.message_id,
                    copy.seq,
                    message.tenant_id,
                    copy.recipient.domain,
                    kind or message.kind,
                    now,
                ),
            )
        )

    async def explain(
        self,
        tenant: Tenant,
        content: bytes,
        mail_from: Address | None,
        recipients: Sequence[Address],
        mailing_list: MailingList | None,
    ) -> Json:
        """What would happen to this message, and every reason for it; takes nothing, sends nothing.

        ``{kind, declared, evidence, list, recipients: [...]}``, or with ``refused`` (a sentence)
        when the door would turn it away. Raises StoreTrouble.
        """
        smtp = self.settings.smtp
        now = self._clock.now()
        try:
            normal = normalise(
                *cut(content),
                hostname=self.settings.hostname,
                unique="explain",
                now=now,
                bare_newlines=smtp.bare_newlines,
                long_lines=smtp.long_lines,
                max_header_bytes=smtp.max_header_bytes,
            )
        except ContentRefused as refused:
            return {"refused": f"the content cannot be taken: {refused.problem}"}
        message = read_message(normal.facts_header, self.settings.hostname)
        classification = classify(
            message,
            credential=Credential(
                0, "explain", tenant.id, mailing_list.id if mailing_list is not None else None
            ),
            tenant=tenant,
            directory=self._directory(),
            mail_from=mail_from,
            recipients=len(recipients),
            bulk_recipients=self.settings.limits.bulk_recipients,
        )
        if isinstance(classification, Refusal):
            return {"refused": classification.text, "reason": str(classification.reason)}
        assessment = await self._assessor.assess(
            tenant,
            message,
            classification,
            mail_from,
            recipients,
            now=now,
            personal_before=self._mail.personal_today(tenant.id, int(now // DAY)),
        )
        wanted = wanted_action(tenant, classification.mailing_list)
        verdicts = [told(verdict, wanted) for verdict in assessment.verdicts]
        fates = map(Fate, assessment.standings, verdicts)
        return explain(classification, list(fates))
