"""The second half of the path, when the scheduler says that copies may go.

header lines for this recipient → signature → judge again → upstream → record.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from relay.clock import DAY
from relay.decide.facts import read_message
from relay.decide.keys import subject_keys
from relay.decide.standing import OPTED_OUT
from relay.model import (
    Action,
    Classification,
    Copy,
    CopyState,
    Directory,
    Kind,
    Outcome,
    Receipt,
    StoredMessage,
    Tenant,
    TenantState,
    Verdict,
)
from relay.pipeline import copy_events
from relay.pipeline.accept import OnHeld
from relay.pipeline.assess import Assessment, Assessor, parsed
from relay.pipeline.generated import Generated
from relay.pipeline.prepare import Preparation
from relay.pipeline.unowned import unowned
from relay.pipeline.witness import Witness
from relay.ports import (
    Batch,
    Clock,
    CopyChange,
    MailStore,
    NewEvent,
    Signer,
    StoreTrouble,
    Upstream,
    Waiting,
)
from relay.settings import Settings
from relay.transform.token import TokenKeys

log = logging.getLogger("relay.delivery")

_JUDGED_ANEW = 3
"""How often a verdict is made again because something was recorded while it was made."""
_KEPT = (Action.QUARANTINE, Action.REJECT)
"""What leads to HELD when mail that waits is judged again."""
SUSPENDED_RETRY = 900.0
"""Seconds until a suspended tenant's waiting mail is looked at again."""


async def _nobody(message_id: str, receipt: Receipt) -> None:
    """Told of our own mail when nobody asked to be."""


class Delivery:
    """Attempts copies; every attempt ends in a committed change of each copy."""

    def __init__(
        self,
        *,
        directory: Callable[[], Directory],
        assessor: Assessor,
        generation: Callable[[], int],
        mail: MailStore,
        signer: Signer,
        upstream: Upstream,
        after: Callable[[Receipt, Copy, float], CopyChange],
        generated: Generated,
        witness: Witness,
        on_held: OnHeld,
        on_ours: Callable[[str, Receipt], Awaitable[None]] = _nobody,
        token_keys: TokenKeys,
        pepper: bytes,
        settings: Settings,
        clock: Clock,
    ) -> None:
        """``on_ours`` is told, once it is on record, what each attempt of a message that the relay
        wrote itself came to: message id, receipt."""
        self._directory = directory
        self._assessor = assessor
        self._generation = generation
        self._mail = mail
        self._upstream = upstream
        self._after = after
        self._generated = generated
        self._witness = witness
        self._on_held = on_held
        self._on_ours = on_ours
        self._preparation = Preparation(
            directory=directory, mail=mail, signer=signer, token_keys=token_keys, pepper=pepper
        )
        self._pepper = pepper
        self.settings = settings
        self._clock = clock
        self._judged: dict[str, int] = {}

    def judged(self, message_id: str, generation: int) -> None:
        """Remember that a message's verdicts rest on ``generation`` of the consent book."""
        if len(self._judged) > 50_000:
            self._judged.clear()
        self._judged[message_id] = generation

    async def attempt(self, batch: Batch) -> Sequence[Waiting]:
        """Try these copies once; returns those that wait again. Raises StoreTrouble."""
        message = await self._mail.message(batch.message_id)
        if message is None:
            return ()
        found = await self._mail.copies(message.id, batch.seqs)
        copies = [copy for copy in found if copy.state is CopyState.WAITING]
        tenant = self._directory().tenants.get(message.tenant_id) or unowned(self.settings.operator)
        waiting: list[Waiting] = []
        for group in _groups(message, copies):
            changes = await self._attempt_group(message, tenant, group)
            waiting += [
                Waiting(
                    message.id,
                    change.seq,
                    message.tenant_id,
                    copy.recipient.domain,
                    _kind(message, copy),
                    change.next_at,
                )
                for change, copy in zip(changes, group, strict=True)
                if change.state is CopyState.WAITING
            ]
        return waiting

    async def _attempt_group(
        self, message: StoredMessage, tenant: Tenant, group: Sequence[Copy]
    ) -> Sequence[CopyChange]:
        now = self._clock.now()
        if tenant.state is TenantState.SUSPENDED:
            paused = [_wait(copy, now + SUSPENDED_RETRY, "tenant suspended") for copy in group]
            await self._mail.change(paused)
            return paused
        try:
            kind = _kind(message, group[0])
            envelope, content = await self._preparation.prepare(
                message, tenant, group, kind, self.settings
            )
        except LookupError as error:
            log.error("%s: cannot be made ready to go: %s", message.id, error)
            not_ready = [_not_ready(error)] * len(group)
            return await self._record(message, tenant, group, not_ready, None, None)
        assessment = await self._judge_again(message, tenant, group)
        if assessment is not None and not _may_go(assessment):
            return await self._stop(message, tenant, group, assessment, now)
        in_force = self._assessor.last_event
        generation = assessment.generation if assessment is not None else self._generation()

        async def still_wanted() -> bool:
            """The last look: nothing but the transaction lies between it and the mail."""
            nonlocal assessment, generation, in_force
            if generation != self._generation():
                assessment = await self._assess_until_still(message, tenant, group)
                generation = assessment.generation
            in_force = self._assessor.last_event
            return assessment is None or _may_go(assessment)

        began = self._clock.monotonic()
        receipts = await self._upstream.send(replace(envelope, still_wanted=still_wanted), content)
        self._witness.stage("send", self._clock.monotonic() - began)
        if not receipts and assessment is not None:
            return await self._stop(message, tenant, group, assessment, self._clock.now())
        changes = await self._record(message, tenant, group, receipts, assessment, in_force)
        if generation != self._generation():
            await self._look_back(message, tenant, group, receipts, in_force)
        return changes

    async def _record(
        self,
        message: StoredMessage,
        tenant: Tenant,
        group: Sequence[Copy],
        receipts: Sequence[Receipt],
        assessment: Assessment | None,
        as_of: int | None,
    ) -> Sequence[CopyChange]:
        """Commit what became of each copy, then tell of it; ``assessment`` let them go, else the
        verdicts of acceptance did. ``as_of`` is the last event in force when they left."""
        now = self._clock.now()
        ends = [
            (copy, receipt, self._after(receipt, copy, now))
            for copy, receipt in zip(group, receipts, strict=True)
        ]
        failed = [end for end in ends if end[2].state in (CopyState.BOUNCED, CopyState.EXPIRED)]
        # What the upstream took comes first: trouble with a report must not make it leave twice.
        left = [end for end in ends if end not in failed]
        events = self._delivered(message, ends, assessment, as_of, now)
        await self._settle(message, tenant, left, events)
        # The report is durable before the failure is final: a crash between the two repeats a
        # report at worst, and never swallows one.
        failures = [(copy, _failed_status(receipt), receipt.text) for copy, receipt, _ in failed]
        await self._generated.failures(message, tenant, failures)
        await self._settle(message, tenant, failed)
        if message.ours:
            await self._tell_of_ours(message, receipts)
        return [change for _, _, change in ends]

    def _delivered(
        self,
        message: StoredMessage,
        ends: Sequence[tuple[Copy, Receipt, CopyChange]],
        assessment: Assessment | None,
        as_of: int | None,
        now: float,
    ) -> list[NewEvent]:
        """The events of the commercial copies that left."""
        if _kind(message, ends[0][0]) is not Kind.COMMERCIAL:
            return []
        mailing_list = self._directory().mailing_list(message.list_id)
        verdicts: Sequence[Verdict | None] = (
            assessment.verdicts if assessment is not None else [None] * len(ends)
        )
        return [
            copy_events.delivered(
                message,
                copy,
                subject_keys(self._pepper, copy.recipient),
                mailing_list,
                verdict=verdict,
                as_of=as_of,
                at=now,
            )
            for (copy, _, change), verdict in zip(ends, verdicts, strict=True)
            if change.state is CopyState.SENT
        ]

    async def _tell_of_ours(self, message: StoredMessage, receipts: Sequence[Receipt]) -> None:
        for receipt in receipts:
            try:
                await self._on_ours(message.id, receipt)
            except StoreTrouble as error:
                # The mail is on its way and on record: only what it proves is missing.
                log.error("%s: what became of it is not in evidence: %s", message.id, error)

    async def _settle(
        self,
        message: StoredMessage,
        tenant: Tenant,
        ends: Sequence[tuple[Copy, Receipt, CopyChange]],
        events: Sequence[NewEvent] = (),
    ) -> None:
        if not ends:
            return
        await self._mail.change([change for _, _, change in ends], events)
        for copy, receipt, change in ends:
            self._witness.attempted(message, tenant, copy, receipt, change.state)

    async def _judge_again(
        self, message: StoredMessage, tenant: Tenant, group: Sequence[Copy]
    ) -> Assessment | None:
        """A fresh verdict, or None while the one from acceptance still rests on the same facts."""
        if self._judged.pop(message.id, None) == self._generation():
            return None
        return await self._assess_until_still(message, tenant, group)

    async def _assess_until_still(
        self, message: StoredMessage, tenant: Tenant, group: Sequence[Copy]
    ) -> Assessment:
        """A verdict that rests on what is in force now, also when people speak meanwhile."""
        assessment = await self._assess(message, tenant, group, self._clock.now())
        for _ in range(_JUDGED_ANEW):
            if assessment.generation == self._generation():
                break
            assessment = await self._assess(message, tenant, group, self._clock.now())
        return assessment

    async def _assess(
        self,
        message: StoredMessage,
        tenant: Tenant,
        group: Sequence[Copy],
        now: float,
        as_of: int | None = None,
    ) -> Assessment:
        return await self._assessor.assess(
            tenant,
            read_message(message.header, self.settings.hostname),
            Classification(
                kind=message.kind,
                declared=message.declared,
                evidence=("as accepted",),
                mailing_list=self._directory().mailing_list(message.list_id),
            ),
            parsed(message.mail_from),
            [copy.recipient for copy in group],
            now=now,
            # The daily cap was settled at acceptance, and what waits is not counted twice.
            personal_before=-len(group),
            released=group[0].released_kind,
            ours=message.ours,
            as_of=as_of,
        )

    async def _stop(
        self,
        message: StoredMessage,
        tenant: Tenant,
        group: Sequence[Copy],
        assessment: Assessment,
        now: float,
    ) -> Sequence[CopyChange]:
        """Commit what becomes of each copy when not all of them may go any more.

        When one of several copies stops, the others wait for the next round at once: the
        transaction is made anew without it. What we wrote ourselves is dropped, never held: it may
        hold a confirmation token, and who reviews held mail must not see one.
        """
        verdicts = assessment.verdicts
        if message.ours:
            verdicts = tuple(
                replace(verdict, action=Action.DROP) if verdict.action in _KEPT else verdict
                for verdict in verdicts
            )
        held_until = now + self.settings.limits.quarantine_days * DAY
        changes = [
            _stopped(copy, verdict, now, held_until)
            for copy, verdict in zip(group, verdicts, strict=True)
        ]
        events = [
            copy_events.dropped(
                tenant.id, copy.id, keys, reason=verdict.reason, rule=verdict.rule, at=now
            )
            for copy, verdict, keys in zip(group, verdicts, assessment.keys, strict=True)
            if verdict.action is Action.DROP
        ]
        await self._mail.change(changes, events)
        for copy, verdict in zip(group, verdicts, strict=True):
            if verdict.action > Action.DELAY:
                self._witness.stopped(message, tenant, copy, verdict)
                if verdict.action is not Action.DROP:
                    self._on_held(tenant, copy.id, message.subject, verdict.reason)
        return changes

    async def _look_back(
        self,
        message: StoredMessage,
        tenant: Tenant,
        group: Sequence[Copy],
        receipts: Sequence[Receipt],
        in_force: int,
    ) -> None:
        """Count commercial copies that left although an opt-out was in force before they did: by
        the ledger up to the event ``in_force``, since an opt-out that waited for the store to open
        bears the time of its arrival."""
        if _kind(message, group[0]) is not Kind.COMMERCIAL:
            return
        now = self._clock.now()
        assessment = await self._assess(message, tenant, group, now, as_of=in_force)
        for copy, receipt, person in zip(group, receipts, assessment.standings, strict=True):
            if receipt.outcome is Outcome.DELIVERED and person.state in OPTED_OUT:
                self._witness.sent_after_optout(message, copy)


def _groups(message: StoredMessage, copies: Sequence[Copy]) -> list[list[Copy]]:
    """Commercial copies leave one by one, each with its own token; others in one transaction."""
    groups: dict[object, list[Copy]] = {}
    for copy in copies:
        kind = _kind(message, copy)
        key: object = copy.seq if kind is Kind.COMMERCIAL else kind
        groups.setdefault(key, []).append(copy)
    return list(groups.values())


def _may_go(assessment: Assessment) -> bool:
    return all(verdict.action <= Action.DELAY for verdict in assessment.verdicts)


def _kind(message: StoredMessage, copy: Copy) -> Kind:
    return copy.released_kind or message.kind


def _wait(copy: Copy, until: float, why: str) -> CopyChange:
    return CopyChange(
        copy.message_id, copy.seq, CopyState.WAITING, until, copy.attempts, last_reply=why
    )


def _stopped(copy: Copy, verdict: Verdict, now: float, held_until: float) -> CopyChange:
    """What becomes of one copy of a transaction that did not take place."""
    if verdict.action <= Action.DELAY:
        return _wait(copy, now, copy.last_reply)
    if verdict.action is Action.DEFER:
        return _wait(copy, now + SUSPENDED_RETRY, copy.last_reply)
    return CopyChange(
        message_id=copy.message_id,
        seq=copy.seq,
        state=CopyState.DROPPED if verdict.action is Action.DROP else CopyState.HELD,
        next_at=now,
        attempts=copy.attempts,
        reason=verdict.reason,
        expires_at=held_until,
    )


def _not_ready(error: LookupError) -> Receipt:
    """Our own trouble, which passes (RFC 3463 section 3.4: X.3.0), or ends with the lifetime."""
    return Receipt(Outcome.DEFERRED, 0, "4.3.0", str(error), "none")


def _failed_status(receipt: Receipt) -> str:
    """RFC 3464 section 2.3.4: a final failure has class 5; 4.4.7 is what expiry was made of."""
    return receipt.enhanced if receipt.outcome is Outcome.REFUSED else "5.4.7"
