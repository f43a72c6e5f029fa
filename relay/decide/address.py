"""Mailboxes: our own RFC 5321 grammar, and the two keys under which we know a person.

What the grammar takes is what goes upstream, octet for octet, and what it cannot key it refuses:
an address spelled one way for the consent record and another way for the next MTA would be a way
around every opt-out.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import lru_cache

import idna

from relay.model import Address

MAX_LOCAL = 64
"""Octets of a local part (RFC 5321 section 4.5.3.1.1)."""
MAX_DOMAIN = 255
"""Octets of a domain (RFC 5321 section 4.5.3.1.2)."""
MAX_ADDRESS = 254
"""Octets of a mailbox, so that the path around it stays within 256 (section 4.5.3.1.3)."""

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~-"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = re.compile(rf"([{_ATEXT}]+(?:\.[{_ATEXT}]+)*)@((?:{_LABEL}\.)*{_LABEL})")
_DOT_STRING = re.compile(rf"[\x80-\U0010ffff{_ATEXT}]+(?:\.[\x80-\U0010ffff{_ATEXT}]+)*")
# qtextSMTP and quoted-pairSMTP, with RFC 6531's UTF8-non-ascii in the former.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*)"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_TO_QUOTE = re.compile(r'["\\]')
_ASCII_LABEL = re.compile(_LABEL)

_GMAIL = frozenset({"gmail.com", "googlemail.com"})

# Characters that show nothing and are in none of the refused categories: combining grapheme
# joiner, Hangul fillers, Khmer inherent vowels, Mongolian and general variation selectors, the
# blank Braille pattern; and the replacement character, which means that octets were lost.
_INVISIBLE = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0xFFFD),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})

# Alphabets with letters that look alike: two of them in one word is a disguise.
_LOOKALIKE_SCRIPTS = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE", "COPTIC"})


class AddressError(ValueError):
    """Not a mailbox that we can key; the text says why, without repeating the input."""


@lru_cache(maxsize=16_384)
def parse_address(text: str) -> Address:
    """Read one RFC 5321 Mailbox (an addr-spec, no angle brackets) strictly.

    Takes ASCII or RFC 6531 text. No comments, source routes, folding or encoded-words: the local
    part is opaque. Domains become A-labels (UTS #46, non-transitional). Raises AddressError.
    """
    if len(text) > MAX_ADDRESS:
        raise AddressError(f"the address is longer than {MAX_ADDRESS} octets")
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        local, domain = plain[1], plain[2].lower()
        if "xn--" not in domain and not _ends_in_number(domain):
            _check_lengths(text, local, domain)
            return _keyed(text, local, domain)
    return _parse_any(text)


def mask(address_text: str) -> str:
    """An address for a page that others may see: ``jane@example.nl`` → ``j•••@e••••••.nl``.

    The number of dots says nothing about the length. Takes any text, raises nothing.
    """
    local, at, domain = address_text.rpartition("@")
    if not at or not local or not domain:
        return "•••"
    if domain.startswith("["):
        return f"{local[0]}•••@[••••••]"
    _, dot, top = domain.rstrip(".").rpartition(".")
    return f"{local[0]}•••@{domain[0]}••••••{dot}{top if dot else ''}"


def one_spelling(address_text: str) -> str:
    """The spelling that all spellings of a mailbox share: lower case, A-labels, quoted only where
    it must be. Of two tenants neither learns from it how the other wrote the address.

    Takes any text, raises nothing.
    """
    try:
        local, _, domain = parse_address(address_text).exact.rpartition("@")
    except AddressError:
        return address_text.lower()
    if _DOT_STRING.fullmatch(local) is None:
        local = '"{}"'.format(_TO_QUOTE.sub(r"\\\g<0>", local))
    return f"{local}@{domain}"


def within(domain: str, domains: tuple[str, ...]) -> bool:
    """Whether an A-label ``domain`` is one of ``domains`` or a subdomain of one."""
    return any(domain == known or domain.endswith(f".{known}") for known in domains)


def _parse_any(text: str) -> Address:
    """The whole grammar: quoted local parts, UTF-8, U-labels, address literals."""
    _check_characters(text)
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None or text[quoted.end() : quoted.end() + 1] != "@":
            raise AddressError("the quoted local part does not end before the @")
        wire_local = quoted[0]
        local = _QUOTED_PAIR.sub(r"\1", quoted[1])
        if not local:
            raise AddressError("the local part is empty")
        domain_text = text[quoted.end() + 1 :]
    else:
        wire_local, at, domain_text = text.partition("@")
        local = wire_local
        if not at:
            raise AddressError("there is no @")
        if _DOT_STRING.fullmatch(local) is None:
            raise AddressError("the local part is no dot-string")
    local = unicodedata.normalize("NFC", local)
    if mixes_scripts(local):
        raise AddressError("the local part mixes alphabets that look alike")
    domain = _literal(domain_text) if domain_text.startswith("[") else _domain(domain_text)
    _check_lengths(text, wire_local, domain)
    return _keyed(text, local, domain)


def _check_characters(text: str) -> None:
    """Refuse controls, and whatever a reader cannot see, before any mapping can hide it."""
    for char in text:
        if char < " " or char == "\x7f":
            raise AddressError("a control character is not allowed")
        if char >= "\x80" and (
            char in _INVISIBLE or unicodedata.category(char) in _REFUSED_CATEGORIES
        ):
            raise AddressError("an invisible or unassigned character is not allowed")


def _check_lengths(text: str, wire_local: str, domain: str) -> None:
    if len(wire_local.encode()) > MAX_LOCAL:
        raise AddressError(f"the local part is longer than {MAX_LOCAL} octets")
    if len(domain) > MAX_DOMAIN:
        raise AddressError(f"the domain is longer than {MAX_DOMAIN} octets")
    if len(text.encode()) > MAX_ADDRESS:
        raise AddressError(f"the address is longer than {MAX_ADDRESS} octets")


def _keyed(wire: str, local: str, domain: str) -> Address:
    """Both keys; the wide one is made from the exact one, so equal mailboxes are equal persons."""
    narrow = local.lower() if local.isascii() else _casefold(local, "NFC")
    broad = narrow if narrow.isascii() else _casefold(narrow, "NFKC")
    broad = broad.partition("+")[0] or broad
    wide_domain = domain
    if domain in _GMAIL:
        wide_domain = "gmail.com"
        broad = broad.replace(".", "") or broad
    return Address(
        wire=wire,
        local=local,
        domain=domain,
        exact=f"{narrow}@{domain}",
        wide=f"{broad}@{wide_domain}",
    )


def _casefold(text: str, form: str) -> str:
    """Caseless matching of the Unicode Standard (section 3.13: D145 for NFC, D146 for NFKC)."""
    folded = unicodedata.normalize("NFD", text).casefold()
    if form == "NFC":
        return unicodedata.normalize("NFC", folded)
    again = unicodedata.normalize("NFKC", folded).casefold()
    return unicodedata.normalize("NFKC", again)


def _domain(text: str) -> str:
    """The A-label form, lower case, without the root dot."""
    try:
        # Raw ASCII skips UTS #46: its labels are DNS names already, and "r3---a" is a real one.
        mapped = text.lower() if text.isascii() else idna.uts46_remap(text, std3_rules=True)
        labels = mapped.removesuffix(".").split(".")
        domain = ".".join(_label(label) for label in labels)
    except UnicodeError as error:  # idna.IDNAError is one
        raise AddressError("the domain is not allowed by IDNA 2008") from error
    if _ends_in_number(domain):
        raise AddressError("the domain is a number: an IP address belongs in brackets")
    return domain


def _label(label: str) -> str:
    if label.isascii():
        if _ASCII_LABEL.fullmatch(label) is None:
            raise AddressError("a domain label is not letters, digits and inner hyphens")
        if label.startswith("xn--") and mixes_scripts(_unicode_of(label)):
            raise AddressError("a domain label mixes alphabets that look alike")
        return label
    if mixes_scripts(label):
        raise AddressError("a domain label mixes alphabets that look alike")
    return idna.alabel(label).decode("ascii")


def _unicode_of(label: str) -> str:
    """The U-label, or the label itself: a registered name outside IDNA 2008 is its own key."""
    try:
        return idna.ulabel(label)
    except UnicodeError:
        return label


def _ends_in_number(domain: str) -> bool:
    return domain[domain.rfind(".") + 1 :].isdigit()


def _literal(text: str) -> str:
    """An address literal (RFC 5321 section 4.1.3) in one canonical, lower-case spelling."""
    inner = text[1:-1]
    if not text.endswith("]") or "%" in inner:
        raise AddressError("the address literal is malformed")
    try:
        if inner[:5].lower() == "ipv6:":
            return f"[ipv6:{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError as error:
        raise AddressError("the address literal is no IPv4 or IPv6 address") from error


def mixes_scripts(text: str) -> bool:
    """Whether a word has letters of two alphabets that look alike, such as Latin and Cyrillic."""
    if text.isascii():
        return False
    letters = filter(str.isalpha, unicodedata.normalize("NFKC", text))
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in letters}
    return len(scripts & _LOOKALIKE_SCRIPTS) > 1
