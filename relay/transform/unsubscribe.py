"""The fields by which a recipient, and their mail provider, can tell and leave a mailing."""

from __future__ import annotations

import re

from relay.model import Kind, MailingList, Tenant
from relay.transform.headers import field
from relay.transform.lines import MAX_LINE

_URL = re.compile(r"https?://[!-;=?-~]+")
_LIST_ID = re.compile(rb"<([^<>]*)>[^<>]*$")


def unsubscribe_fields(url: str) -> tuple[bytes, bytes]:
    """``List-Unsubscribe`` and ``List-Unsubscribe-Post`` for one recipient (RFC 8058 section 3.1).

    The URL stands on one line: several receivers do not unfold it. Raises ValueError when ``url``
    is not an http(s) URL of printable ASCII that fits.
    """
    if not _URL.fullmatch(url):
        raise ValueError("not a URL that can stand in List-Unsubscribe")
    line = field("List-Unsubscribe", f"<{url}>")
    if len(line) - 2 > MAX_LINE:
        raise ValueError("unsubscribe URL too long for one line")
    return line, field("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")


def list_id(mailing_list: MailingList, tenant: Tenant, hostname: str) -> str:
    """The List-Id of a list (RFC 2919), without brackets: the registered one, else a stable own."""
    return mailing_list.list_id or f"{mailing_list.slug}.{tenant.slug}.{hostname}"


def list_id_in(value: bytes) -> str | None:
    """The id that a List-Id field's value names (lower case), or None."""
    match = _LIST_ID.search(value)
    return match[1].strip().lower().decode("utf-8", "replace") if match else None


def feedback_field(
    mailing_list: MailingList | None, tenant: Tenant, kind: Kind, sender_id: str
) -> bytes:
    """``Feedback-ID: LIST:TENANT:KIND:SENDERID``, under which Gmail reports complaint rates.

    At most four parts, the last the same on all mail; a message without a list says ``none``.
    """
    slug = mailing_list.slug if mailing_list else "none"
    return field("Feedback-ID", f"{slug}:{tenant.slug}:{kind.value}:{sender_id}")
