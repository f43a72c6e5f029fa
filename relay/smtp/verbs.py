"""What a command line looks like before anyone asks what it means."""

from __future__ import annotations

import re

COMMAND_LIMIT = 510
"""Octets of a command line without its end (RFC 5321 section 4.5.3.1.4)."""
COMMAND_LIMITS = {
    # RFC 1870 adds 26, RFC 6152 17, RFC 6531 10, RFC 4954 500.
    b"MAIL": COMMAND_LIMIT + 26 + 17 + 10 + 500,
    b"AUTH": 12_288,
}

_OTHER_PROTOCOLS = frozenset(
    {b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH", b"TRACE"}
    | {b"PRI", b"PROPFIND", b"USER"}
)
_FIELD_NAME = re.compile(rb"[A-Za-z0-9_-]+:")
# RFC 5321 section 4.1.2, and the underscore that many host names have.
_HELLO_NAME = re.compile(
    rb"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9_.])?|\[[0-9A-Za-z:.]{2,60}\]"
)


def is_too_long(verb: bytes, line: bytes) -> bool:
    """Whether a line, without its end, is longer than its command may be."""
    return len(line) > COMMAND_LIMITS.get(verb, COMMAND_LIMIT)


def is_other_protocol(verb: bytes, line: bytes) -> bool:
    """Whether a line that is no command of ours was never meant as SMTP.

    HTTP verbs, header fields, and what does not even begin with a letter, like a TLS handshake.
    """
    if verb in _OTHER_PROTOCOLS or _FIELD_NAME.match(line):
        return True
    return line != b"" and not line[:1].isalpha()


def hello_name(arg: bytes) -> str:
    """The client's name for itself, or ``unknown`` when it is none that may stand in a header."""
    return arg.decode("ascii") if _HELLO_NAME.fullmatch(arg) else "unknown"
