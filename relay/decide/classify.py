"""What a message is: the list it belongs to, its kind, and the evidence for both.

A client cannot escape by leaving a header out: what is not declared is inferred from signals. And
what it declares can only make a message stricter, never laxer.
"""

from __future__ import annotations

from relay.model import (
    Address,
    Classification,
    Credential,
    Directory,
    Kind,
    MailingList,
    Message,
    Reason,
    Refusal,
    Tenant,
)

_UNKNOWN_LIST = Refusal(Reason.UNKNOWN_LIST, "there is no list of that name in this account")
_OTHER_LIST = Refusal(Reason.UNKNOWN_LIST, "this credential is bound to another list")
_GONE_LIST = Refusal(Reason.UNKNOWN_LIST, "the list that this mail belongs to is archived")


def classify(
    message: Message,
    *,
    credential: Credential,
    tenant: Tenant,
    directory: Directory,
    mail_from: Address | None,
    recipients: int,
    bulk_recipients: int,
) -> Classification | Refusal:
    """The kind of a message with its list, or the refusal that an unknown list earns.

    ``recipients`` is how many the transaction has; more than ``bulk_recipients`` make a message
    commercial (clause B1). See docs/policies.md, "What a message is".
    """
    selected = _select(message, credential, tenant, directory)
    if isinstance(selected, Refusal):
        return selected
    mailing_list, evidence = selected
    header_signals = _header_signals(message, recipients)
    volume = _volume_signal(recipients, bulk_recipients)
    signals = header_signals + volume

    if message.consent_kind == Kind.COMMERCIAL:
        said = "declared commercial by X-Consent-Kind"
        return Classification(Kind.COMMERCIAL, True, (*evidence, said), mailing_list)
    if message.consent_kind is not None:
        evidence = (*evidence, "X-Consent-Kind ignored: it can only make a message stricter")

    if mailing_list is not None:
        of_list = (*evidence, f"list {mailing_list.slug} is {mailing_list.kind}")
        if mailing_list.kind is Kind.TRANSACTIONAL:
            # --list-headers-ok speaks of headers; a crowd in one transaction is still a mailing.
            doubts = volume if mailing_list.list_headers_ok else signals
            return Classification(
                Kind.TRANSACTIONAL, True, of_list + doubts, mailing_list, bool(doubts)
            )
        if mailing_list.kind is not Kind.DISCUSSION:
            return Classification(mailing_list.kind, True, of_list, mailing_list)
        if _is_post(message, mailing_list, mail_from, tenant, directory):
            return Classification(Kind.DISCUSSION, True, of_list, mailing_list)
        evidence = (*evidence, f"not a post of discussion list {mailing_list.slug}")

    if signals:
        return Classification(Kind.COMMERCIAL, False, evidence + signals, None)
    if mail_from is None and recipients == 1 and _is_automatic(message):
        return Classification(
            Kind.AUTO, False, (*evidence, "null sender, one recipient, automatic"), None
        )
    return Classification(Kind.PERSONAL, False, (*evidence, "no sign of a mailing"), None)


def _select(
    message: Message, credential: Credential, tenant: Tenant, directory: Directory
) -> tuple[MailingList | None, tuple[str, ...]] | Refusal:
    """The list that the contract's order of precedence picks, and why it did."""
    named = message.consent_list.lower() if message.consent_list is not None else None
    if credential.list_id is not None:
        bound = directory.lists.get(credential.list_id)
        if bound is None or bound.archived or bound.tenant_id != tenant.id:
            return _GONE_LIST
        if named is not None and named != bound.slug:
            return _OTHER_LIST
        return bound, ("list bound to the credential",)
    if named is not None:
        wanted = directory.list_of(tenant.id, named)
        if wanted is None or wanted.archived:
            return _UNKNOWN_LIST
        return wanted, ("list named by X-Consent-List",)
    # One mailbox must decide: with several authors, no From address is "the" From address.
    author = message.from_addresses[0].exact if len(message.from_addresses) == 1 else None
    by_from: MailingList | None = None
    for mailing_list in directory.lists.values():
        if mailing_list.tenant_id != tenant.id:
            continue
        if message.list_id is not None and mailing_list.list_id == message.list_id:
            if mailing_list.archived:
                return _GONE_LIST
            return mailing_list, ("list registered for this List-Id",)
        if by_from is None and author is not None and mailing_list.from_address == author:
            by_from = mailing_list
    if by_from is not None and by_from.archived:
        # Its mail would pass as personal otherwise, also to those who have left it.
        return _GONE_LIST
    if by_from is not None:
        return by_from, ("list registered for this From address",)
    return None, ()


def _header_signals(message: Message, recipients: int) -> tuple[str, ...]:
    signals: list[str] = []
    if message.list_unsubscribe is not None:
        signals.append("header List-Unsubscribe")
    if message.list_unsubscribe_post:
        signals.append("header List-Unsubscribe-Post")
    if message.feedback_id:
        signals.append("header Feedback-ID")
    signals += [f"campaign header {name}" for name in message.campaign_fields]
    # Forums, trackers and web shops set either one on single notices: only both together count,
    # and not on a machine's notice to one person (RFC 3834).
    to_one_by_machine = message.auto_submitted is not None and recipients == 1
    if message.precedence == "bulk" and message.list_id is not None and not to_one_by_machine:
        signals.append("Precedence: bulk with List-Id")
    return tuple(signals)


def _volume_signal(recipients: int, bulk_recipients: int) -> tuple[str, ...]:
    if recipients > bulk_recipients:
        return (f"{recipients} recipients in one transaction (more than {bulk_recipients})",)
    return ()


def _is_automatic(message: Message) -> bool:
    return message.content_type == "multipart/report" or message.auto_submitted is not None


def _is_post(
    message: Message,
    mailing_list: MailingList,
    mail_from: Address | None,
    tenant: Tenant,
    directory: Directory,
) -> bool:
    """A list server's post: List-Id and envelope sender are the tenant's own. Anything less would
    make the name of a discussion list a way around consent."""
    if mail_from is None or message.list_id is None or message.list_id != mailing_list.list_id:
        return False
    owner = directory.owner_of(mail_from.domain)
    return owner is not None and owner.tenant_id == tenant.id
