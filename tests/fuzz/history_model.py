"""Who said what in a history, in which order, and what follows from that order alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from relay.decide.address import parse_address
from relay.model import Address, MailingList
from relay.store import scope_of

# No name of a tenant in them: pages are searched for those.
PEOPLE: Final = [parse_address(f"{name}@people.test") for name in ("anna", "anna+tag", "bob")]
CONFIRM_DAYS: Final = 7
DAY: Final = 86_400


@dataclass(frozen=True)
class Said:
    """What a person said themselves, at least: more may have stopped, never less."""

    number: int
    at: float
    yes: bool
    tenant: int
    person: Address
    brand: int | None
    list: int | None

    def covers(self, mailing_list: MailingList) -> bool:
        if self.list is not None:
            return self.list == mailing_list.id
        return self.brand is None or self.brand == mailing_list.brand_id


@dataclass
class Letter:
    """A confirmation mail that was posted."""

    number: int
    at: float
    tenant: int
    person: Address
    mailing_list: MailingList
    token: str
    arrived: bool = False
    used: bool = False


@dataclass
class Sent:
    """A message that the relay took."""

    tenant: str
    mailing_list: MailingList
    recipients: list[Address]


@dataclass
class Model:
    """Who said what; what a backup brings back is a copy of it."""

    said: list[Said] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    messages: dict[str, Sent] = field(default_factory=dict)
    sure: set[tuple[int, str, int]] = field(default_factory=set)
    """Tenant, mailbox and list of confirmations that nothing has undone."""
    lists: dict[str, list[MailingList]] = field(default_factory=dict)

    def may(self, tenant: int, person: Address, mailing_list: MailingList) -> bool:
        """Whether no opt-out, or the person's own later word, speaks for commercial mail."""
        here = [one for one in self.said if one.tenant == tenant and one.covers(mailing_list)]
        stops = [one for one in here if not one.yes and one.person.wide == person.wide]
        return not stops or any(
            one.yes
            and one.person.exact == person.exact
            and all(one.number > stop.number and one.at >= stop.at for stop in stops)
            for one in here
        )

    def dead(self, letter: Letter, now: float) -> bool:
        """Whether its button must not confirm anything any more."""
        newer = any(
            other.number > letter.number
            and (other.tenant, other.person.wide) == (letter.tenant, letter.person.wide)
            and scope_of(other.mailing_list) == scope_of(letter.mailing_list)
            for other in self.letters
        )
        left = any(
            not one.yes
            and one.number > letter.number
            and (one.tenant, one.person.wide) == (letter.tenant, letter.person.wide)
            and one.covers(letter.mailing_list)
            for one in self.said
        )
        late = now - letter.at > CONFIRM_DAYS * DAY
        return left or (not letter.used and (newer or late))

    def left_since(self, letter: Letter) -> bool:
        """Whether an opt-out came later, from whatever: it may have been wider than its words."""
        return any(
            not one.yes
            and one.number > letter.number
            and (one.tenant, one.person.wide) == (letter.tenant, letter.person.wide)
            for one in self.said
        )


def least(mailing_list: MailingList) -> tuple[int | None, int | None]:
    """What an opt-out from a mail of this list stops at least."""
    return mailing_list.brand_id, mailing_list.id


def spellings(tenant: int, person: Address) -> set[tuple[int, str]]:
    return {(tenant, one.exact) for one in PEOPLE if one.wide == person.wide}
