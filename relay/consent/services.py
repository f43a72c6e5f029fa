"""Puts the services of a consent's life together around an open store, for the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from relay.consent.confirmation_mail import Post
from relay.consent.erasing import Erasing
from relay.consent.expiring import Expiring
from relay.consent.importing import Importing
from relay.consent.letters import Letters
from relay.consent.opt_in import OptIn
from relay.consent.passing_on import PassingOn
from relay.consent.receiving import Receiving
from relay.consent.recording import Recording
from relay.consent.terms import TermsDesk
from relay.consent.unsubscribe import UnsubscribeLinks
from relay.consent.viewing import OwnRecordsOfPersons
from relay.consent.withdrawing import Withdrawing
from relay.egress.outbound_http import OutboundHttp
from relay.ports import Clock
from relay.rulebooks import Rulebooks
from relay.settings import Settings
from relay.store.store import Store
from relay.tasks import Tasks
from relay.transform.token import TokenKeys


class Counts(Protocol):
    """Counts what happens to consents (``relay.observe.metrics``)."""

    def optout(self, tenant: str, channel: str, count: int = 1) -> None:
        """Opt-outs were recorded."""

    def optout_in_force(self, seconds: float) -> None:
        """An opt-out was in force so long after it arrived."""

    def confirmation(self, tenant: str, event: str) -> None:
        """A request for consent was asked, mailed, confirmed, …"""

    def complaint(self, tenant: str, source: str) -> None:
        """A complaint was recorded."""

    def webhook(self, tenant: str, kind: str, result: str) -> None:
        """A tenant's software was told, or could not be."""


@dataclass(frozen=True, slots=True)
class ConsentServices:
    """One of each."""

    letters: Letters
    opt_in: OptIn
    withdrawing: Withdrawing
    links: UnsubscribeLinks
    own_records: OwnRecordsOfPersons
    erasing: Erasing
    expiring: Expiring
    terms: TermsDesk
    recording: Recording
    importing: Importing
    receiving: Receiving
    passing_on: PassingOn

    @property
    def configured(
        self,
    ) -> tuple[Letters | OptIn | OwnRecordsOfPersons | TermsDesk | Recording, ...]:
        """Those that hold settings which a reload replaces."""
        return (self.letters, self.opt_in, self.own_records, self.terms, self.recording)


def wire_consent(
    *,
    settings: Settings,
    store: Store,
    rulebooks: Rulebooks,
    token_keys: TokenKeys,
    pepper: bytes,
    post: Post,
    new_id: Callable[[], str],
    counts: Counts,
    clock: Clock,
    tasks: Tasks,
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> ConsentServices:
    """``post`` puts a letter of ours on its way (``relay.pipeline.generated``); ``pause`` waits
    for some seconds."""
    letters = Letters(settings, clock)
    withdrawing = Withdrawing(store, clock, counts.optout, counts.optout_in_force)
    desk = TermsDesk(store, clock, settings)
    passing_on = PassingOn(
        store=store,
        http=OutboundHttp(settings.outbound.allow_networks),
        clock=clock,
        tasks=tasks,
        seen=counts.webhook,
    )
    return ConsentServices(
        letters=letters,
        opt_in=OptIn(
            store=store,
            post=post,
            letters=letters,
            token_keys=token_keys,
            settings=settings,
            clock=clock,
            new_id=new_id,
            seen=counts.confirmation,
            pause=pause,
        ),
        withdrawing=withdrawing,
        links=UnsubscribeLinks(store, token_keys, clock, withdrawing),
        own_records=OwnRecordsOfPersons(
            store=store,
            post=post,
            letters=letters,
            token_keys=token_keys,
            settings=settings,
            clock=clock,
            new_id=new_id,
            withdrawing=withdrawing,
        ),
        erasing=Erasing(store=store, clock=clock, withdrawing=withdrawing, settle=passing_on.once),
        expiring=Expiring(store, rulebooks.policy, clock),
        terms=desk,
        recording=Recording(store, clock, pepper, settings, desk),
        importing=Importing(store, clock, desk),
        receiving=Receiving(store, withdrawing, counts.complaint),
        passing_on=passing_on,
    )
