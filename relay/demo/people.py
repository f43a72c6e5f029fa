"""What the demo's people do with a browser and with their mail program's buttons."""

from __future__ import annotations

import asyncio
import re
import urllib.parse
import urllib.request
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP

from relay.demo.house import House
from relay.demo.scenarios import Act
from relay.demo.sink import Sink, Sunk


async def act(what: Act, house: House, sink: Sink, person: str) -> None:
    """Do ``what`` as ``person``, over HTTP. Raises OSError when the relay refuses it."""
    match what:
        case Act.SIGN_UP:
            form = await asyncio.to_thread(_get, house.sign_up_url)
            notice = form.partition('name="notice" value="')[2].partition('"')[0]
            fields = {"address": person, "agree": "yes", "notice": notice}
            await asyncio.to_thread(_post, house.sign_up_url, fields)
        case Act.CONFIRM:
            await sink.until(lambda: bool(sink.sent_to(person)))
            link = link_of_ours(sink.sent_to(person)[-1])
            await asyncio.to_thread(_get, link)
            await asyncio.to_thread(_post, link, {"confirm": "1"})
        case Act.ONE_CLICK:
            link = unsubscribe_link(sink.sent_to(person)[-1])
            await asyncio.to_thread(_post, link, {"List-Unsubscribe": "One-Click"})


def subject(mail: Sunk) -> str:
    """The Subject, decoded."""
    return str(_parsed(mail)["Subject"])


def link_of_ours(mail: Sunk) -> str:
    """The link to confirm by or to one's own record, in a mail of the relay's own; else empty."""
    text = _parsed(mail).get_body(("plain",))
    found = re.search(r"^https?://\S+/[cp]/\S+", text.get_content() if text else "", re.MULTILINE)
    return found[0] if found else ""


def unsubscribe_link(mail: Sunk) -> str:
    """What the unsubscribe button opens (RFC 8058); empty where there is none."""
    return str(_parsed(mail)["List-Unsubscribe"] or "").strip("<>")


def _parsed(mail: Sunk) -> EmailMessage:
    return BytesParser(EmailMessage, policy=SMTP).parsebytes(mail.content)


def _get(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own loopback URL
        return str(answer.read().decode())


def _post(url: str, fields: dict[str, str]) -> None:
    form = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(url, data=form) as answer:  # noqa: S310 - our own loopback URL
        answer.read()
