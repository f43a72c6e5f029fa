"""A person's record as a receipt for machines.

Fields are named as in ISO/IEC TS 27560:2023 and the Kantara consent receipt where these have one.
``ledger`` names each event's place in the tenant's chain and its hash, so that it can be proven
with ``ledger export`` years later.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from relay.consent.own_words import AskedFor, PersonsRecord, consent_of, history
from relay.model import Basis, Directory, Party
from relay.ports import Json
from relay.settings import Operator
from relay.store.people.notice_versions import NoticeVersion
from relay.store.people.own_events import OwnRecord

SCHEMA: Final = "consent-relay/own-record/1"
"""Names the receipt's shape."""

_GROUNDS: Final = {Basis.CUSTOMER: "existing customer, who may object"}
_KEPT_FROM_THE_PERSON: Final = frozenset({"signed_by", "event", "message_id", "source_id"})
"""Marks of our own work in the evidence, which say nothing about the person."""


def receipt(record: PersonsRecord, operator: Operator, directory: Directory) -> Json:
    """The whole receipt, ready for JSON; nothing of another tenant."""
    tenant = record.tenant
    return {
        "schema": SCHEMA,
        "record_created": _iso(record.at),
        "pii_principal": record.address,
        "pii_controllers": [_party(tenant.party)],
        "pii_processors": [
            {
                "name": operator.name,
                "contact": operator.contact,
                "role": "keeps the record of consent and enforces it",
            }
        ],
        "pii_categories": ["mail address"],
        "all_stopped": record.all_stopped,
        "consents": [_consent(one, record, directory) for one in record.asked],
        "withdrawal": {
            "method": "the unsubscribe link in every mail: one click, without login",
            "contact": tenant.party.contact,
        },
        "events_complete": record.complete,
        "events": [
            {
                "type": event.type,
                "time": _iso(event.at),
                "concerns": event.name,
                "channel": event.channel,
                "evidence": _evidence(own),
                "ledger": _place(own),
            }
            for own, event in history(record.records, tenant, directory)
        ],
    }


def _consent(asked: AskedFor, record: PersonsRecord, directory: Directory) -> Json:
    shown = consent_of(asked, record.tenant, directory)
    return {
        "scope": shown.scope,
        "purposes": [{"purpose": shown.name, "frequency": shown.promise}],
        "lawful_basis": _GROUNDS.get(asked.given.act.basis, "consent"),
        "consent_type": shown.basis,
        "state": shown.state,
        "since": _iso(shown.since),
        "expiry": _iso(asked.given.act.expires_at)
        if asked.given.act.expires_at is not None
        else None,
        "collection_method": shown.asked_at,
        "notice": _notice(asked.notice),
        "recipient_third_parties": shown.third_parties,
        "ledger": _place(asked.record) if asked.record is not None else None,
    }


def _notice(version: NoticeVersion | None) -> Json:
    if version is None:
        return None
    words = version.content
    return {
        "version": version.version,
        "digest": version.digest,
        "language": version.language,
        "question": words.question,
        "purpose": words.purpose,
        "frequency": words.promise,
        "sender": words.sender,
        "third_parties": words.third_parties,
    }


def _party(party: Party) -> Json:
    return {
        "name": party.name,
        "address": party.postal_address,
        "contact": party.contact,
        "registration": party.registration,
    }


def _evidence(record: OwnRecord) -> Json:
    evidence = record.data.get("evidence")
    return _of_the_person(evidence) if isinstance(evidence, Mapping) else {}


def _of_the_person(said: Mapping[str, Json]) -> dict[str, Json]:
    return {
        name: _of_the_person(value) if isinstance(value, Mapping) else value
        for name, value in said.items()
        if name not in _KEPT_FROM_THE_PERSON
    }


def _place(record: OwnRecord) -> Json:
    place: dict[str, Json] = {"sequence": record.seq, "hash": record.hash.hex()}
    return {**place, "line": record.line} if record.line else place


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
