"""Webhooks as real software sends them, and as nobody should."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.decide import hook_formats
from relay.decide.hook_formats import (
    LONGEST_WORD,
    Heard,
    HookFormat,
    HookUnreadable,
    Read,
    What,
    read_hook,
)

ANN = "ann@example.org"
LEFT = (Heard(ANN, What.LEFT),)
COMPLAINED = (Heard(ANN, What.COMPLAINED),)
NOTHING: tuple[Heard, ...] = ()
LISTMONK, MAILPOET, MAILCHIMP, GENERIC = HookFormat


def read(kind: HookFormat, value: Any) -> Read:
    return read_hook(kind, "application/json", json.dumps(value).encode())


def form(**fields: str) -> Read:
    pairs = {name.replace("__", "[", 1) + ("]" * ("__" in name)): v for name, v in fields.items()}
    content_type = "application/x-www-form-urlencoded; charset=utf-8"
    return read_hook(MAILCHIMP, content_type, urlencode(pairs).encode())


@pytest.mark.parametrize(
    ("fields", "heard"),
    [
        ({"type": "unsubscribe", "data__action": "unsub", "data__reason": "manual"}, LEFT),
        ({"type": "unsubscribe", "data__reason": "manual", "data__campaign_id": "4fj"}, LEFT),
        ({"type": "unsubscribe", "data__action": "unsub", "data__reason": "abuse"}, COMPLAINED),
        ({"type": "unsubscribe", "data__action": "delete", "data__reason": "manual"}, NOTHING),
        ({"type": "cleaned", "data__reason": "hard"}, NOTHING),
        ({"type": "cleaned", "data__reason": "abuse"}, COMPLAINED),
        ({"type": "subscribe", "data__reason": "abuse"}, NOTHING),
        ({"type": "profile"}, NOTHING),
        ({"type": "campaign", "data__status": "sent"}, NOTHING),
        ({"type": "upemail", "data__old_email": ANN, "data__new_email": "b@example.org"}, NOTHING),
    ],
)
def test_mailchimp(fields: dict[str, str], heard: tuple[Heard, ...]) -> None:
    read = form(fired_at="2026-11-22 06:29:00", data__email=ANN, data__list_id="a6b5", **fields)
    assert read == Read(heard, 0 if heard else 1)


def test_mailchimp_with_merge_fields() -> None:
    body = urlencode(
        {
            "type": "unsubscribe",
            "data[merges][EMAIL]": "old@example.org",
            "data[email]": ANN,
            "data[merges][INTERESTS][]": "a",
            "data": "contradicts",
        }
    )
    assert read_hook(MAILCHIMP, "", body.encode()).heard == LEFT
    for wrong in ("type=unsubscribe", "hello", "type=unsubscribe&data=x"):
        with pytest.raises(HookUnreadable):
            read_hook(MAILCHIMP, "application/x-www-form-urlencoded", wrong.encode())


SUBSCRIBER = {"id": 7, "uuid": "e44b", "email": ANN, "name": "Ann", "status": "enabled"}
ON, OFF = {"subscription_status": "confirmed"}, {"subscription_status": "unsubscribed"}


@pytest.mark.parametrize(
    ("value", "heard"),
    [
        ({"event": "subscriber.unsubscribed", "timestamp": "…", "data": SUBSCRIBER}, LEFT),
        ({"event": "subscriber.unsubscribed", "data": {"subscriber": SUBSCRIBER}}, LEFT),
        ({"event": "subscriber.created", "data": SUBSCRIBER}, NOTHING),
        ({"event": "subscriber.optin_finish", "data": SUBSCRIBER}, NOTHING),
        ({"event": "subscriber.bounced", "data": {"email": ANN, "type": "hard"}}, NOTHING),
        ({"event": "subscriber.updated", "data": {**SUBSCRIBER, "status": "blocklisted"}}, LEFT),
        ({"event": "subscriber.updated", "data": {**SUBSCRIBER, "lists": [ON, OFF]}}, NOTHING),
        ({"event": "subscriber.updated", "data": {**SUBSCRIBER, "lists": [OFF, OFF]}}, LEFT),
        ({"event": "subscriber.updated", "data": {**SUBSCRIBER, "lists": ["?"]}}, NOTHING),
        ({"data": [{**SUBSCRIBER, "lists": [OFF]}]}, LEFT),
        ({"email": ANN, "status": "unsubscribed", "list_id": 3}, LEFT),
        ({"email": ANN, "source": "x", "type": "complaint", "meta": {}}, COMPLAINED),
        ({"email": ANN, "type": "soft"}, NOTHING),
    ],
)
def test_listmonk(value: Any, heard: tuple[Heard, ...]) -> None:
    assert read(LISTMONK, value) == Read(heard, 0 if heard else 1)


def bridged(event: str, status: str, *subscriptions: str) -> dict[str, Any]:
    shown = [{"segment_id": 1, "status": one} for one in subscriptions]
    return {"event": event, "data": {"email": ANN, "status": status, "subscriptions": shown}}


@pytest.mark.parametrize(
    ("value", "heard"),
    [
        (bridged("subscriber_status_changed", "unsubscribed"), LEFT),
        (bridged("subscriber_status_changed", "subscribed"), NOTHING),
        (bridged("subscriber_status_changed", "bounced"), NOTHING),
        (bridged("subscriber_updated", "subscribed", "unsubscribed"), LEFT),
        (bridged("subscriber_updated", "subscribed", "unsubscribed", "subscribed"), NOTHING),
        ({"email": ANN, "status": "unsubscribed"}, LEFT),
        ({"subscriber": {"user_email": ANN}, "action": "unsubscribed"}, LEFT),
    ],
)
def test_mailpoet(value: Any, heard: tuple[Heard, ...]) -> None:
    assert read(MAILPOET, value) == Read(heard, 0 if heard else 1)


def test_a_plugin_that_sends_a_form() -> None:
    body = urlencode({"email": ANN, "status": "unsubscribed"}).encode()
    assert read_hook(MAILPOET, "application/x-www-form-urlencoded", body).heard == LEFT


@pytest.mark.parametrize(
    "event",
    [
        *("unsubscribe", "Unsubscribed", "opt-out", "optout", "withdrawn"),
        *("subscriber.optout", "contact.unsubscribed", "list.member.opt_out"),
    ],
)
def test_words_for_leaving(event: str) -> None:
    assert read(GENERIC, {"address": ANN, "event": event}).heard == LEFT


@pytest.mark.parametrize(
    "event", ["complaint", "spam", "spam-complaint", "abuse", "mail.complaint"]
)
def test_words_for_complaints(event: str) -> None:
    assert read(GENERIC, {"email": ANN, "event": event}).heard == COMPLAINED


@pytest.mark.parametrize(
    "event", ["subscribe", "subscribed", "confirmed", "granted", "resubscribed", "", None, 5, ["x"]]
)
def test_nothing_that_grants_is_heard(event: Any) -> None:
    for kind in (LISTMONK, MAILPOET, GENERIC):
        assert read(kind, {"email": ANN, "event": event}) == Read((), 1)


def test_a_word_is_short() -> None:
    event = "x" * (LONGEST_WORD - 11) + ".unsubscribe"
    assert read(GENERIC, {"email": ANN, "event": event[1:]}).heard == LEFT
    assert read(GENERIC, {"email": ANN, "event": event}) == Read((), 1)


def test_a_batch() -> None:
    some = [
        {"email": ANN, "event": "unsubscribe"},
        {"email": "bob@example.org", "event": "spam"},
        {"email": "eve@example.org", "event": "subscribe"},
        {"event": "unsubscribe"},
        "junk",
    ]
    heard = (*LEFT, Heard("bob@example.org", What.COMPLAINED), Heard("", What.LEFT))
    for value in (some, {"events": some}, {"data": some}, {"subscribers": some}):
        assert read(GENERIC, value) == Read(heard, 1)
    twice = {"event": "unsubscribe", "data": [{"email": ANN}, {"email": ANN}]}
    assert read(GENERIC, twice).heard == LEFT


def test_json_that_is_not_called_so() -> None:
    body = json.dumps({"email": ANN, "event": "unsubscribe"}).encode()
    for kind in ("", "text/plain", "application/x-www-form-urlencoded"):
        assert read_hook(GENERIC, kind, b"\xef\xbb\xbf " + body).heard == LEFT


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"[[]]",
        b"5",
        b'"x"',
        b"null",
        b"{",
        b"\xff",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"9" * 5_000,
        b"&".join(b"a=1" for _ in range(6_000)),
    ],
)
def test_what_is_no_webhook(body: bytes) -> None:
    for kind in HookFormat:
        with pytest.raises(HookUnreadable):
            read_hook(kind, "application/json", body)


def test_a_form_has_fields() -> None:
    for kind in HookFormat:
        with pytest.raises(HookUnreadable):
            read_hook(kind, "application/x-www-form-urlencoded", b"rubbish")


@given(
    st.sampled_from(list(HookFormat)),
    st.sampled_from(["application/json", "application/x-www-form-urlencoded", "", "x"]),
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["unsubscribe"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["data", "email", "event", "type", "lists", "events", "status"]),
                inner,
                max_size=4,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
    | st.text(alphabet="data[]email=&%type", max_size=60).map(str.encode),
)
def test_junk_is_read_or_refused(kind: HookFormat, content_type: str, body: bytes) -> None:
    try:
        found = read_hook(kind, content_type, body)
    except HookUnreadable:
        return
    assert found.ignored or found.heard
    assert all(isinstance(heard.address, str) for heard in found.heard)


def test_a_batch_takes_no_more_memory_than_its_body_explains() -> None:
    """Each member would otherwise carry a copy of all that stands around the list."""
    around = ",".join(f'"{number:x}":1' for number in range(3_000))
    body = f'{{{around},"type":"x","events":[{",".join(["{}"] * 10_000)}]}}'.encode()
    assert len(body) < 65_536
    tracemalloc.start()
    try:
        assert read_hook(HookFormat.GENERIC, "application/json", body).ignored == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize("kind", HookFormat)
def test_a_batch_takes_no_more_work_than_its_body_explains(
    kind: HookFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the envelope wraps is not looked through again for each member."""

    def wrapped(depth: int) -> dict[str, Any]:
        return {name: wrapped(depth - 1) for name in hook_formats._INNER} if depth else {}

    body = json.dumps({"events": [{"data": {}}] * 4_000, **wrapped(3)}).encode()
    assert len(body) < 65_536
    looked = 0
    words = hook_formats._word

    def counted(value: Any) -> str:
        nonlocal looked
        looked += 1
        return words(value)

    monkeypatch.setattr(hook_formats, "_word", counted)
    assert read_hook(kind, "application/json", body).ignored == 4_000
    assert looked < len(body)
