"""What the public pages ask about an unsubscribe token, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from relay.model import ScopeLevel


@dataclass(frozen=True, slots=True)
class OptOutPage:
    """What a token in a mail may show: mail gets forwarded and archived."""

    sender: str
    """Name of the party that sends."""
    purpose: str
    """What the list sends, in the tenant's words; empty when the mail belonged to no list."""
    promise: str
    """How often, as ``N/day|week|month``; empty when nothing was promised."""
    address: str
    """Masked."""
    scope: ScopeLevel
    """How much stops: this list, everything under the brand, or everything of the sender."""
    brand: str
    """Name of the list's brand; empty when it has none."""
    contact: str
    """Mail address of the sender."""
    already_out: bool
    """An opt-out that covers this scope is in force."""
    wider: ScopeLevel | None = None
    """A wider stop to offer as second choice (clause B21); None when nothing wider is left."""


class OptOuts(Protocol):
    """Reads and executes unsubscribe tokens."""

    async def describe(self, token: str) -> OptOutPage | None:
        """What the token is for, or None when we never made it. Raises StoreTrouble."""

    async def withdraw(
        self,
        token: str,
        *,
        channel: str,
        ip: str,
        user_agent: str,
        scope: ScopeLevel | None = None,
    ) -> OptOutPage | None:
        """Close the widest consent that covered the mail; durable and in force on return, which
        says what has stopped now.

        ``channel`` is ``one-click`` or ``page``; ``ip`` and ``user_agent`` are evidence. ``scope``
        asks for a wider stop than that; a narrower one is not to be had (clause B21).
        Returns None when we never made the token. Raises StoreTrouble.
        """


class Health(Protocol):
    """Whether mail can be taken now."""

    def ready(self) -> tuple[bool, str]:
        """Yes or no, and a word for it: ``ready``, ``starting``, ``draining``, ``store``."""
