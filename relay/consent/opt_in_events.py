"""What goes on record when a person asks, and when the person confirms: the evidence (A3-A5, B5).

The token is no evidence, and in none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from relay.model import Basis, MailingList, SubjectKeys, Tenant
from relay.ports import Json, NewEvent
from relay.store.people.consents import scope_of
from relay.store.people.notice_versions import NoticeVersion
from relay.store.people.signup_rows import SignUp
from relay.web.asking import SignUpRequest

LONGEST_AGENT: Final = 300
"""Characters of a User-Agent that are kept."""
_LONGEST_URL: Final = 2_000
_LONGEST_ACT: Final = 200
_LONGEST_IP: Final = 64


def pending(
    request: SignUpRequest,
    tenant: Tenant,
    mailing_list: MailingList,
    keys: SubjectKeys,
    version: NoticeVersion,
    *,
    language: str,
    at: float,
    expires_at: float,
) -> NewEvent:
    """``consent.pending``: who asked for what, shown which notice, from where. Times are epoch
    seconds."""
    evidence: dict[str, Json] = {
        "ip": one_line(request.ip, _LONGEST_IP),
        "user_agent": one_line(request.user_agent, LONGEST_AGENT),
        "form_url": one_line(request.form_url, _LONGEST_URL),
        "notice": version.id,
        "notice_digest": version.digest,
        "act": one_line(request.act, _LONGEST_ACT),
        "language": language,
    }
    data = {
        **_consent(mailing_list, expires_at=expires_at),
        "own_act": False,
        "evidence": evidence,
    }
    return NewEvent(tenant.id, "consent.pending", at, keys, data)


def granted(
    signup: SignUp,
    asked: Mapping[str, Json],
    mailing_list: MailingList,
    *,
    ip: str,
    user_agent: str,
    at: float,
    automated: Sequence[str],
) -> NewEvent:
    """``consent.granted``: the request with its evidence ``asked``, the mail, and the button."""
    sent = sent_at(signup)
    evidence: dict[str, Json] = {
        "signup": {**asked, "event": signup.event_id, "at": signup.at},
        "mail": {
            "message_id": signup.message_id,
            "reply": signup.mail_reply,
            "at": signup.mailed_at,
        },
        "confirmation": {
            "ip": one_line(ip, _LONGEST_IP),
            "user_agent": one_line(user_agent, LONGEST_AGENT),
            "delay": round(at - sent, 3) if sent is not None else None,
            "page_fetched_at": signup.fetched_at,
            "page_fetches": signup.fetches,
            "page_user_agent": signup.fetch_agent,
            "page_network": signup.fetch_network,
        },
    }
    data = {
        **_consent(mailing_list, expires_at=None),
        "own_act": True,
        "automated": list(automated),
        "evidence": evidence,
    }
    return NewEvent(signup.tenant_id, "consent.granted", at, signup.keys, data)


def sent_at(signup: SignUp) -> float | None:
    """When the upstream took the mail; our queue, while we have not heard from the upstream."""
    return signup.mailed_at if signup.mailed_at is not None else signup.posted_at


def one_line(text: str, most: int) -> str:
    """One line that can be shown, of at most ``most`` characters: people read the evidence."""
    kept = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(kept.split())[:most]


def _consent(mailing_list: MailingList, *, expires_at: float | None) -> dict[str, Json]:
    """What a request and its confirmation have in common: the scope at which they ask (B21)."""
    brand_id, list_id = scope_of(mailing_list)
    return {
        "brand": brand_id,
        "list": list_id,
        "basis": Basis.CONFIRMED.value,
        "expires_at": expires_at,
    }
