"""What the webhooks of other software say about people, read from their bodies.

Only a person's going is heard: an opt-out or a spam complaint. A webhook can never grant consent,
and what only *may* mean that a person left (a bounce, a contact that was archived or renamed) is
left to those who know it better: the upstream's replies, and the person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qsl

MOST_FIELDS: Final = 5_000
"""Fields of a form: PHP-style names make many of one subscriber with all their attributes."""
DEEPEST: Final = 8
"""Levels of brackets in the name of a field."""
LONGEST_WORD: Final = 100
"""Characters of what may name an event: an envelope says it for thousands of members."""

_BRACKETED: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_ADDRESS_KEYS: Final = ("address", "email", "email_address", "user_email", "subscriber_email")
_EVENT_KEYS: Final = ("event", "type", "action", "status")
_INNER: Final = ("data", "subscriber", "contact", "payload", "body", "fields")

_LEAVING: Final = frozenset(
    {
        *("unsubscribe", "unsubscribed", "unsub", "list_unsubscribe", "one_click"),
        *("optout", "opt_out", "opted_out", "withdraw", "withdrawn", "globally_unsubscribed"),
        *("subscriber.unsubscribed", "subscription.unsubscribed", "subscriber.unsubscribe"),
        *("subscriber_unsubscribed", "user_unsubscribed", "email.unsubscribed"),
        *("blocklist", "blocklisted", "blacklisted", "subscriber.blocklisted"),
    }
)
_COMPLAINING: Final = frozenset(
    {
        *("complaint", "complained", "spam", "spam_complaint", "spam_report", "spamreport"),
        *("abuse", "subscriber.complained", "subscriber.spam_reported", "email.complained"),
    }
)


class HookFormat(StrEnum):
    """Whose webhooks come in through a door."""

    LISTMONK = "listmonk"
    MAILPOET = "mailpoet"
    MAILCHIMP = "mailchimp"
    GENERIC = "generic"


class What(StrEnum):
    """What a person did."""

    LEFT = "left"
    COMPLAINED = "complained"


class HookUnreadable(ValueError):
    """A body that is no webhook of its format: whoever sent it must hear of that."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One person of whom a webhook says something that counts."""

    address: str
    """As it was sent; not checked. Empty when the webhook names nobody."""
    what: What


@dataclass(frozen=True, slots=True)
class Read:
    """What one body says."""

    heard: tuple[Heard, ...]
    ignored: int
    """Events in it that change nothing here."""


def read_hook(format: HookFormat, content_type: str, body: bytes) -> Read:  # noqa: A002
    """What ``body`` (JSON or an urlencoded form) says. Raises HookUnreadable.

    A batch may come as a JSON array, or under ``events``, ``data`` or ``subscribers``.
    """
    value = _value(content_type, body)
    heard: list[Heard] = []
    ignored = 0
    for event in _events(value):
        what = _READERS[format](event)
        if what is None:
            ignored += 1
        else:
            heard.append(Heard(_address(event), what))
    return Read(tuple(dict.fromkeys(heard)), ignored)


# --- From octets to mappings ------------------------------------------------------------------


def _value(content_type: str, body: bytes) -> Any:
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HookUnreadable("the body is not UTF-8 text") from error
    # Some plugins send JSON without saying so, and no form begins with a bracket.
    if kind.endswith("json") or text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise HookUnreadable("the body is not JSON") from error
    if "=" not in text:
        raise HookUnreadable("the body is not a form")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise HookUnreadable("the body is not a form") from error
    return _nested(pairs)


def _nested(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """``data[merges][EMAIL]=x`` as PHP reads it; a name that contradicts another is left out."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        match = _BRACKETED.fullmatch(name)
        path = [match[1], *match[2][1:-1].split("][")] if match else [name]
        inner: Any = found
        for step in path[:-1][:DEEPEST]:
            inner = inner.setdefault(step, {}) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner.setdefault(path[-1], value)
    return found


def _events(value: Any) -> Iterator[Mapping[str, Any]]:
    """The single events of a body. Raises HookUnreadable when there is none."""
    batch = value
    if isinstance(value, dict):
        for name in ("events", "data", "subscribers"):
            if isinstance(value.get(name), list):
                # What the envelope says of all, each member may say better. Its words alone: with
                # all that it wraps, read for each of thousands of members, 64 kB take ten seconds.
                said = {key: word for key in _EVENT_KEYS if isinstance(word := value.get(key), str)}
                batch = [{**said, **e} for e in value[name] if isinstance(e, dict)]
                break
        else:
            batch = [value]
    events = (
        [event for event in batch if isinstance(event, dict)] if isinstance(batch, list) else []
    )
    if not any(events):
        raise HookUnreadable("there is no event in the body")
    yield from events


def _levels(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The event and what it wraps, outermost first."""
    waiting: list[tuple[Mapping[str, Any], int]] = [(event, 0)]
    while waiting:
        level, depth = waiting.pop(0)
        yield level
        if depth < 3:
            inner = (level.get(name) for name in _INNER)
            waiting.extend((found, depth + 1) for found in inner if isinstance(found, dict))


def _address(event: Mapping[str, Any]) -> str:
    for level in _levels(event):
        for key in _ADDRESS_KEYS:
            value = level.get(key)
            if isinstance(value, str) and value.strip():
                return value.strip()
    return ""


def _word(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_WORD:
        return ""
    return value.strip().lower().replace("-", "_")


def _meaning(words: Iterator[str]) -> What | None:
    said = set(words)
    # "contact.unsubscribed": software puts the thing before what happened to it.
    said |= {word.rpartition(".")[2] for word in said}
    if said & _COMPLAINING:
        return What.COMPLAINED
    return What.LEFT if said & _LEAVING else None


# --- Formats ----------------------------------------------------------------------------------


def _generic(event: Mapping[str, Any]) -> What | None:
    """``{"address" | "email", "event"}``; also ``type``, ``action`` or ``status``."""
    return _meaning(_word(level.get(key)) for level in _levels(event) for key in _EVENT_KEYS)


def _mailchimp(event: Mapping[str, Any]) -> What | None:
    """``type=unsubscribe&data[action]=unsub&data[reason]=manual|abuse&data[email]=…``, and
    ``type=cleaned&data[reason]=hard|abuse``. An ``action`` of ``delete`` is the archiving of a
    contact by its owner: that is no word of the person."""
    data = event.get("data")
    if not isinstance(data, dict):
        raise HookUnreadable("a Mailchimp webhook has a type and data[…]")
    kind, reason = _word(event.get("type")), _word(data.get("reason"))
    if kind not in ("unsubscribe", "cleaned"):
        return None
    if reason == "abuse":
        return What.COMPLAINED
    if kind == "cleaned" or _word(data.get("action")) == "delete":
        return None
    return What.LEFT


def _listmonk(event: Mapping[str, Any]) -> What | None:
    """Events (``{"event": "subscriber.unsubscribed", "data": {…}}``), rows of a trigger on
    ``subscriber_lists`` (``{"email", "status": "unsubscribed"}``), whole subscribers as its API
    gives them, and bounces (``{"type": "complaint", "email"}``)."""
    return _generic(event) or _gone_from_all(event, "lists", "subscription_status")


def _mailpoet(event: Mapping[str, Any]) -> What | None:
    """The subscriber as MailPoet's API gives it (``email``, ``status``, ``subscriptions``), alone
    or as ``data`` of an ``event``: what bridges send for ``subscriber_status_changed``."""
    return _generic(event) or _gone_from_all(event, "subscriptions", "status")


def _gone_from_all(event: Mapping[str, Any], lists: str, state: str) -> What | None:
    """A snapshot of a subscriber says nothing of when they left which list: it counts only when
    they are gone from every one that it shows."""
    for level in _levels(event):
        shown = level.get(lists)
        if isinstance(shown, list) and shown:
            states = {_word(one.get(state)) for one in shown if isinstance(one, dict)}
            return What.LEFT if states == {"unsubscribed"} else None
    return None


_READERS: Final[Mapping[HookFormat, Callable[[Mapping[str, Any]], What | None]]] = {
    HookFormat.LISTMONK: _listmonk,
    HookFormat.MAILPOET: _mailpoet,
    HookFormat.MAILCHIMP: _mailchimp,
    HookFormat.GENERIC: _generic,
}
