"""Small values that the tests of ``relay.decide`` vary one field at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relay.decide.address import parse_address
from relay.decide.rulebook import Policy, load
from relay.decide.rulebook import compile as compile_books
from relay.decide.terms import Case
from relay.model import (
    Act,
    Basis,
    Classification,
    Credential,
    Directory,
    Kind,
    MailingList,
    Message,
    Party,
    SenderDomain,
    Standing,
    StandingState,
    Tenant,
)

POLICIES = Path(__file__).parents[3] / "policies"

TENANT = Tenant(1, "acme", Party("Acme", "Street 1", "boss@acme-contact.test"))
OTHER = Tenant(2, "other", Party("Other", "Street 2", "boss@other.test"))
OPERATOR = Tenant(
    9, "operator", Party("Operator", "Street 9", "postmaster@host.test"), is_operator=True
)

NEWS = MailingList(11, 1, "news", Kind.COMMERCIAL, "News", "1/week", brand_id=5)
SHOP = MailingList(
    12, 1, "shop", Kind.TRANSACTIONAL, "Receipts", "9/day", from_address="shop@acme.test"
)
TALK = MailingList(13, 1, "talk", Kind.DISCUSSION, "Talk", "9/day", list_id="talk.acme.test")
OLD = MailingList(14, 1, "old", Kind.COMMERCIAL, "Old", "1/week", archived=True)
THEIRS = MailingList(21, 2, "theirs", Kind.TRANSACTIONAL, "x", "1/day", list_id="theirs.other.test")

DIRECTORY = Directory(
    tenants={tenant.id: tenant for tenant in (TENANT, OTHER, OPERATOR)},
    lists={one.id: one for one in (NEWS, SHOP, TALK, OLD, THEIRS)},
    domains={
        "acme.test": SenderDomain(1, "acme.test", "s1"),
        "other.test": SenderDomain(2, "other.test", "s1"),
        "host.test": SenderDomain(9, "host.test", "s1"),
    },
)

OWN = Credential(1, "acme-web", 1)
BOUND = Credential(2, "acme-news", 1, list_id=11)
GATEWAY = Credential(3, "web01", None, gateway=True)

NOW = 1_000_000.0


def message(**changes: Any) -> Message:
    """A plain letter from the tenant, with ``changes``."""
    fields: dict[str, Any] = {
        "from_addresses": (parse_address("jan@acme.test"),),
        "from_valid": True,
        "sender": None,
        "subject": "Hello",
        "list_id": None,
        "list_unsubscribe": None,
        "list_unsubscribe_post": False,
        "addressees": (),
        "feedback_id": False,
        "campaign_fields": (),
        "precedence": None,
        "auto_submitted": None,
        "content_type": "text/plain",
        "received_count": 1,
        "own_received_count": 0,
        "consent_list": None,
        "consent_kind": None,
    }
    return Message(**(fields | changes))


def case(**changes: Any) -> Case:
    """An inferred personal letter to one stranger, with ``changes``."""
    fields: dict[str, Any] = {
        "classification": Classification(Kind.PERSONAL, False, ()),
        "message": message(),
        "tenant": TENANT,
        "recipient": parse_address("someone@example.test"),
        "recipient_count": 1,
        "standing": Standing(StandingState.ABSENT),
        "internal": False,
        "null_sender": False,
        "sender_owned": True,
        "personal_limit": 200,
        "max_received": 50,
    }
    return Case(**(fields | changes))


def act(state: StandingState, at: float, event: int, **changes: Any) -> Act:
    """An act on record, tenant-wide for tenant 1 unless ``changes`` say otherwise."""
    fields: dict[str, Any] = {"tenant_id": 1, "basis": Basis.NONE}
    return Act(state=state, at=at, event_id=event, **(fields | changes))


def shipped() -> Policy:
    """The two shipped rulebooks, as every tenant has them."""
    return compile_books(
        [
            load(name, (POLICIES / f"{name}.toml").read_text("utf-8"), f"{name}.toml")
            for name in ("base", "strict-opt-in")
        ]
    )
