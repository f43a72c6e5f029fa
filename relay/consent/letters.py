"""The two letters that we write to people: to confirm a sign-up, and to see their own record.

Nothing that a requester could choose is in them: no name, no IP address, no typed text, so that
nobody can make us carry a message of theirs. What a tenant has registered (names, purpose) is
shown, as words and never as header syntax.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relay.model import Address, Party, Tenant
from relay.ports import Clock
from relay.settings import Settings
from relay.web.asking import NoticePage
from relay.web.language import translations
from relay.web.rendering import environment

_TEMPLATES = Path(__file__).parent / "templates"
_WIDTH = 72
_SHORT = 60
"""Characters of a name or subject that stay on one line together with the field name."""
_URL = re.compile(r"https?://\S+")


@dataclass(frozen=True, slots=True)
class _Cover:
    unique: str
    tenant: Tenant
    sender: str
    from_name: str
    to: Address
    url: str
    language: str


class Letters:
    """Writes whole messages (CRLF), ready to be signed and sent with the null sender."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock

    def confirmation(
        self,
        *,
        unique: str,
        tenant: Tenant,
        sender: str,
        from_name: str,
        to: Address,
        url: str,
        notice: NoticePage,
        language: str,
    ) -> bytes:
        """The answer to a sign-up: what was asked for, and the link to ``url`` that confirms it.

        ``sender`` is the address of From, ``from_name`` its display name; ``unique`` becomes the
        Message-ID. ``language`` is one of ``relay.web.language.LANGUAGES``.
        """
        named = _plain_notice(notice)
        subject = translations(language).gettext("Do you want mail from %(sender)s? Please confirm")
        return self._letter(
            "confirmation",
            _Cover(unique, tenant, sender, from_name, to, url, language),
            subject % {"sender": named.sender},
            {
                "sender": named.sender,
                "notice": named,
                "days": self.settings.opt_in.confirm_days,
            },
        )

    def own_record(
        self,
        *,
        unique: str,
        tenant: Tenant,
        sender: str,
        from_name: str,
        to: Address,
        url: str,
        language: str,
    ) -> bytes:
        """The answer to a request for one's own record: the one-hour link ``url``; else as
        ``confirmation``."""
        name = _plain(from_name)
        subject = translations(language).gettext("Your record at %(sender)s")
        return self._letter(
            "own_record",
            _Cover(unique, tenant, sender, from_name, to, url, language),
            subject % {"sender": name},
            {"sender": name},
        )

    def _letter(
        self, template: str, cover: _Cover, subject: str, values: Mapping[str, Any]
    ) -> bytes:
        settings, party = self.settings, _plain_party(cover.tenant.party)
        shown: dict[str, Any] = {
            **values,
            "url": cover.url,
            "subject": subject,
            "party": party,
            "operator": settings.operator,
        }
        templates = environment(_TEMPLATES, cover.language)
        text = _wrapped(templates.get_template(f"{template}.txt").render(shown))
        html = templates.get_template(f"{template}.html").render(shown) + "\n"
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        head = (
            ("From", f"{_phrase(cover.from_name)}\r\n <{_plain(cover.sender)}>"),
            ("To", f"<{cover.to.wire}>"),
            ("Reply-To", f"<{party.contact}>"),
            ("Subject", _unstructured(subject)),
            ("Date", format_datetime(now)),
            ("Message-ID", f"<{cover.unique}@{settings.hostname}>"),
            ("Content-Language", cover.language),
            # RFC 3834 section 5: no vacation reply, no loop.
            ("Auto-Submitted", "auto-generated"),
            # draft-levine-mailbomb-header: an answer to a web form; receivers count these per
            # person and can stop a flood.
            ("Form-Sub", f"v=1; host={urlsplit(settings.http.public_url).hostname}"),
        )
        fields_of_ours = "".join(f"{name}: {value}\r\n" for name, value in head)
        return fields_of_ours.encode() + _body(cover.unique, text, html)


def _body(unique: str, text: str, html: str) -> bytes:
    """MIME fields, the empty line, and the two parts."""
    message = EmailMessage(policy=SMTP)
    message.set_content(text, cte=_encoding(text))
    message.add_alternative(html, subtype="html", cte=_encoding(html))
    message.set_boundary(f"=_{unique}")
    return message.as_bytes()


def _encoding(text: str) -> str:
    """Nothing for a later server to re-encode: that would break the signature."""
    short = all(len(line) <= 900 for line in text.splitlines())
    return "7bit" if text.isascii() and short else "quoted-printable"


def _phrase(name: str) -> str:
    """A display name (RFC 5322 section 3.2.5), in encoded-words where it must or is long.

    By hand: ``email.policy.SMTP`` of this Python drops the quotes of a long name when it folds,
    and a comma in it then makes two mailboxes.
    """
    name = _plain(name)
    if name.isascii() and len(name) <= _SHORT and "=?" not in name:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"'
    return _encoded(name, "From")


def _unstructured(text: str) -> str:
    if text.isascii() and len(text) <= _SHORT and "=?" not in text:
        return text
    return _encoded(text, "Subject")


def _encoded(text: str, field: str) -> str:
    """Encoded-words (RFC 2047), folded."""
    return Header(text, "utf-8", header_name=field).encode(linesep="\r\n")


def _plain(text: str) -> str:
    """One line without controls; a registered name may come from a careless import."""
    kept = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(kept.split())


def _plain_notice(notice: NoticePage) -> NoticePage:
    return replace(
        notice,
        sender=_plain(notice.sender),
        party=_plain(notice.party),
        purpose=_plain(notice.purpose),
        promise=_plain(notice.promise),
        third_parties=_plain(notice.third_parties),
        question=_plain(notice.question),
    )


def _plain_party(party: Party) -> Party:
    return Party(
        name=_plain(party.name),
        postal_address=_plain(party.postal_address),
        contact=_plain(party.contact),
        registration=_plain(party.registration) if party.registration else None,
    )


def _wrapped(text: str) -> str:
    """Lines of at most 72 characters, except where a word, such as the link, is longer."""
    lines: list[str] = []
    for line in text.rstrip().split("\n"):
        if line == "-- " or _URL.fullmatch(line):
            lines.append(line)
        else:
            lines += textwrap.wrap(
                line, _WIDTH, break_long_words=False, break_on_hyphens=False
            ) or [""]
    return "\n".join(lines) + "\n"
