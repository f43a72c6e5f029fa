"""What the page with a person's own record asks, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from relay.ports import Json


@dataclass(frozen=True, slots=True)
class OwnConsent:
    """One consent of a person, at one scope of one tenant."""

    scope: str
    """``tenant``, ``brand`` or ``list``."""
    scope_id: int
    """Of the brand or list; 0 for the tenant. Comes back with the stop button."""
    name: str
    """What it covers, in words: purpose of the list, name of the brand or of the sender."""
    state: str
    """``granted``, ``pending``, ``expired``, ``withdrawn`` or ``complained``."""
    basis: str
    since: float
    """Epoch seconds."""
    asked_at: str
    """Where it was asked: the form's URL or the source; empty when unknown."""
    words: str
    """The question, in the words that were shown; empty when unknown."""
    promise: str
    third_parties: str


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """One line of a person's history at one tenant."""

    at: float
    type: str
    """Dotted word as in the ledger."""
    name: str
    """What it concerned, in words."""
    channel: str
    """How: one-click, page, import, …; empty when that says nothing."""


@dataclass(frozen=True, slots=True)
class OwnView:
    """Everything on record about one person at one tenant; nothing of any other tenant."""

    sender: str
    contact: str
    address: str
    """In clear: the link was mailed to it."""
    consents: tuple[OwnConsent, ...]
    history: tuple[OwnEvent, ...]
    more: bool
    """There is more of it than this."""
    all_stopped: bool
    """A tenant-wide opt-out is in force."""


class OwnRecords(Protocol):
    """Shows a person what is on record (``relay.consent.viewing``)."""

    async def request_link(self, token: str, *, language: str, ip: str) -> bool:
        """Mail a fresh one-hour link to the address that an *unsubscribe* token stands for, within
        the caps. False: not a token of ours. True says nothing of whether mail was sent.
        Raises StoreTrouble."""

    async def view(self, token: str) -> OwnView | None:
        """What is on record; None: not a view token of ours, or older than an hour. Raises
        StoreTrouble."""

    async def stop(
        self, token: str, *, scope: str, scope_id: int, ip: str, user_agent: str
    ) -> OwnView | None:
        """Withdraw at that scope; durable and in force on return. None as ``view``, or for a scope
        that is not of this tenant. Raises StoreTrouble."""

    async def receipt(self, token: str) -> Json | None:
        """The record as a receipt for machines (see docs/reference); None as ``view``. Raises
        StoreTrouble."""
