"""Every reply the front door gives, in one table, and how an outcome folds into one of them.

Codes are RFC 5321 section 4.2 with the enhanced codes of RFC 3463 and RFC 5248. No reply ever
holds an octet that the client sent: an echo is what cross-protocol attacks feed on.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from relay.model import Accepted, Action, Reason, Refusal, Verdict

TEXT_LIMIT = 300
"""Characters of free text in one reply; a line has 512 octets (RFC 5321 section 4.5.3.1.5)."""

_UNPRINTABLE = re.compile(r"[^ -~]")


class Reply(NamedTuple):
    """One reply line: basic code, enhanced code and text."""

    code: int
    enhanced: str
    """Empty only where RFC 2034 has none: greeting, HELO, EHLO, 334 and 354."""
    text: str

    def __str__(self) -> str:
        return (
            f"{self.code} {self.enhanced} {self.text}"
            if self.enhanced
            else f"{self.code} {self.text}"
        )

    @property
    def is_error(self) -> bool:
        """Whether the client did something wrong (as against our trouble or a limit)."""
        return self.code >= 500


OK = Reply(250, "2.0.0", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
BYE = Reply(221, "2.0.0", "Bye")
TLS_READY = Reply(220, "2.0.0", "Ready to start TLS")
AUTHENTICATED = Reply(235, "2.7.0", "Authentication successful")
VRFY = Reply(252, "2.0.0", "Cannot verify, send some mail and find out")
START_DATA = Reply(354, "", "End data with <CR><LF>.<CR><LF>")

LINE_TOO_LONG = Reply(500, "5.5.2", "Command line too long")
AUTH_LINE_TOO_LONG = Reply(500, "5.5.6", "Authentication exchange line too long")
BARE_NEWLINE = Reply(500, "5.5.2", "Command line not ended by <CR><LF>")
UNKNOWN_COMMAND = Reply(502, "5.5.1", "Command not implemented")
BDAT = Reply(502, "5.5.1", "BDAT is not offered here")
NOT_SMTP = Reply(554, "5.5.0", "This is an SMTP server")
EARLY_DATA = Reply(554, "5.5.0", "Message data sent before 354")

HELLO_FIRST = Reply(503, "5.5.1", "Send HELO or EHLO first")
EHLO_FIRST = Reply(503, "5.5.1", "Send EHLO first")
MAIL_FIRST = Reply(503, "5.5.1", "Send MAIL first")
RECIPIENT_FIRST = Reply(503, "5.5.1", "Need a valid recipient first")
NESTED_MAIL = Reply(503, "5.5.1", "Sender already given")
AUTH_IN_TRANSACTION = Reply(503, "5.5.1", "No AUTH during a mail transaction")
ALREADY_AUTHENTICATED = Reply(503, "5.5.1", "Already authenticated")
TLS_ACTIVE = Reply(503, "5.5.1", "TLS already active")
NO_STARTTLS = Reply(502, "5.5.1", "STARTTLS is not offered here")

NO_ARGUMENT_ALLOWED = Reply(501, "5.5.4", "This command takes no argument")
HELLO_SYNTAX = Reply(501, "5.5.4", "Syntax: EHLO hostname")
MAIL_SYNTAX = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address>")
RCPT_SYNTAX = Reply(501, "5.5.4", "Syntax: RCPT TO:<address>")
BAD_PARAMETER = Reply(501, "5.5.4", "Bad parameter")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "Parameter not recognised")
BAD_SENDER = Reply(501, "5.1.7", "Bad sender address syntax")
BAD_RECIPIENT = Reply(501, "5.1.3", "Bad recipient address syntax")
NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "Address needs SMTPUTF8 on MAIL")

AUTH_REQUIRED = Reply(530, "5.7.0", "Authentication required")
TLS_REQUIRED = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "Encryption required for authentication")
AUTH_FAILED = Reply(535, "5.7.8", "Authentication credentials invalid")
AUTH_SYNTAX = Reply(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]")
AUTH_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_UNDECODABLE = Reply(501, "5.5.2", "Cannot decode authentication response")
AUTH_UNKNOWN = Reply(504, "5.5.4", "Authentication mechanism not supported")

TOO_LARGE = Reply(552, "5.3.4", "Message too large")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients")
TOO_BUSY = Reply(452, "4.3.1", "Too much mail in flight, try again shortly")
DISK_FULL = Reply(452, "4.3.1", "No room to store mail, try again later")

TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "Too many connections")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors")
TOO_MANY_AUTH_FAILURES = Reply(421, "4.7.0", "Too many authentication failures")
TIMED_OUT = Reply(421, "4.4.2", "Timeout, closing")
SHUTTING_DOWN = Reply(421, "4.3.2", "Shutting down, try again shortly")

_BAD_CONTENT = Reply(550, "5.6.0", "Message content cannot be taken")
_CONTENT_PROBLEMS = {
    "bare-newline": Reply(550, "5.5.2", "Message holds a bare CR or LF"),
    "long-line": Reply(550, "5.6.0", "Message holds a line over 998 octets"),
    "nul": Reply(550, "5.6.0", "Message holds a NUL octet"),
    "header": Reply(550, "5.6.0", "Message header cannot be read"),
    "header-too-large": Reply(552, "5.3.4", "Message header too large"),
}

_POLICY_CODES = {
    Reason.SUSPENDED: (450, "4.7.1"),
    Reason.FOREIGN_SENDER: (553, "5.7.1"),
    Reason.RATE: (451, "4.7.1"),
    Reason.WARM_UP: (451, "4.7.1"),
    Reason.QUOTA: (452, "4.3.1"),
    Reason.LOOP: (554, "5.4.6"),
    Reason.INTERNAL: (451, "4.3.0"),
}
"""Where a reason has a code of its own; every other one is 550 5.7.1."""

_REASON_TEXTS = {
    Reason.NO_CONSENT: "No consent of this recipient on record",
    Reason.PENDING: "Recipient has not confirmed yet",
    Reason.EXPIRED: "Consent of this recipient has expired",
    Reason.WITHDRAWN: "Recipient has unsubscribed",
    Reason.COMPLAINED: "Recipient has complained about this sender",
    Reason.SUPPRESSED: "Recipient is suppressed",
    Reason.BASIS_TOO_WEAK: "Consent of this recipient is not well enough founded",
    Reason.OVER_PROMISE: "More mail than was promised to this recipient",
    Reason.IDENTITY: "Message does not say who sends it",
    Reason.REPLY_TO: "Message has no address that takes replies",
    Reason.FROM_NAME: "From name is not the registered one",
    Reason.FOREIGN_SENDER: "Sender domain is not registered for this client",
    Reason.UNKNOWN_LIST: "No list of that name",
    Reason.MISLEADING: "Message is misleading",
    Reason.UNMARKED_BULK: "Bulk mail on a list for single messages",
    Reason.PERSONAL_LIMIT: "Daily limit of personal mail reached",
    Reason.COLD_OPT_IN: "Unasked request for consent",
    Reason.THIRD_PARTY: "Message of a third party without consent for it",
    Reason.SUSPENDED: "Sending is suspended",
    Reason.RATE: "Sending too fast, try again later",
    Reason.QUOTA: "Quota full",
    Reason.WARM_UP: "Limit of the warm-up period reached, try again later",
    Reason.LOOP: "Mail loop",
    Reason.INTERNAL: "Cannot decide now, try again later",
}


def greeting(hostname: str) -> Reply:
    """The banner for a new connection."""
    return Reply(220, "", f"{hostname} ESMTP")


def hello(hostname: str, extensions: tuple[str, ...] = ()) -> str:
    """The reply to HELO (no extensions) or EHLO, several lines without the last CRLF."""
    lines = (hostname, *extensions)
    return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])


def challenge(prompt: str) -> Reply:
    """A step of an AUTH exchange; ``prompt`` is base64 (RFC 4954 section 4)."""
    return Reply(334, "", prompt)


def trouble(incident: str) -> Reply:
    """Our own trouble: never a 5xx, no internals, an id that the log has too."""
    return Reply(451, "4.3.0", f"Temporary trouble here, try again later ({incident})")


def closing(incident: str) -> Reply:
    """Our own trouble where the session cannot go on."""
    return Reply(421, "4.3.0", f"Temporary trouble here, closing ({incident})")


def content_problem(problem: str) -> Reply:
    """The reply for ``ports.ContentProblem.problem``."""
    return _CONTENT_PROBLEMS.get(problem, _BAD_CONTENT)


def fold(outcome: Accepted | Refusal, public_url: str) -> Reply:
    """The one reply for all recipients of a transaction.

    Something that we cannot know now defers all; all refused is 550 with the first reason; a
    mixture is 250 with the counts, those above zero.
    """
    if isinstance(outcome, Refusal):
        code, enhanced = _POLICY_CODES.get(outcome.reason, (550, "5.7.1"))
        return _policy(code, enhanced, outcome.reason, outcome.text, public_url)
    deferred = next((v for v in outcome.verdicts if v.action is Action.DEFER), None)
    if deferred is not None:
        return _verdict(deferred, 4, (451, "4.3.0"), public_url)
    counts = Counter(verdict.action for verdict in outcome.verdicts)
    if counts[Action.REJECT] and counts[Action.REJECT] == len(outcome.verdicts):
        return _verdict(outcome.verdicts[0], 5, (550, "5.7.1"), public_url)
    shown = (
        ("sent", counts[Action.DELIVER]),
        ("held", counts[Action.QUARANTINE]),
        ("dropped", counts[Action.DROP]),
        ("delayed", counts[Action.DELAY]),
        ("refused", counts[Action.REJECT]),
    )
    words = "".join(f" {word}={count}" for word, count in shown if count)
    return Reply(250, "2.0.0", f"Ok: {outcome.id}{words}")


def _verdict(verdict: Verdict, digit: int, otherwise: tuple[int, str], public_url: str) -> Reply:
    reason = verdict.reason or Reason.INTERNAL
    code, enhanced = _POLICY_CODES.get(reason, otherwise)
    if code // 100 != digit:
        # The verdict's action says whether trying again helps; the reason only says why.
        code, enhanced = otherwise
    return _policy(code, enhanced, reason, _REASON_TEXTS[reason], public_url)


def _policy(code: int, enhanced: str, reason: Reason, text: str, public_url: str) -> Reply:
    words = f"{_UNPRINTABLE.sub('?', text)[:TEXT_LIMIT]} reason={reason.value}"
    if code >= 500:
        words += f" {public_url.rstrip('/')}/why/{reason.value}"
    return Reply(code, enhanced, words)
