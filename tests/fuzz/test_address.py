"""Addresses: one key per mailbox however it is spelled, and no spelling that slips through."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.decide.address import AddressError, mask, parse_address
from relay.decide.facts import read_message
from relay.decide.mailboxes import MailboxError, decoded, read_mailboxes
from relay.model import Address

ATEXT = "abcXYZ019!#$%&'*+-/=?^_`{|}~"
ACCENTED = "éÉöñç"
ATOMS = st.text(st.sampled_from(ATEXT), min_size=1, max_size=8)
LOCALS = st.lists(ATOMS, min_size=1, max_size=3).map(".".join)
LATIN = st.text(st.sampled_from("abc" + ACCENTED), min_size=1, max_size=8)
LABELS = st.from_regex(r"[a-z]([a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)
DOMAINS = st.lists(LABELS | st.just("bücher"), min_size=1, max_size=3).map(".".join)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """Two RFC-equal spellings of one mailbox."""
    local, domain = draw(LOCALS | LATIN), draw(DOMAINS)

    def spell() -> str:
        shown = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), local)
        shown = shown.swapcase() if draw(st.booleans()) else shown
        if draw(st.booleans()):
            escaped = (
                f"\\{char}" if char.isascii() and draw(st.booleans()) else char for char in shown
            )
            shown = f'"{"".join(escaped)}"'
        labels = [
            label.encode("idna").decode() if draw(st.booleans()) else label
            for label in domain.split(".")
        ]
        name = ".".join(label.upper() if draw(st.booleans()) else label for label in labels)
        return f"{shown}@{name}{'.' if draw(st.booleans()) else ''}"

    return spell(), spell()


def parsed(text: str) -> Address | None:
    try:
        return parse_address(text)
    except AddressError:
        return None


@settings(deadline=None)
@given(spellings())
def test_equal_spellings_give_one_key(pair: tuple[str, str]) -> None:
    one, two = map(parsed, pair)
    # escaping and quoting lengthen a spelling, and may take it over the limit of 64 octets
    if one is None or two is None:
        assert max(len(text.encode()) for text in pair) > 64
        return
    assert (one.exact, one.wide, one.domain) == (two.exact, two.wide, two.domain)


@settings(deadline=None)
@given(LOCALS, ATOMS, DOMAINS)
def test_a_tag_is_the_same_person_and_another_mailbox(local: str, tag: str, domain: str) -> None:
    plain, tagged = parse_address(f"{local}@{domain}"), parse_address(f"{local}+{tag}@{domain}")
    assert plain.exact != tagged.exact
    if local.startswith("+"):
        return
    assert plain.wide == tagged.wide


@settings(deadline=None)
@given(
    st.text(max_size=80)
    | st.text(st.sampled_from('ab.@"\\+<>()[]: \t\r\n\x00é\u0301\u200bxn--'), max_size=30)
)
def test_parse_raises_nothing_but_address_error(text: str) -> None:
    address = parsed(text)
    mask(text)
    if address is None:
        return
    assert address.wire == text
    assert not any(char < " " or char == "\x7f" for char in text)
    assert "@" in address.exact
    assert address.domain == address.domain.lower()
    assert address.domain.isascii()
    # a key is a fixed point: what we would key again is the same person
    again = parsed(address.exact)
    if again is not None:
        assert (again.exact, again.wide) == (address.exact, address.wide)


PIECES = [
    *(
        "From: ",
        "Sender: ",
        "Reply-To: ",
        "Subject: ",
        "List-Id: ",
        "Received: by h",
        "\r\n",
        "\r\n ",
    ),
    *("=?utf-8?b?", "=?utf-8?q?", "?=", "a@x.test", "\x00", "\xff", "\xe9", '"', "\\"),
    *"()<>[],;:@. \t\r\n=?_a",
]
HEADERISH = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@settings(deadline=None)
@given(HEADERISH | st.text(st.characters(max_codepoint=255), max_size=300))
def test_read_message_takes_any_octets(text: str) -> None:
    message = read_message(text.encode("latin-1", "replace"), "h")
    assert bool(message.from_addresses) or not message.from_valid
    assert message.subject.isprintable()


@settings(deadline=None)
@given(st.text(st.sampled_from('ab.@"\\,;:<>()[] \t=?é'), max_size=60))
def test_mailboxes_raise_nothing_but_mailbox_error(text: str) -> None:
    try:
        boxes = read_mailboxes(text)
    except MailboxError:
        return
    for box in boxes:
        assert box.display.isprintable()
        assert parse_address(box.address.wire) == box.address


@settings(deadline=None)
@given(st.text(max_size=300))
def test_decoded_is_one_bounded_line(text: str) -> None:
    shown = decoded(text, 100)
    assert len(shown) <= 100
    assert shown.isprintable()
