"""Delivery status notifications (RFC 3464, in a multipart/report of RFC 6522)."""

from __future__ import annotations

import quopri
import re
from collections.abc import Sequence
from email.utils import formatdate

from relay.egress.replies import sanitise
from relay.model import Copy, Kind, StoredMessage

_AUTO_SUBMITTED = re.compile(rb"^auto-submitted[ \t]*:[ \t\r\n]*([a-z-]+)", re.I | re.M)

ADVICE = (
    ("5.1.", "The address does not exist or is not written correctly. Check the spelling, and "
     "take the address off your lists."),
    ("5.2.2", "The mailbox is full. Try again later, or reach the recipient in another way."),
    ("5.2.", "The mailbox does not take mail. Reach the recipient in another way."),
    ("5.3.4", "The message is too large. Send a smaller one, or a link in place of attachments."),
    ("5.4.7", "The next mail server could not be reached, or asked to try again later, until the "
     "time for trying was over. Send the message again if it still matters."),
    ("4.", "The next mail server could not be reached, or asked to try again later, until the "
     "time for trying was over. Send the message again if it still matters."),
    ("5.6.", "The next mail server cannot handle the form of this message (its character set or "
     "encoding). Send it again in a simpler form."),
    ("5.7.", "The message was refused by a rule. The answer below says which one, and may hold "
     "a link that explains what to do."),
)  # fmt: skip
"""What to do, by the beginning of the RFC 3463 status; the first that fits."""
OTHER_ADVICE = "The answer below says why. Sending the same message again will not help."


def wants_notice(message: StoredMessage) -> bool:
    """Whether the sender of a failed message may be told.

    Never for the null reverse-path, nor for mail that a machine sent by itself: two machines
    would tell each other for ever (RFC 5321 6.1, RFC 3834 section 2).
    """
    if not message.mail_from or message.kind is Kind.AUTO:
        return False
    match = _AUTO_SUBMITTED.search(message.header)
    return match is None or match[1].lower() == b"no"


def failure_notice(
    message: StoredMessage,
    failures: Sequence[tuple[Copy, str, str]],
    *,
    hostname: str,
    now: float,
    unique: str,
    operator_contact: str,
) -> bytes:
    """A whole message, CRLF line ends, that tells the envelope sender what did not arrive.

    ``failures`` holds for each copy its RFC 3463 status and the diagnostic: what the upstream
    said, or our own refusal with its reason and the URL that explains it. ``now`` is epoch
    seconds; ``unique`` (letters, digits, dots) makes Message-ID and boundary. To be sent with the
    null reverse-path.
    """
    boundary = f"=_{unique}"
    head = [
        f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
        f"To: <{sanitise(message.mail_from)}>",
        "Subject: Undelivered Mail Returned to Sender",
        f"Date: {formatdate(now)}",
        f"Message-ID: <{unique}@{hostname}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary}"',
        "",
        "This is a delivery status notification in MIME format.",
        "",
    ]
    parts = (
        _part("text/plain; charset=utf-8", _human(message, failures, hostname, operator_contact)),
        _part("message/delivery-status", _status(message, failures, hostname, now)),
        _part("text/rfc822-headers", message.header.rstrip(b"\r\n") + b"\r\n"),
    )
    delimiter = f"--{boundary}".encode()
    body = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts)
    return "\r\n".join(head).encode("utf-8") + b"\r\n" + body + delimiter + b"--\r\n"


def _part(content_type: str, content: bytes) -> bytes:
    """A body part that needs no 8BITMIME of anybody."""
    encoding = "7bit"
    if not content.isascii() or any(len(line) > 998 for line in content.split(b"\r\n")):
        # RFC 6522 section 4 allows quoted-printable for header blocks that are not 7-bit.
        encoding = "quoted-printable"
        content = quopri.encodestring(content.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    head = f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + content


def _human(
    message: StoredMessage,
    failures: Sequence[tuple[Copy, str, str]],
    hostname: str,
    operator_contact: str,
) -> bytes:
    many = len(failures) > 1
    lines = [
        f"This is the mail system at {hostname}.",
        "",
        f"Your message of {formatdate(message.at)}",
        f"    Subject: {sanitise(message.subject) or '(none)'}",
        f"did not reach {'these recipients' if many else 'this recipient'}. "
        "It will not be tried again.",
        "",
    ]
    for copy, status, diagnostic in failures:
        lines += [
            f"<{sanitise(copy.recipient.wire)}>",
            f"    What to do: {_advice(status)}",
            f"    Answer: {sanitise(diagnostic)}",
            "",
        ]
    lines += [
        f"If this does not help, write to {sanitise(operator_contact)} and include this message.",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8")


def _advice(status: str) -> str:
    return next((text for prefix, text in ADVICE if status.startswith(prefix)), OTHER_ADVICE)


def _status(
    message: StoredMessage,
    failures: Sequence[tuple[Copy, str, str]],
    hostname: str,
    now: float,
) -> bytes:
    """Groups of fields with an empty line between (RFC 3464 section 2.1)."""
    groups = [[f"Reporting-MTA: dns; {hostname}", f"Arrival-Date: {formatdate(message.at)}"]]
    for copy, status, diagnostic in failures:
        # A diagnostic that begins with a reply code was said in SMTP; any other is our own word.
        spoken = "smtp" if re.match(r"[245][0-9]{2}\b", diagnostic) else "x-consent-relay"
        groups.append(
            [
                f"Final-Recipient: {_typed(sanitise(copy.recipient.wire))}",
                "Action: failed",
                f"Status: {status}",
                f"Diagnostic-Code: {spoken}; {_ascii(sanitise(diagnostic))}",
                f"Last-Attempt-Date: {formatdate(now)}",
            ]
        )
    return "\r\n\r\n".join("\r\n".join(group) for group in groups).encode("ascii") + b"\r\n"


def _typed(address: str) -> str:
    """RFC 6533 section 3: an address that is not ASCII is written as utf-8-addr-xtext."""
    if address.isascii():
        return f"rfc822; {address}"
    quoted = "".join(
        c if c.isascii() and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in address
    )
    return f"utf-8; {quoted}"


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")
