"""What each reason means to the person whose mail did not simply pass: ``/why/REASON``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from relay.model import Reason


def _(text: str) -> str:
    """Mark ``text`` for the catalogues; it is translated when the page is rendered."""
    return text


@dataclass(frozen=True, slots=True)
class Explanation:
    """One page: a heading and three short answers, in the language of the source."""

    title: str
    happened: str
    why: str
    next: str


EXPLANATIONS: Final[Mapping[Reason, Explanation]] = {
    Reason.NO_CONSENT: Explanation(
        title=_("No consent on record"),
        happened=_(
            "Your mailing was not delivered to this recipient, because we know of no consent for"
            " this list."
        ),
        why=_(
            "Newsletters and offers may only go to people who asked for them themselves. That is"
            " our policy and, in the Netherlands, the law. It also keeps the mail server that you"
            " share with others off the block lists."
        ),
        next=_(
            "Let people sign up and confirm their address with the link in the confirmation mail."
            " If they did so elsewhere already, ask us to import those consents with their"
            " evidence. Held mail can then be released."
        ),
    ),
    Reason.PENDING: Explanation(
        title=_("Sign-up not confirmed yet"),
        happened=_(
            "This recipient signed up, but has not yet pressed the button behind the link in the"
            " confirmation mail."
        ),
        why=_(
            "Anybody can type anybody's address into a form. Only the confirmation shows that the"
            " owner of the mailbox agrees."
        ),
        next=_(
            "Wait until the person confirms. Do not send a reminder by mailing; a new sign-up on"
            " your form makes a new confirmation mail."
        ),
    ),
    Reason.EXPIRED: Explanation(
        title=_("The consent has expired"),
        happened=_(
            "This recipient once agreed, but that consent has run out: it was given for a limited"
            " time, or no mail was sent under it for too long."
        ),
        why=_("A consent holds for as long as the person was told, and only while it is used."),
        next=_("Ask the person, on your site or in person, to sign up again."),
    ),
    Reason.WITHDRAWN: Explanation(
        title=_("The recipient unsubscribed"),
        happened=_("This recipient has unsubscribed from this mail, so it was not delivered."),
        why=_(
            "Everybody may stop newsletters and offers at any time, and that works at once. Mail"
            " that a person needs, such as a new password or an order confirmation, still"
            " arrives."
        ),
        next=_(
            "Remove the address from your mailing software. If the person wants your mail again,"
            " they can sign up again and confirm it; nobody else can do that for them."
        ),
    ),
    Reason.COMPLAINED: Explanation(
        title=_("The recipient reported your mail as spam"),
        happened=_(
            "This recipient marked an earlier mail of yours as spam. They get no more newsletters"
            " or offers from you through us."
        ),
        why=_(
            "Mail providers count such reports. A few too many, and they refuse the mail of"
            " everybody on this server."
        ),
        next=_(
            "Remove the address. If you see this often, look at how your list came about and"
            " whether people recognise you as the sender."
        ),
    ),
    Reason.SUPPRESSED: Explanation(
        title=_("The address is blocked"),
        happened=_(
            "No mail goes to this address for now: earlier mail came back as undeliverable, or"
            " the operator blocked the address."
        ),
        why=_(
            "Mail providers think badly of senders who keep writing to mailboxes that do not exist."
        ),
        next=_(
            "Check the address for a typing error. If it is right and works again, ask us to lift"
            " the block; after mail that bounced it ends by itself after 90 days."
        ),
    ),
    Reason.BASIS_TOO_WEAK: Explanation(
        title=_("The evidence of consent is too weak"),
        happened=_(
            "There is a consent on record, but not one that counts for this kind of mail: it was"
            " noted on paper or by telephone, or it rests on a statement only."
        ),
        why=_(
            "We can only stand up for your mail when the owner of the mailbox showed that they"
            " agree, by confirming it or through a sign-up system that we approved."
        ),
        next=_(
            "Let the person sign up and confirm the address themselves. Do not mail the whole list"
            " to ask for it: that mail needs consent too."
        ),
    ),
    Reason.OVER_PROMISE: Explanation(
        title=_("More mail than you promised"),
        happened=_("With this mail the recipient would get more of this list than you promised."),
        why=_("People agreed to a certain number of mails. More than that they did not agree to."),
        next=_(
            "Wait until the period is over, or join your news into one mail. If you want to write"
            " more often, ask for consent to that."
        ),
    ),
    Reason.IDENTITY: Explanation(
        title=_("It is not clear who is sending"),
        happened=_("Name, postal address or registration number of the sender are missing."),
        why=_(
            "A recipient must be able to see who writes, and where to find them. The law asks for"
            " it in every mailing."
        ),
        next=_(
            "Put your name, your address and your registration number (KVK) as text at the end of"
            " the mail, not only in a picture."
        ),
    ),
    Reason.REPLY_TO: Explanation(
        title=_("Nobody can answer this mail"),
        happened=_("Answers to this mail would go to an address that nobody reads."),
        why=_("A recipient must be able to reach the sender by simply answering."),
        next=_("Use a sender or reply address that works and that you read; no no-reply address."),
    ),
    Reason.FROM_NAME: Explanation(
        title=_("The sender's name is missing or unknown"),
        happened=_("The From field does not show the name under which people know you."),
        why=_("People must see at a glance whose mail this is."),
        next=_(
            "Put the name of your organisation or brand in the From field, as registered with us."
        ),
    ),
    Reason.FOREIGN_SENDER: Explanation(
        title=_("The sender's domain is not yours"),
        happened=_(
            "The mail carries a From or sender address in a domain that is not registered for your"
            " account."
        ),
        why=_(
            "Otherwise anybody on this server could write in somebody else's name. Receivers also"
            " throw away mail whose domain and signature do not match."
        ),
        next=_(
            "Send from an address in your own domain. In a contact form, put the visitor's address"
            " in Reply-To and not in From. If the domain is yours, ask us to add it."
        ),
    ),
    Reason.UNKNOWN_LIST: Explanation(
        title=_("There is no such list"),
        happened=_("The mail names a list that does not exist, or not for these credentials."),
        why=_("Consent belongs to a list. Without the list we cannot know who agreed to what."),
        next=_(
            "Check the name in X-Consent-List, or leave the field out where your user name belongs"
            " to one list. New lists are made by the operator."
        ),
    ),
    Reason.MISLEADING: Explanation(
        title=_("The mail looks like something else"),
        happened=_(
            "Subject, sender or links make the mail look like something that it is not, such as an"
            " answer or an invoice."
        ),
        why=_("Advertising must be recognisable as advertising."),
        next=_("Change the subject or the links so that they say what the mail really is."),
    ),
    Reason.UNMARKED_BULK: Explanation(
        title=_("A mailing among the necessary mail"),
        happened=_(
            "The mail came in through a list for necessary mail, such as orders and passwords, but"
            " carries the marks of a mailing."
        ),
        why=_(
            "Necessary mail needs no consent. If mailings could take the same road, consent would"
            " mean nothing."
        ),
        next=_(
            "Send mailings through a list meant for them. If this really is necessary mail and"
            " your software always adds those marks, ask us to allow them for this list."
        ),
    ),
    Reason.PERSONAL_LIMIT: Explanation(
        title=_("Today's limit for personal mail is reached"),
        happened=_(
            "You sent more mail today that is neither marked as a mailing nor as necessary mail"
            " than your account may."
        ),
        why=_(
            "Personal mail needs no consent, so there is a limit to it: otherwise a mailing could"
            " be sent as many single mails."
        ),
        next=_(
            "The count starts again at midnight UTC. Does your shop or site send this mail? Then"
            " ask us for a list for necessary mail; it has no such limit."
        ),
    ),
    Reason.COLD_OPT_IN: Explanation(
        title=_("Asking for consent by mail needs consent"),
        happened=_(
            "This mail asks people to agree to mail, without their having signed up just before."
        ),
        why=_("Such a question is itself a mailing, and needs consent like any other."),
        next=_(
            "Put the question on your site, on an order form or at the counter. After a sign-up"
            " the confirmation mail is sent by us."
        ),
    ),
    Reason.THIRD_PARTY: Explanation(
        title=_("The consent was given to somebody else"),
        happened=_(
            "The recipient agreed to mail from another organisation, not to mail from you or on"
            " your behalf."
        ),
        why=_(
            "Consent may only be used by others if the person was told by name who they are and"
            " agreed to that separately."
        ),
        next=_("Ask people for consent yourself, in your own name."),
    ),
    Reason.SUSPENDED: Explanation(
        title=_("Sending is suspended"),
        happened=_("Your account may send no mail for now. What you offer is refused for later."),
        why=_(
            "The operator stopped it, for instance after complaints, or because your password"
            " seems to be in the wrong hands."
        ),
        next=_("Contact us. Your software can try again later; nothing needs to be set up anew."),
    ),
    Reason.RATE: Explanation(
        title=_("Too much at once"),
        happened=_("You are sending faster than your account may. Nothing is lost."),
        why=_(
            "Receivers distrust a server from which a lot of mail comes at once. So mail goes out"
            " at a steady pace."
        ),
        next=_(
            "Nothing: mail that we took goes out by itself, and mail software tries the rest again."
            " If you need more, ask us."
        ),
    ),
    Reason.QUOTA: Explanation(
        title=_("Too much mail is waiting"),
        happened=_("So much mail of your account is waiting or held that there is no room left."),
        why=_("Every account has its share of the disk, so that nobody fills it for the others."),
        next=_(
            "Ask us what is held and why, and what can be released or deleted. Room comes back as"
            " waiting mail is delivered."
        ),
    ),
    Reason.WARM_UP: Explanation(
        title=_("The sending address is still new"),
        happened=_("Your mail waits, because only a little may be sent from this server each day."),
        why=_("Receivers trust a new server only after some weeks of good mail."),
        next=_("Nothing: the mail goes out by itself, and the daily amount grows."),
    ),
    Reason.LOOP: Explanation(
        title=_("The mail goes round in circles"),
        happened=_("This mail has passed our server, or too many servers, before."),
        why=_("Two servers send it to each other, and it would never arrive."),
        next=_("Check the forwarding rules of the recipient's address and of your own server."),
    ),
    Reason.INTERNAL: Explanation(
        title=_("Something went wrong here"),
        happened=_("We could not handle the mail just now. It was not your fault."),
        why=_("A part of our system could not answer."),
        next=_(
            "Mail software tries again by itself. If it goes on, tell us the code in the message"
            " that you got."
        ),
    ),
}
