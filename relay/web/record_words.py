"""The ledger's words in people's words, for a person's own record; what is not here is shown as
it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _(text: str) -> str:
    """Mark ``text`` for the catalogues; it is translated when the page is rendered."""
    return text


STATES: Final[Mapping[str, str]] = {
    "granted": _("This mail may come to you."),
    "pending": _("You get no mail: this waits for your confirmation."),
    "expired": _("You get no mail: your consent has expired."),
    "withdrawn": _("You get no mail: you stopped it."),
    "suppressed": _("You get no mail: your address is blocked."),
    "complained": _("You get no mail: you reported it as spam."),
}

BASES: Final[Mapping[str, str]] = {
    "confirmed": _("You confirmed it with the link in a mail from us."),
    "approved": _("Recorded by a sign-up system that we approved."),
    "customer": _("You bought something there, and did not object."),
    "attested": _("The sender says that you agreed; we have no more than that."),
    "offline": _("Noted on paper or by telephone."),
}

EVENTS: Final[Mapping[str, str]] = {
    "consent.pending": _("Mail asked for with your address"),
    "confirmation.mailed": _("Confirmation mail sent to you"),
    "consent.granted": _("Consent recorded"),
    "copy.delivered": _("Mail delivered to you"),
    "optout": _("Mail stopped"),
    "complaint": _("Mail reported as spam"),
    "bounce": _("Mail came back"),
    "suppression": _("Address blocked"),
    "suppression.lifted": _("Block lifted"),
    "erasure": _("Address erased"),
}

CHANNELS: Final[Mapping[str, str]] = {
    "one-click": _("with the button of a mail program"),
    "page": _("with the button on our page"),
    "api": _("by the sender's software"),
    "hook": _("by the sender's software"),
    "import": _("from a file of the sender"),
    "command": _("by the operator"),
    "erasure": _("with the erasure of your data"),
}
