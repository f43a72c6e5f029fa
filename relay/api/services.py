"""What the API stands on; handed over whole by the composition root."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from relay.consent.erasing import Erasing
from relay.consent.expiring import Expiring
from relay.consent.importing import Importing
from relay.consent.opt_in import OptIn
from relay.consent.recording import Recording
from relay.consent.terms import TermsDesk
from relay.consent.withdrawing import Withdrawing
from relay.model import Kind, Verdict
from relay.ports import Clock
from relay.settings import Settings
from relay.store.store import Store
from relay.transform.token import TokenKeys


class Release(Protocol):
    """Judges a held copy again on behalf of a person (``relay.pipeline.review``)."""

    async def __call__(self, copy_id: str, kind: Kind | None, reason: str) -> Verdict:
        """Put a copy that passes back on its way; leave it held otherwise.

        Raises KeyError when there is no such held copy, StoreTrouble.
        """


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the routes."""

    settings: Settings
    clock: Clock
    store: Store
    sign_ups: OptIn
    withdrawing: Withdrawing
    recording: Recording
    terms: TermsDesk
    importing: Importing
    expiring: Expiring
    erasing: Erasing
    release: Release
    token_keys: TokenKeys
    pepper: bytes = field(repr=False)
