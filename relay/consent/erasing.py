"""Erasure on a person's request: the address goes, the opt-out stays (clause B22).

First the withdrawal, durable and journalled, so that whatever happens next no mail follows. Then
the person's waiting and held mail ends, everything on record goes in one transaction, and what
deletion leaves behind in the files is overwritten. Each step may be repeated: after a crash, or
when something stood in the way, erasing again finishes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from relay.consent.withdrawing import Withdrawing
from relay.model import Address
from relay.ports import Clock
from relay.store.erasure.scrub import VACUUM_BELOW, Scrubbed
from relay.store.erasure.traces import Person
from relay.store.store import Store

log = logging.getLogger("relay.erasing")

CHANNEL: Final = "erasure"
LATER: Final = "That is done within minutes, for several erasures at once."
SETTLE_SECONDS: Final = 10.0
"""How long notifications of the opt-out may take before they are dropped."""
_CHANGES: Final = 100
"""Copies that one commit ends."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did, and what it could not do yet."""

    opted_out: int
    """Opt-outs recorded first."""
    removed: Mapping[str, int] = field(default_factory=dict)
    """How much of each sort is gone."""
    event_ids: tuple[int, ...] = ()
    """The erasure in the ledger; none when nothing was left to erase."""
    remaining_messages: int = 0
    """Messages that others still wait for and that name the person, or that the person sent."""
    remaining_until: float | None = None
    """When the last of them is gone at the latest, in epoch seconds."""
    overwritten: bool = True
    """What deletion leaves behind in the store's files is overwritten."""
    problem: str = ""
    """Why it is not, in one sentence; the relay tries again by itself."""
    found_in: tuple[str, ...] = ()
    """Files of the data directory in which the address was still found, alone or as the end of a
    longer one; empty for one tenant."""


async def _nothing_to_tell() -> None:
    """Without a running relay nobody delivers notifications."""


class Erasing:
    """Erases persons, one at a time."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        withdrawing: Withdrawing,
        settle: Callable[[], Awaitable[object]] = _nothing_to_tell,
        vacuum_below: int | None = VACUUM_BELOW,
    ) -> None:
        """``settle`` tries to deliver what the tenants' software is still to be told, so that it
        learns of the opt-out before the address is gone; ``vacuum_below`` as in ``Scrub.run``."""
        self._store: Final = store
        self._clock: Final = clock
        self._withdrawing: Final = withdrawing
        self._settle: Final = settle
        self._vacuum_below: Final = vacuum_below
        self._turn: Final = asyncio.Lock()
        self._sought: Final[set[str]] = set()
        """Spellings to look for in the files once their leftovers are overwritten."""
        self._finished_before = False
        """Else what is unfinished may be of a former run, whose spellings nobody knows."""

    async def erase(self, person: Address, *, tenant_id: int | None) -> Erased:
        """Erase every spelling of a person's address at one tenant, or, with None, at all.

        At one tenant, the address itself stays where another tenant has it from the person, and
        what deletion leaves behind in the files is overwritten by the next ``finish``.
        Raises StoreTrouble: then erase again.
        """
        who = Person.of(person, self._store.keys(person))
        opted_out = await self._withdraw(who, tenant_id)
        if opted_out:
            # Before the turn is taken: software that does not answer must not hold up the
            # erasures of others.
            await self._tell()
        async with self._turn:
            at = self._clock.now()
            erasure = self._store.erasure
            found = await erasure.find(who, tenant_id)
            for start in range(0, len(found.live), _CHANGES):
                await self._store.mail.change(found.live[start : start + _CHANGES])
            removed = await erasure.remove(who, found, tenant_id, at)
            remaining = await erasure.remaining(found, tenant_id)
            under_way = {change.message_id for change in found.live}
            await erasure.remains(who, tenant_id, under_way.union(remaining.messages))
            # What one tenant erased may rightly stand in the files for another.
            if tenant_id is None or not await erasure.known(who):
                self._sought.update(found.texts)
            # A tenant may ask often: overwriting for each would be a way to keep the disk busy.
            scrubbed = (
                await self._overwrite(at) if tenant_id is None else Scrubbed(False, LATER, ())
            )
        return Erased(
            opted_out=opted_out,
            removed=removed.counts,
            event_ids=removed.event_ids,
            remaining_messages=len(remaining.messages),
            remaining_until=remaining.until,
            overwritten=scrubbed.done,
            problem=scrubbed.problem,
            found_in=scrubbed.found_in,
        )

    async def finish(self) -> bool:
        """Overwrite what earlier erasures could not, and what mail that named an erased person has
        left since, for housekeeping; False when something stood in the way. Raises
        StoreTrouble."""
        async with self._turn:
            at = self._clock.now()
            if not await self._store.erasure.unfinished(at):
                return True
            await self._store.erasure.clear_remaining(at)
            scrubbed = await self._overwrite(at, rewrite=not self._finished_before)
            self._finished_before |= scrubbed.done
            if not scrubbed.done:
                log.warning("an erasure is not finished yet: %s", scrubbed.problem)
            elif scrubbed.found_in:
                log.warning(
                    "an erased address still stands in %s: see `consent-relay consent erase`",
                    ", ".join(scrubbed.found_in),
                )
            return scrubbed.done

    async def _overwrite(self, at: float, *, rewrite: bool = False) -> Scrubbed:
        scrubbed = await self._store.scrub.run(
            sorted(self._sought), rewrite=rewrite, vacuum_below=self._vacuum_below
        )
        if scrubbed.done:
            self._sought.clear()
            await self._store.erasure.finished(at)
        return scrubbed

    async def _withdraw(self, who: Person, tenant_id: int | None) -> int:
        """Opt out wherever a consent, or a request for one, is on record."""
        recorded = 0
        for number in await self._store.erasure.consenting(who, tenant_id):
            tenant = self._store.directory.tenants[number]
            done = await self._withdrawing.withdraw(tenant, who.keys, channel=CHANNEL)
            recorded += done.recorded
        return recorded

    async def _tell(self) -> None:
        """Give the tenants' software a moment to learn of the opt-out; then it is dropped."""
        try:
            await asyncio.wait_for(self._settle(), SETTLE_SECONDS)
        except TimeoutError:
            log.info("not everybody could be told of an opt-out before its erasure")
