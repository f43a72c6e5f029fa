"""From a message and its recipients to one verdict each.

The one place that asks the store about people; acceptance, delivery, release and ``explain`` all
come through here, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.decide.address import AddressError, parse_address
from relay.decide.judge import judge
from relay.decide.keys import subject_keys
from relay.decide.rulebook import Policy
from relay.decide.sender import from_is_owned, internal_recipient
from relay.decide.standing import standing
from relay.decide.terms import Case
from relay.model import (
    Address,
    Classification,
    Directory,
    Kind,
    Message,
    Standing,
    StandingState,
    SubjectKeys,
    Tenant,
    Verdict,
)
from relay.ports import ConsentBook
from relay.settings import Settings


@dataclass(frozen=True, slots=True)
class Assessment:
    """Verdicts for all recipients, and what they rest on; sequences are in recipient order."""

    keys: tuple[SubjectKeys, ...]
    standings: tuple[Standing, ...]
    verdicts: tuple[Verdict, ...]
    generation: int
    """The consent book's generation that the verdicts rest on; while it lasts they hold."""


class Assessor:
    """Judges with today's directory, rulebooks and consent book."""

    def __init__(
        self,
        *,
        directory: Callable[[], Directory],
        book: ConsentBook,
        policy: Callable[[tuple[str, ...]], Policy],
        pepper: bytes,
        settings: Settings,
    ) -> None:
        self._directory = directory
        self._book = book
        self._policy = policy
        self._pepper = pepper
        self.settings = settings

    @property
    def last_event(self) -> int:
        """Id of the last event that is in force now, of any tenant."""
        return self._book.last_event

    async def assess(
        self,
        tenant: Tenant,
        message: Message,
        classification: Classification,
        mail_from: Address | None,
        recipients: Sequence[Address],
        *,
        now: float,
        personal_before: int = 0,
        released: Kind | None = None,
        gateway: bool = False,
        ours: bool = False,
        as_of: int | None = None,
    ) -> Assessment:
        """Judge every recipient by one query. Raises StoreTrouble.

        ``personal_before`` is the tenant's personal recipients of today before this message,
        ``released`` the kind that a person has set; ``gateway`` says that it came in by one, and
        ``ours`` that the relay wrote it itself. ``as_of`` judges by what the ledger held up to
        that event.
        """
        directory = self._directory()
        operator = self.settings.operator
        generation = self._book.generation
        keys = tuple(subject_keys(self._pepper, recipient) for recipient in recipients)
        all_acts = await self._book.acts(tenant.id, keys)
        if as_of is not None:
            all_acts = [tuple(act for act in acts if act.event_id <= as_of) for acts in all_acts]
        mailing_list = classification.mailing_list
        standings = tuple(
            standing(acts, tenant_id=tenant.id, mailing_list=mailing_list, now=now)
            if acts
            else _ABSENT
            for acts in all_acts
        )
        owned = ours or from_is_owned(tenant, message, mail_from, directory, classification.kind)
        limits = self.settings.limits
        cap = tenant.personal_per_day
        personal_limit = limits.personal_recipients_per_day if cap is None else cap
        policy = self._policy(tenant.rulebooks)
        verdicts = tuple(
            judge(
                Case(
                    message=message,
                    classification=classification,
                    tenant=tenant,
                    recipient=recipient,
                    recipient_count=len(recipients),
                    standing=person,
                    internal=internal_recipient(
                        recipient, tenant, directory, operator.domains, operator.contact
                    ),
                    null_sender=mail_from is None,
                    sender_owned=owned,
                    gateway=gateway,
                    personal_today=personal_before + position + 1,
                    personal_limit=personal_limit,
                    max_received=limits.max_received,
                    released=released,
                ),
                policy,
            )
            for position, (recipient, person) in enumerate(zip(recipients, standings, strict=True))
        )
        return Assessment(keys, standings, verdicts, generation)


_ABSENT = Standing(StandingState.ABSENT)


def parsed(wire: str) -> Address | None:
    """A stored wire address as a value again; None for the null reverse-path."""
    try:
        return parse_address(wire) if wire else None
    except AddressError:
        return None
