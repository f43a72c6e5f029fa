"""What the sign-up form asks, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from relay.model import ScopeLevel


@dataclass(frozen=True, slots=True)
class NoticePage:
    """A notice as a person is shown it before consenting (clauses B5, B7-B11, B30)."""

    number: int
    """The version's id: comes back with the form, so that the consent points at what was shown."""
    language: str
    """Of the tenant's words: ``en`` or ``nl``."""
    list_slug: str
    sender: str
    """Name of the party that will send; of the brand where the list has one."""
    party: str
    """Name of the legal person behind it."""
    postal_address: str
    registration: str
    """Empty when there is none."""
    contact: str
    """Mail address of the tenant."""
    purpose: str
    """What is sent."""
    promise: str
    """How often: ``N/day|week|month``."""
    third_parties: str
    """Named parties that the address is given to; empty: to nobody."""
    question: str
    """The text beside the box that the person ticks; never ticked beforehand (B7)."""
    scope: ScopeLevel
    """What the consent covers (B21)."""


@dataclass(frozen=True, slots=True)
class SignUpRequest:
    """One person's request for mail, as it came in."""

    tenant: str
    """Slug."""
    mailing_list: str
    """Slug."""
    address: str
    """As typed."""
    notice: int | None
    """Id of the version that was shown; None: the list's current one."""
    language: str
    """In which the person is to be answered."""
    ip: str
    user_agent: str
    form_url: str
    """Where the form stands; ours or the tenant's."""
    act: str
    """What the person did, e.g. ``ticked the box and pressed the button``; ``api`` if unknown."""


class Asked(StrEnum):
    """What came of a request. Never depends on whether the address is known."""

    TAKEN = "taken"
    """Mail is on its way, unless a cap or a suppression forbids it; nobody outside learns which."""
    BAD_ADDRESS = "bad-address"
    UNKNOWN_LIST = "unknown-list"
    """No such tenant or list, or not one that consent is asked for."""
    NO_SENDER = "no-sender"
    """The tenant has no sender domain: the confirmation mail could not be signed for it."""
    UNKNOWN_NOTICE = "unknown-notice"
    """Not a version of this list's notice."""
    TOO_MANY = "too-many"
    """The client's network asks for too many addresses: says nothing about any of them."""


class SignUps(Protocol):
    """Takes requests for consent (``relay.consent.opt_in``)."""

    async def notice(self, tenant: str, mailing_list: str, language: str) -> NoticePage | None:
        """The current notice of a list, in the language nearest to ``language``; stored as a
        version before it is shown. None when there is no such form. Raises StoreTrouble."""

    async def ask(self, request: SignUpRequest) -> Asked:
        """Record the request and send the confirmation mail; durable on return.

        Raises StoreTrouble.
        """
