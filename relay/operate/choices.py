"""Words that a person may choose from."""

from __future__ import annotations

from enum import StrEnum

from relay.model import Action


class NoConsent(StrEnum):
    """What lack of consent may lead to."""

    QUARANTINE = "quarantine"
    REJECT = "reject"
    DROP = "drop"

    @property
    def action(self) -> Action:
        """As the judge knows it."""
        return Action[self.name]


class ListKind(StrEnum):
    """What a list may be declared to be."""

    COMMERCIAL = "commercial"
    TRANSACTIONAL = "transactional"
    DISCUSSION = "discussion"


class ReleaseKind(StrEnum):
    """What a person may say that a held message is."""

    TRANSACTIONAL = "transactional"
    PERSONAL = "personal"
