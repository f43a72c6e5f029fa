"""What the ledger says of copies: which were dropped, and which consent let a copy leave."""

from __future__ import annotations

from relay.model import Copy, MailingList, Reason, StoredMessage, SubjectKeys, Verdict
from relay.ports import NewEvent


def dropped(
    tenant_id: int,
    copy_id: str,
    keys: SubjectKeys,
    *,
    reason: Reason | None,
    rule: str | None,
    at: float,
) -> NewEvent:
    """``copy.dropped``; ``at`` in seconds since the epoch."""
    data = {"copy": copy_id, "reason": str(reason), "rule": rule}
    return NewEvent(tenant_id, "copy.dropped", at, keys, data)


def delivered(
    message: StoredMessage,
    copy: Copy,
    keys: SubjectKeys,
    mailing_list: MailingList | None,
    *,
    verdict: Verdict | None,
    as_of: int | None,
    at: float,
) -> NewEvent:
    """``copy.delivered``: binds a commercial copy to the consent and the rules that let it go
    (clauses A2, B1).

    ``verdict`` let it go, or with None the one of acceptance, which the copy holds; ``as_of`` is
    the last event in force when it left, ``at`` in seconds since the epoch.
    """
    return NewEvent(
        message.tenant_id,
        "copy.delivered",
        at,
        keys,
        {
            "copy": copy.id,
            "message_id": message.id,
            "brand": mailing_list.brand_id if mailing_list is not None else None,
            "list": message.list_id,
            "consent": copy.consent_event if verdict is None else verdict.consent_event,
            "rulebooks": copy.digest if verdict is None else verdict.digest,
            "as_of": as_of,
        },
    )
