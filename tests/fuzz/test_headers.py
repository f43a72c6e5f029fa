"""Properties of the header editor and of the door, on arbitrary octets."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model import Kind, MailingList, Party, StoredMessage, Tenant
from relay.transform.body import body_hash
from relay.transform.compose import compose
from relay.transform.headers import HeaderBlock, field
from relay.transform.lines import cut, mend
from relay.transform.normalise import ContentRefused, normalise

NAME = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True) | st.sampled_from(
    ["From", "Subject", "BCC", "list-unsubscribe", "List-Id", "X-Consent-List", "Feedback-ID"]
)
LINE = st.binary(max_size=30).map(lambda octets: re.sub(rb"[\r\n\0]", b"?", octets))
FIELD = st.builds(
    lambda name, space, lines: name.encode() + space + b":" + b"\r\n ".join(lines) + b"\r\n",
    NAME,
    st.sampled_from([b"", b" ", b"\t "]),
    st.lists(LINE, min_size=1, max_size=3),
)
FIELDS = st.lists(FIELD, max_size=8)
CHUNKS = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b".", b"<root>", b"(c)"]
CHUNKS += [b"From: a", b"From x", b"Bcc: b", b"Date:", b"X-Consent-List: n"]
CHUNKS += [b"DKIM-Signature: h=from:bcc", b"\xc3\xa9" * 600, b"w " * 700, b"x" * 999]
SOUP = st.lists(st.sampled_from(CHUNKS), max_size=25).map(b"".join)


def door(content: bytes):
    return normalise(
        *cut(content),
        hostname="relay.example.net",
        unique="4XyZ",
        now=1_700_000_000.0,
        bare_newlines="normalise",
        long_lines="fold",
        max_header_bytes=100_000,
    )


def lower(raw: bytes) -> bytes:
    return raw.partition(b":")[0].rstrip().lower()


@given(FIELDS)
def test_reading_finds_every_field_and_writing_gives_every_octet_back(fields):
    block = HeaderBlock.parse(b"".join(fields) + b"\r\n")
    assert [found.raw for found in block.fields] == fields
    assert bytes(block) == b"".join(fields) + b"\r\n"


@given(FIELDS, NAME, LINE)
def test_an_edit_leaves_all_other_fields_byte_identical(fields, name, value):
    block = HeaderBlock.parse(b"".join(fields) + b"\r\n")
    added = field(name, value.decode("latin-1"))
    edited = block.without(name.lower()).append(added)
    others = [raw for raw in fields if lower(raw) != name.lower().encode()]
    assert bytes(edited) == b"".join(others) + added + b"\r\n"


@given(st.text(max_size=20), st.text(max_size=40))
def test_a_field_is_one_field_or_an_error(name, value):
    try:
        raw = field(name, value)
    except ValueError:
        return
    (found,) = HeaderBlock.parse(raw).fields
    assert found.name == name.lower()
    assert found.value == value.encode().strip(b" \t")


@given(st.binary(max_size=200) | SOUP)
def test_any_octets_are_a_header_block_or_an_error(octets):
    try:
        block = HeaderBlock.parse(octets)
    except ValueError:
        return
    assert b"\r\n\r\n" not in bytes(block)[2:-4]
    assert HeaderBlock.parse(bytes(block)) == block


@given(SOUP | st.text("\r\n ax.", max_size=30).map(str.encode))
def test_cut_before_or_after_its_line_ends_are_mended_a_message_is_the_same(content):
    header, body = cut(content)
    assert header + body == content
    assert (mend(header), mend(body)) == cut(mend(content))


@given(SOUP | st.binary(max_size=300))
def test_whatever_passes_the_door_is_in_normal_form(content):
    try:
        out = door(content)
    except ContentRefused:
        return
    whole = out.header + out.body
    assert b"\0" not in whole
    assert whole.count(b"\r") == whole.count(b"\n") == whole.count(b"\r\n")
    assert max(len(line) for line in whole.split(b"\r\n")) <= 998
    assert whole.endswith(b"\r\n")
    assert whole.index(b"\r\n\r\n") + 4 == len(out.header)
    names = {found.name for found in HeaderBlock.parse(out.header).fields}
    assert {"date", "message-id"} <= names
    assert not any(name in ("bcc", "return-path") or name.startswith("x-c") for name in names)
    again = door(whole)
    assert (again.header, again.body, again.touched) == (out.header, out.body, frozenset())


@given(SOUP)
def test_the_door_loses_nothing_but_line_ends_and_spaces(content):
    def essence(octets: bytes) -> bytes:
        return re.sub(rb"[\r\n \t]", b"", octets)

    body = b"From: a@example.com\r\nDate: x\r\nMessage-ID: x\r\n\r\n" + content
    out = door(body)
    assert essence(out.header + out.body) == essence(body)


@given(FIELDS, SOUP)
def test_compose_changes_our_fields_alone_and_never_the_body(fields, content):
    header = b"From: a@example.com\r\n" + b"".join(fields) + b"\r\n"
    out = door(header + content)
    message = StoredMessage(
        id="4XyZ",
        at=0.0,
        tenant_id=1,
        list_id=1,
        kind=Kind.COMMERCIAL,
        declared=True,
        mail_from="",
        header=out.header,
        body_hash=body_hash(out.body),
        body_size=len(out.body),
        subject="",
        from_address="",
    )
    composed = compose(
        message,
        tenant=Tenant(1, "acme", Party("Acme", "Street 1", "info@example.com")),
        mailing_list=MailingList(1, 1, "news", Kind.COMMERCIAL, "News", "1/week"),
        kind=Kind.COMMERCIAL,
        unsubscribe_url="https://relay.example.net/u/t",
        hostname="relay.example.net",
        feedback_id="consentrelay",
    )
    ours = {b"list-unsubscribe", b"list-unsubscribe-post", b"feedback-id", b"list-id"}
    before = [found.raw for found in HeaderBlock.parse(out.header).fields]
    after = [found.raw for found in HeaderBlock.parse(composed).fields]
    assert [raw for raw in after if lower(raw) not in ours] == [
        raw for raw in before if lower(raw) not in ours
    ]
    assert sorted(lower(raw) for raw in after if lower(raw) in ours) == sorted(ours)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_header_and_body_part_at_the_first_empty_line(line_end):
    out = door(line_end.join([b"From: a@example.com", b"", b"Bcc: in the body", b"", b"x"]))
    assert out.body == b"Bcc: in the body\r\n\r\nx\r\n"
