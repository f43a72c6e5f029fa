"""Short pages that only say something: what went wrong or right, and what to do now."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse

from relay.web.pages import page


def _(text: str) -> str:
    """Mark ``text`` for the catalogues; it is translated when the page is rendered."""
    return text


@dataclass(frozen=True, slots=True)
class Message:
    """One page: a heading and short paragraphs, in the language of the source."""

    title: str
    paragraphs: tuple[str, ...]
    good: bool = False
    """What the person wanted has happened."""
    follows_form: bool = False
    """Answers a POST: asking for the address again would show the form, so it is not offered in
    another language."""


LATER = Message(
    _("Please try again in a minute"),
    (
        _(
            "Something does not work on our side just now. If you wanted to change something, it"
            " has not been recorded yet: open the page or the link once more in a minute."
        ),
    ),
)
NO_SUCH_PAGE = Message(
    _("There is no such page"),
    (
        _(
            "Check the address for a typing error, or open the link again from the message in"
            " which you found it."
        ),
    ),
)
NOT_UNDERSTOOD = Message(
    _("Nothing has changed"),
    (
        _(
            "We did not understand the request. Open the page or the link from the mail once more,"
            " and press the button there."
        ),
    ),
)
TOO_MANY = Message(
    _("Too many wrong links"),
    (
        _(
            "Many links that do not work were opened from your connection. Wait a minute, and open"
            " the link from the mail once more. A link that is right always works."
        ),
    ),
)
UNSUBSCRIBE_UNKNOWN = Message(
    _("This link does not work"),
    (
        _(
            "The link is not complete, or it is not one of ours. Sometimes a mail program breaks a"
            " long link in two."
        ),
        _(
            "Go back to the mail and open the link there once more. If that does not help, answer"
            " the mail and ask the sender to take your address off the list."
        ),
    ),
)
CONFIRMATION_DEAD = Message(
    _("This link does not work any more"),
    (
        _(
            "A confirmation link works for some days only. It ends sooner when you sign up again,"
            " because then only the newest mail counts, and when you unsubscribe."
        ),
        _(
            "Do you want the mail? Then sign up once more on the site where you did it, and use"
            " the link in the new mail. If you do not want it, do nothing: you will get none."
        ),
    ),
)
RECORD_EXPIRED = Message(
    _("This link does not work any more"),
    (
        _("A link to your own record works for one hour, because it shows your data."),
        _(
            "To get a new one, open the link to unsubscribe in any mail from the sender, and"
            " choose “Show me what is on record about me” there. That changes nothing else."
        ),
    ),
)
RECORD_ASKED = Message(
    _("Look in your mailbox"),
    (
        _(
            "A link to your own record is on its way to the address to which the mail was sent. It"
            " is good for one hour."
        ),
        _(
            "No mail after some minutes? Look in the folder for unwanted mail. Only a few of these"
            " links are sent to one address in a day."
        ),
    ),
    good=True,
    follows_form=True,
)
MAILBOX = Message(
    _("One more step: look in your mailbox"),
    (
        _(
            "A mail is on its way to the address that you typed. Open the link in it and press the"
            " button. Only then will you get what you asked for."
        ),
        _(
            "The mail says how long its link works. No mail after some minutes? Look in the folder"
            " for unwanted mail, or go back and check the address for a typing error."
        ),
        _(
            "Only a few of these mails are sent to one address in a day. If you signed up earlier"
            " today, use the link in that mail."
        ),
    ),
    good=True,
    follows_form=True,
)
NOT_OPEN = Message(
    _("You cannot sign up here yet"),
    (
        _(
            "The sender has not finished setting up this form. Nothing was recorded, and no mail"
            " was sent. Please try again later, or write to the sender."
        ),
    ),
    follows_form=True,
)
ASKED_TOO_OFTEN = Message(
    _("Too many sign-ups"),
    (
        _(
            "Many addresses were signed up from your connection just now. Nothing was recorded this"
            " time. Wait a minute, and try again."
        ),
    ),
    follows_form=True,
)


def message(request: Request, said: Message, status: int = 200) -> HTMLResponse:
    """The page of one message in the asker's language."""
    return page(request, "message.html", status, said=said)
