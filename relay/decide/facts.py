"""What the header block says, read once: the first step of every decision.

The block is normalised before it gets here (CRLF line ends, no NUL). One pass over its lines
keeps the handful of fields that decisions need; nothing is parsed that nobody asks for.
"""

from __future__ import annotations

import re

from relay.decide.mailboxes import Mailbox, MailboxError, decoded, read_mailboxes
from relay.model import Address, Message

_SUBJECT_LENGTH = 200
_VALUE_LENGTH = 998

_WANTED = frozenset(
    {
        b"from",
        b"sender",
        b"to",
        b"cc",
        b"subject",
        b"list-id",
        b"list-unsubscribe",
        b"list-unsubscribe-post",
        b"feedback-id",
        b"precedence",
        b"auto-submitted",
        b"content-type",
        b"received",
        b"x-consent-list",
        b"x-consent-kind",
    }
)

CAMPAIGN_FIELDS = frozenset(
    {
        # Mailchimp, Constant Contact, and tools that copied the name
        "x-campaign",
        "x-campaignid",
        "x-campaign-id",
        "x-mc-user",
        "x-roving-campaignid",
        "x-mailin-campaign",  # Brevo
        "x-listmonk-campaign",
        "x-newsletter-email-id",  # The Newsletter Plugin (WordPress)
        "x-mailster-campaign",  # Mailster (WordPress)
        "x-mw-campaign-uid",  # MailWizz
        "x-civimail-bounce",  # CiviMail: mailings only, not CiviCRM's receipts
        "x-mailer-lid",  # Interspire
    }
)
"""Fields that campaign software sets on mailings and on nothing else (lower case).

Left out on purpose, since receipts and password resets carry them as well: X-SG-EID (SendGrid),
X-Mailgun-Tag, X-MC-Tags and X-Mandrill-User (Mandrill), X-Mailjet-Campaign, X-MSYS-API
(SparkPost), X-SFMC-Stack, X-Kmail-Account (Klaviyo), X-ListMember (phpList's confirmations).
"""
_CAMPAIGN_FIELDS = frozenset(name.encode() for name in CAMPAIGN_FIELDS)

_BY = re.compile(r"(?:^|[\s)])by\s+([^\s;()]+)", re.IGNORECASE)
_ANGLE = re.compile(r"<([^<>]*)>")

_Fields = dict[bytes, list[bytes]]


def read_message(header: bytes, hostname: str) -> Message:
    """Facts from a normalised header block (octets, CRLF, with its final empty line).

    ``hostname`` is our own name, for counting our Received lines. Never raises: what cannot be
    read is absent, except that From or Sender which cannot be read whole makes ``from_valid``
    False, so that nobody passes the sender check by being illegible.
    """
    fields, campaign = _collect(header)
    authors, from_valid = _authors(fields)
    sender, sender_valid = _sender(fields)
    received = fields.get(b"received", [])
    one_click = b"list-unsubscribe-post" in fields
    return Message(
        from_addresses=tuple(author.address for author in authors),
        from_valid=from_valid and sender_valid,
        sender=sender,
        subject=decoded(_text(fields, b"subject") or "", _SUBJECT_LENGTH),
        list_id=_list_id(fields),
        list_unsubscribe=_value(fields, b"list-unsubscribe"),
        list_unsubscribe_post=one_click,
        addressees=_addressees(fields) if one_click else (),
        feedback_id=b"feedback-id" in fields,
        campaign_fields=campaign,
        precedence=_keyword(fields, b"precedence"),
        auto_submitted=_auto_submitted(fields),
        content_type=_keyword(fields, b"content-type") or "text/plain",
        received_count=len(received),
        own_received_count=_count_own(received, hostname),
        consent_list=_value(fields, b"x-consent-list"),
        consent_kind=_consent_kind(fields),
    )


def _collect(header: bytes) -> tuple[_Fields, tuple[str, ...]]:
    """The raw values of the fields we need, folds removed, and the campaign fields present."""
    lines_of: dict[bytes, list[list[bytes]]] = {}
    campaign: dict[str, None] = {}
    value_lines: list[bytes] | None = None
    for line in header.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            if value_lines is not None:
                value_lines.append(line)
            continue
        value_lines = None
        name, colon, value = line.partition(b":")
        if not colon:
            if not line:
                break
            continue
        # RFC 5322 4.5.8: obsolete "From :" is still From to many readers.
        key = name.rstrip(b" \t").lower()
        if key in _WANTED:
            value_lines = [value]
            lines_of.setdefault(key, []).append(value_lines)
        elif key in _CAMPAIGN_FIELDS:
            campaign[key.decode("ascii")] = None
    fields = {key: [b"".join(lines) for lines in found] for key, found in lines_of.items()}
    return fields, tuple(campaign)


def _text(fields: _Fields, name: bytes) -> str | None:
    """The first field of that name as text; octets that are no UTF-8 become U+FFFD."""
    values = fields.get(name)
    return values[0].decode("utf-8", "replace").strip() if values else None


def _value(fields: _Fields, name: bytes) -> str | None:
    """As ``_text``, bounded; None when the field is empty."""
    text = _text(fields, name)
    return text[:_VALUE_LENGTH] if text else None


def _keyword(fields: _Fields, name: bytes) -> str | None:
    """The first word of a field with parameters, lower case; None when there is none."""
    text = _value(fields, name)
    return text.partition(";")[0].strip().lower() or None if text else None


def _mailboxes(fields: _Fields, name: bytes) -> tuple[Mailbox, ...]:
    """The mailboxes of a field that may stand once. Raises MailboxError."""
    values = fields.get(name, [])
    if len(values) > 1:
        raise MailboxError("the field is repeated")
    return read_mailboxes(values[0].decode("utf-8", "replace")) if values else ()


def _mailboxes_or_none(fields: _Fields, name: bytes) -> tuple[Mailbox, ...]:
    try:
        return _mailboxes(fields, name)
    except MailboxError:
        return ()


def _addressees(fields: _Fields) -> tuple[Address, ...]:
    boxes = (*_mailboxes_or_none(fields, b"to"), *_mailboxes_or_none(fields, b"cc"))
    return tuple(box.address for box in boxes)


def _authors(fields: _Fields) -> tuple[tuple[Mailbox, ...], bool]:
    try:
        authors = _mailboxes(fields, b"from")
    except MailboxError:
        return (), False
    return authors, bool(authors)


def _sender(fields: _Fields) -> tuple[Address | None, bool]:
    """The Sender mailbox, and whether the field was absent or one legible mailbox."""
    if b"sender" not in fields:
        return None, True
    boxes = _mailboxes_or_none(fields, b"sender")
    return (boxes[0].address, True) if len(boxes) == 1 else (None, False)


def _list_id(fields: _Fields) -> str | None:
    """The identifier of RFC 2919, without its phrase and angle brackets, lower case."""
    text = _value(fields, b"list-id")
    if text is None:
        return None
    angle = _ANGLE.search(text)
    return (angle[1] if angle else text).strip().lower() or None


def _auto_submitted(fields: _Fields) -> str | None:
    """RFC 3834 section 5; a trailing comment or parameter says nothing to us."""
    keyword = (_keyword(fields, b"auto-submitted") or "").partition("(")[0].strip()
    return keyword if keyword not in ("", "no") else None


def _consent_kind(fields: _Fields) -> str | None:
    """When clients repeat the field, the strictest counts."""
    kinds = [
        value.decode("utf-8", "replace").strip() for value in fields.get(b"x-consent-kind", [])
    ]
    kinds = [kind.lower()[:_VALUE_LENGTH] for kind in kinds if kind]
    if "commercial" in kinds:
        return "commercial"
    return kinds[0] if kinds else None


def _count_own(received: list[bytes], hostname: str) -> int:
    """How many Received fields name us in their ``by`` clause (RFC 5321 section 4.4)."""
    ours = hostname.lower().rstrip(".")
    needle = ours.encode("utf-8", "replace")
    count = 0
    for value in received:
        if needle in value.lower():
            text = value[:_VALUE_LENGTH].decode("utf-8", "replace")
            count += any(by.lower().rstrip(".") == ours for by in _BY.findall(text))
    return count
