"""What the confirmation page asks about a token, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from relay.web.asking import NoticePage


@dataclass(frozen=True, slots=True)
class ConfirmPage:
    """What the bearer of a confirmation token sees."""

    notice: NoticePage
    """The version that was shown at sign-up."""
    address: str
    """Masked."""
    confirmed: bool
    """This very request was confirmed, by what may be a person; another press changes nothing."""


class Confirmations(Protocol):
    """Reads and uses confirmation tokens (``relay.consent.opt_in``)."""

    async def fetch(self, token: str, *, ip: str, user_agent: str) -> ConfirmPage | None:
        """What the token asks; notes for the evidence that the page was fetched, and changes
        nothing else. None: not a token of ours, or dead. Raises StoreTrouble."""

    async def peek(self, token: str) -> ConfirmPage | None:
        """As ``fetch``, without a trace (HEAD). Raises StoreTrouble."""

    async def confirm(self, token: str, *, ip: str, user_agent: str) -> ConfirmPage | None:
        """Record the confirmation; durable and in force on return. None: not a token of ours, or
        dead (used up by a newer request, an opt-out since, or older than the limit). A token that
        has confirmed already confirms nothing anew; what is certainly a machine's press leaves the
        page as it is, with its button. Raises StoreTrouble."""
