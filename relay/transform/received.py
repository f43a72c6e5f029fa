"""Our trace field (RFC 5321 section 4.4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime

from relay.model import Client, Submission
from relay.transform.headers import field

_NOT_HELO = re.compile(r"[^A-Za-z0-9.:_\[\]-]")
_NOT_COMMENT = re.compile(r"[^A-Za-z0-9.:_@+=/ -]")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]")


def received_field(submission: Submission, hostname: str, when: float) -> bytes:
    """The whole folded ``Received:`` field with CRLF, for a submission taken at ``when``.

    ``when`` is in seconds since the epoch. What the client chose (HELO, user name, TLS names)
    appears with every octet that is not plainly harmless replaced by ``?``. The recipient is
    named only when there is one, so that no Bcc leaks.
    """
    client = submission.client
    helo = _NOT_HELO.sub("?", client.helo)[:255] or "unknown"
    lines = [f"from {helo} (unknown [{_literal(client.ip)}])"]
    if client.tls:
        protocol, _, cipher = _NOT_COMMENT.sub("?", client.tls).partition(" ")
        lines.append(
            f"(using {protocol} with cipher {cipher})" if cipher else f"(using {protocol})"
        )
    if client.authenticated and client.credential is not None:
        who = _NOT_COMMENT.sub("?", client.credential.username)[:255]
        lines.append(f"(Authenticated sender: {who})")
    protocol = _protocol(client, submission.smtputf8)
    lines.append(f"by {hostname} (consent-relay) with {protocol} id {submission.id}")
    if len(submission.recipients) == 1 and _showable(submission):
        lines.append(f"for <{submission.recipients[0].wire}>")
    lines[-1] += ";"
    lines.append(format_datetime(datetime.fromtimestamp(when, UTC)))
    return (
        b"\r\n\t".join([field("Received", lines[0])[:-2], *[line.encode() for line in lines[1:]]])
        + b"\r\n"
    )


def _literal(ip: str) -> str:
    return f"IPv6:{ip}" if ":" in ip else ip


def _protocol(client: Client, smtputf8: bool) -> str:
    """The ``with`` keyword (RFC 3848; RFC 6531 section 4.3)."""
    if not client.esmtp:
        return "SMTP"
    base = "UTF8SMTP" if smtputf8 else "ESMTP"
    return base + ("S" if client.tls else "") + ("A" if client.authenticated else "")


def _showable(submission: Submission) -> bool:
    wire = submission.recipients[0].wire
    return _UNPRINTABLE.search(wire) is None and (submission.smtputf8 or wire.isascii())
