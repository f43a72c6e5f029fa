"""What the demo sends, and what must become of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SHOP = "shop.example"
"""Sender domain of the demo's tenant."""
NEWSLETTER, RECEIPTS = "newsletter", "receipts"
NEWS_FROM, RECEIPTS_FROM = f"news@{SHOP}", f"orders@{SHOP}"

ANNA, BOB, CARL, DORA = (f"{name}@people.example" for name in ("anna", "bob", "carl", "dora"))
"""Anna consented, Bob never said anything, Carl withdrew; Dora comes and goes."""
NO_BOX = "no-such-box@people.example"
"""The upstream refuses this one."""

BURST_SHOP = "burst.example"
BURST_ALLOWED, BURST_SENT = 3, 5
"""The second tenant may send three at once; the demo sends five."""


class Act(Enum):
    """What a person does before a message is sent."""

    SIGN_UP = "fills in the sign-up form"
    CONFIRM = "presses the button behind the link in the confirmation mail"
    ONE_CLICK = "presses the unsubscribe button of the mail program"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One message, and the fate that each recipient's copy must have."""

    name: str
    sender: str
    subject: str
    expected: tuple[tuple[str, str], ...]
    """Recipient and fate: sent, held, dropped, refused, bounced or waiting."""
    fields: tuple[tuple[str, str], ...] = ()
    """Further header fields."""
    first: Act | None = None
    """What the first recipient does before it is sent."""
    account: str = "shop"

    @property
    def recipients(self) -> list[str]:
        """Envelope recipients."""
        return [recipient for recipient, _ in self.expected]


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "newsletter to a person who consented", NEWS_FROM, "Recipes of May", ((ANNA, "sent"),)
    ),
    Scenario(
        "newsletter to a person who never said anything",
        NEWS_FROM,
        "Recipes of May",
        ((BOB, "held"),),
    ),
    Scenario(
        "newsletter to a person who withdrew", NEWS_FROM, "Recipes of May", ((CARL, "dropped"),)
    ),
    Scenario(
        "password reset to a person who withdrew",
        RECEIPTS_FROM,
        "Your new password",
        ((CARL, "sent"),),
    ),
    Scenario(
        "newsletter to all three at once",
        NEWS_FROM,
        "Recipes of June",
        ((ANNA, "sent"), (BOB, "held"), (CARL, "dropped")),
    ),
    Scenario("receipt", RECEIPTS_FROM, "Your order 1042", ((BOB, "sent"),)),
    Scenario(
        "mail in the name of a domain that is not the sender's",
        "ceo@bank.example",
        "Urgent payment",
        ((BOB, "refused"),),
    ),
    Scenario(
        "newsletter headers on the list for receipts",
        RECEIPTS_FROM,
        "Our best offers",
        ((BOB, "held"),),
        fields=(("List-Unsubscribe", f"<https://{SHOP}/leave>"),),
    ),
    Scenario(
        "receipt that the next server refuses",
        RECEIPTS_FROM,
        "Your order 1043",
        ((NO_BOX, "bounced"),),
    ),
    Scenario(
        "newsletter after a sign-up, before the confirmation",
        NEWS_FROM,
        "Recipes of July",
        ((DORA, "held"),),
        first=Act.SIGN_UP,
    ),
    Scenario(
        "newsletter after the confirmation",
        NEWS_FROM,
        "Recipes of August",
        ((DORA, "sent"),),
        first=Act.CONFIRM,
    ),
    Scenario(
        "newsletter after one-click",
        NEWS_FROM,
        "Recipes of September",
        ((DORA, "dropped"),),
        first=Act.ONE_CLICK,
    ),
    *(
        Scenario(
            f"burst over the sender's rate, {number} of {BURST_SENT}",
            f"hello@{BURST_SHOP}",
            f"Letter {number}",
            ((f"friend{number}@people.example", "sent" if number <= BURST_ALLOWED else "waiting"),),
            account="burst",
        )
        for number in range(1, BURST_SENT + 1)
    ),
)
