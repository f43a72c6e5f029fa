"""Our two letters, as they leave; ``GOLDEN_UPDATE=1`` writes what is on file anew."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.consent.letters import Letters
from relay.decide.address import parse_address
from relay.decide.facts import read_message
from relay.decide.mailboxes import read_mailboxes
from relay.model import Party, ScopeLevel, Tenant
from relay.settings import Http, Operator, Settings
from relay.web.asking import NoticePage
from tests.support.clock import FakeClock

FILES = Path(__file__).parents[2] / "golden" / "letters"
TOKEN = "v1.k1." + "x" * 90 + ".mac"
CONFIRM = f"https://mail.example.net/c/{TOKEN}"
RECORD = f"https://mail.example.net/p/{TOKEN}"

TENANT = Tenant(
    1,
    "korenbloem",
    Party(
        "Bakkerij De Korenbloem B.V.",
        "Dorpsstraat 1, 1234 AB Utrecht",
        "info@korenbloem.test",
        "KVK 12345678",
    ),
)
NOTICE = NoticePage(
    number=7,
    language="nl",
    list_slug="recepten",
    sender="Korenbloem Thuis",
    party=TENANT.party.name,
    postal_address=TENANT.party.postal_address,
    registration="KVK 12345678",
    contact=TENANT.party.contact,
    purpose="Aanbiedingen en recepten",
    promise="2/month",
    third_parties="",
    question="Ja, stuur mij hoogstens twee keer per maand aanbiedingen en recepten.",
    scope=ScopeLevel.LIST,
)


def letters() -> Letters:
    settings = Settings(
        hostname="relay.example.net",
        http=Http(public_url="https://mail.example.net"),
        operator=Operator(name="Voorbeeld Hosting", contact="abuse@hosting.test"),
    )
    return Letters(settings, FakeClock())


def confirmation(
    language: str = "nl",
    *,
    notice: NoticePage = NOTICE,
    tenant: Tenant = TENANT,
    from_name: str = "Korenbloem Thuis",
    to: str = "jan@example.org",
) -> bytes:
    return letters().confirmation(
        unique="4XyZ",
        tenant=tenant,
        sender="nieuws@korenbloem.test",
        from_name=from_name,
        to=parse_address(to),
        url=CONFIRM,
        notice=notice,
        language=language,
    )


def own_record(language: str = "nl", *, tenant: Tenant = TENANT) -> bytes:
    return letters().own_record(
        unique="4XyZ",
        tenant=tenant,
        sender="nieuws@korenbloem.test",
        from_name="Korenbloem Thuis",
        to=parse_address("jan@example.org"),
        url=RECORD,
        language=language,
    )


LETTERS = {
    f"{name}.{language}": write(language)
    for name, write in (("confirmation", confirmation), ("own-record", own_record))
    for language in ("nl", "en")
}


def read(content: bytes) -> EmailMessage:
    message = BytesParser(policy=default).parsebytes(content)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def display_name(content: bytes) -> str:
    (field,) = re.findall(rb"^From:(.*?)\r\n(?![ \t])", content, re.DOTALL | re.MULTILINE)
    (author,) = read_mailboxes(field.replace(b"\r\n", b"").decode())
    return author.display


def parts(content: bytes) -> tuple[str, str]:
    text, html = read(content).iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert isinstance(text, EmailMessage)
    assert isinstance(html, EmailMessage)
    return text.get_content(), html.get_content()


class Links(HTMLParser):
    """Everything that a mail program would fetch or open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]


@pytest.mark.parametrize("name", LETTERS)
def test_letter_is_what_is_on_file(name: str) -> None:
    path = FILES / f"{name}.eml"
    if os.environ.get("GOLDEN_UPDATE"):
        path.write_bytes(LETTERS[name])
    assert LETTERS[name] == path.read_bytes()


@pytest.mark.parametrize("name", LETTERS)
def test_head_is_that_of_an_answer_to_a_form(name: str) -> None:
    message = read(LETTERS[name])
    assert message["From"].addresses[0].addr_spec == "nieuws@korenbloem.test"
    assert message["From"].addresses[0].display_name == "Korenbloem Thuis"
    assert message["To"].addresses[0].addr_spec == "jan@example.org"
    assert message["Reply-To"].addresses[0].addr_spec == "info@korenbloem.test"
    assert message["Message-ID"] == "<4XyZ@relay.example.net>"
    assert message["Date"].datetime.isoformat() == "2027-01-15T08:00:00+00:00"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Form-Sub"] == "v=1; host=mail.example.net"
    assert message["Content-Language"] == name.rpartition(".")[2]
    assert message.get_content_type() == "multipart/alternative"
    assert not [field for field in message if field.startswith(("List-", "X-", "Return-"))]
    assert len(set(message.keys())) == len(message.keys())


@pytest.mark.parametrize("name", LETTERS)
def test_octets_are_fit_for_every_server(name: str) -> None:
    content = LETTERS[name]
    assert content.isascii()
    lines = content.split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    assert max(map(len, lines)) < 998
    head = content.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78


@pytest.mark.parametrize("name", LETTERS)
def test_link_stands_whole_on_its_own_line_and_is_the_only_one(name: str) -> None:
    url = CONFIRM if name.startswith("confirmation") else RECORD
    text, html = parts(LETTERS[name])
    assert text.splitlines().count(url) == 1
    assert text.count("http") == 1
    found = Links(html)
    assert [link for link in found.links if not link.startswith("mailto:")] == [url]
    assert not found.tags & {"img", "script", "link", "iframe", "form", "style"}


@pytest.mark.parametrize("name", LETTERS)
def test_both_parts_say_who_sends_and_who_to_tell(name: str) -> None:
    for part in parts(LETTERS[name]):
        for shown in (
            *("Bakkerij De Korenbloem B.V.", "Dorpsstraat 1, 1234 AB Utrecht", "KVK 12345678"),
            *("info@korenbloem.test", "Voorbeeld Hosting", "abuse@hosting.test"),
        ):
            assert shown in part


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("nl", ("hoogstens 2 keer per maand", "niemand anders", "7 dagen", "u krijgt geen mail")),
        ("en", ("at most 2 times a month", "nobody else", "7 days", "you will get no mail")),
    ],
)
def test_confirmation_says_what_how_often_and_to_whom(
    language: str, shown: tuple[str, ...]
) -> None:
    for part in parts(confirmation(language)):
        for words in (*shown, NOTICE.purpose, NOTICE.sender):
            assert words in part.replace("\n", " ")
        assert NOTICE.question not in part, "words of the tenant's software are for the page"


def test_words_of_the_tenant_keep_their_language() -> None:
    _, html = parts(confirmation("en"))
    assert '<html lang="en">' in html
    assert f'<span lang="nl">{NOTICE.purpose}</span>' in html
    assert ' lang="nl">' not in parts(confirmation("nl"))[1].replace('<html lang="nl">', "")


def test_third_parties_are_named_and_a_missing_registration_leaves_no_row() -> None:
    private = replace(TENANT, party=replace(TENANT.party, registration=None))
    content = confirmation(
        "en", tenant=private, notice=replace(NOTICE, third_parties="Molen De Hoop B.V.")
    )
    for part in parts(content):
        assert "Molen De Hoop B.V." in part
        assert "nobody else" not in part
        assert "Registration number" not in part


def test_address_outside_ascii_goes_out_as_utf8() -> None:
    content = confirmation(to="jörg@example.org")
    head = content.partition(b"\r\n\r\n")[0]
    assert "To: <jörg@example.org>\r\n".encode() in head
    assert b"jan@" not in content


names = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(
            ["Bäckerei", "Ünï" * 30, ", ", '"', "\\", "<x@y.test>", "\r\nBcc: x@y.test", "=?", "é;"]
        ),
        max_size=12,
    ).map("".join),
)


@given(name=names)
def test_no_name_is_ever_header_syntax(name: str) -> None:
    name = name.encode("utf-8", "ignore").decode()
    party = Party(name or "x", name or "x", "info@korenbloem.test", name)
    notice = replace(NOTICE, sender=name, purpose=name, question=name, third_parties=name)
    content = confirmation("en", tenant=replace(TENANT, party=party), notice=notice, from_name=name)
    head = content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    fields = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1].strip()]
    assert fields == [
        *(b"From", b"To", b"Reply-To", b"Subject", b"Date", b"Message-ID", b"Content-Language"),
        *(b"Auto-Submitted", b"Form-Sub", b"MIME-Version", b"Content-Type"),
    ]
    facts = read_message(head, "relay.example.net")
    assert facts.from_valid
    assert [address.wire for address in facts.from_addresses] == ["nieuws@korenbloem.test"]
    plain = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    assert display_name(head) == plain[:200]
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) < 998
    text, html = parts(content)
    assert CONFIRM in text.splitlines()
    assert plain.split()[:1] == [] or plain.split()[0] in text
    assert "script" not in Links(html).tags


def test_long_names_outside_ascii() -> None:
    name = "Coöperatieve Vereniging „De Überraschung“ — Ýmir, Þór & Ægir, Ζωή, Київ " * 3
    message = read(confirmation(from_name=name))
    assert message["From"].addresses[0].addr_spec == "nieuws@korenbloem.test"
    assert len(message["From"].addresses) == 1
    assert display_name(confirmation(from_name=name)) == name.strip()[:200]
