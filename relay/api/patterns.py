"""The forms that strings in requests must have, and how to say so to a person."""

from __future__ import annotations

from typing import Final

ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""What stands in one line of a log or header stays in one line."""
WEB_ADDRESS: Final = r"^https?://[!-~]+$"
LANGUAGE: Final = r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$"
SLUG: Final = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
SHA256: Final = r"^[0-9a-fA-F]{64}$"
VISIBLE: Final = r"^[!-~]+$"

WANTED: Final = {
    ONE_LINE: "one line without control characters",
    WEB_ADDRESS: "an address that begins with https:// or http://, with everything that is not"
    " ASCII percent-encoded",
    LANGUAGE: "a language tag, such as nl or en-GB",
    SLUG: "lower-case letters, digits and inner hyphens",
    SHA256: "a SHA-256 in hex: 64 digits",
    VISIBLE: "visible ASCII characters, without spaces",
}
"""What each of them stands for."""
