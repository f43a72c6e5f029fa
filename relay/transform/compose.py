"""The header block of one copy, complete but for the signature."""

from __future__ import annotations

from relay.model import Kind, MailingList, StoredMessage, Tenant
from relay.transform.headers import HeaderBlock, field
from relay.transform.signatures import without_broken
from relay.transform.unsubscribe import (
    feedback_field,
    list_id,
    list_id_in,
    unsubscribe_fields,
)

_REPLACED = (
    "list-unsubscribe",
    "list-unsubscribe-post",
    "feedback-id",
    "cfbl-address",
    "cfbl-feedback-id",
)


def compose(
    message: StoredMessage,
    *,
    tenant: Tenant,
    mailing_list: MailingList | None,
    kind: Kind,
    unsubscribe_url: str | None,
    hostname: str,
    feedback_id: str,
) -> bytes:
    """The header block of one copy, up to and including its empty line.

    Commercial mail gets List-Unsubscribe, List-Unsubscribe-Post, List-Id and Feedback-ID in place
    of the client's own and of its CFBL fields, and loses the client's DKIM-Signature where that
    breaks it. Mail of any other kind, and mail without ``unsubscribe_url``, leaves as it is
    stored. Raises ValueError when the URL cannot stand in a header field.
    """
    if kind is not Kind.COMMERCIAL or unsubscribe_url is None:
        return message.header
    block = HeaderBlock.parse(message.header)
    added = [
        *unsubscribe_fields(unsubscribe_url),
        feedback_field(mailing_list, tenant, kind, feedback_id),
    ]
    touched = {"list-unsubscribe", "list-unsubscribe-post", "feedback-id"}
    touched.update(found.name for found in block.fields if found.name in _REPLACED)
    block = block.without(*_REPLACED)
    if mailing_list is not None:
        wanted = list_id(mailing_list, tenant, hostname)
        if [list_id_in(value) for value in block.get("list-id")] != [wanted.lower()]:
            block = block.without("list-id")
            added.append(field("List-Id", f"<{wanted}>"))
            touched.add("list-id")
    return bytes(without_broken(block, touched).append(*added))
