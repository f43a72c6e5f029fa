"""What every operation works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from relay.model import Address, Kind, MailingList, Tenant, Verdict
from relay.operate.keyfiles import Keys
from relay.ports import Clock, Json
from relay.rulebooks import Rulebooks
from relay.settings import Settings

if TYPE_CHECKING:
    # The store takes a second to import, and whoever asks the daemon does not need it.
    from relay.consent.erasing import Erasing
    from relay.store.store import Store


class Release(Protocol):
    """Judges a held copy again on behalf of a person (``relay.pipeline.review``)."""

    async def __call__(self, copy_id: str, kind: Kind | None, reason: str) -> Verdict:
        """Put a copy that passes back on its way, durably, with an event that records ``kind`` and
        ``reason``; leave it held otherwise.

        Raises KeyError when there is no such held copy, StoreTrouble.
        """


class Explain(Protocol):
    """Judges a message without taking it (``relay.pipeline.review``)."""

    async def __call__(
        self,
        tenant: Tenant,
        content: bytes,
        mail_from: Address | None,
        recipients: Sequence[Address],
        mailing_list: MailingList | None,
    ) -> Json:
        """What ``relay.decide.explain`` makes of it, or ``{refused}`` (a sentence) when the door
        would turn the message away.

        Raises StoreTrouble.
        """


class CountOptOuts(Protocol):
    """Counts opt-outs recorded (``relay.observe.metrics``)."""

    def __call__(self, tenant: str, channel: str, count: int = 1) -> None:
        """``tenant`` is a slug."""


@dataclass(slots=True)
class Context:
    """An opened relay; ``settings`` and ``rulebooks`` are replaced at a reload."""

    settings: Settings
    clock: Clock
    keys: Keys
    store: Store
    rulebooks: Rulebooks
    release: Release
    explain: Explain
    wake: Callable[[Sequence[str]], None]
    """Tells delivery that these copies (ids) may go now."""
    optout: CountOptOuts = lambda tenant, channel, count=1: None
    """Told of the opt-outs recorded here."""
    optout_in_force: Callable[[float], None] = lambda seconds: None
    """Told the seconds from an opt-out's arrival to its being in force."""
    erasing: Erasing | None = None
    """The daemon's; None without one."""

    @property
    def data_dir(self) -> Path:
        """Where store, keys and control socket are."""
        return self.settings.data_dir
