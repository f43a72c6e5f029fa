"""The terms that a tenant accepts before its own word for consent is taken (A11, B26, B27)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from relay.consent import evidence
from relay.consent.evidence import RecordingRefused
from relay.model import MailingList, Tenant
from relay.ports import Clock, StoreTrouble
from relay.settings import Settings
from relay.store.people.acceptances import Acceptance
from relay.store.store import Store

VERSION: Final = "2026-11"
"""Of the texts that we ship; grows whenever one of them changes."""
LARGEST: Final = 100_000
"""Octets of an operator's own text."""

_SHIPPED: Final = Path(__file__).parent / "terms"
_OWN_LANGUAGE: Final = "und"


class TermsTrouble(StoreTrouble):
    """The operator's own text cannot be read: nobody can accept anything now."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is accepted."""

    version: str
    digest: str
    """SHA-256 (hex) over all texts, so that no language can change unseen."""
    texts: Mapping[str, str]
    """By language (``en``, ``nl``); an operator's own text is under ``und``."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An acceptance that is on record."""

    seq: int
    """Number of its event in the tenant's chain."""
    version: str
    digest: str
    content_digest: str
    accepted_by: str
    at: float
    """Epoch seconds."""


def current_terms(own: Path | None) -> Terms:
    """The terms in force: ours, or those in the file ``operator.terms_file``.

    Raises TermsTrouble.
    """
    if own is None:
        return _shipped()
    try:
        octets = own.read_bytes()
        text = octets.decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TermsTrouble("operator.terms_file cannot be read as UTF-8 text") from error
    if not text or len(octets) > LARGEST:
        raise TermsTrouble(f"operator.terms_file is empty, or longer than {LARGEST} octets")
    texts = {_OWN_LANGUAGE: text}
    digest = _digest(texts)
    return Terms(f"own-{digest[:12]}", digest, MappingProxyType(texts))


class TermsDesk:
    """Shows the terms and records who accepts them."""

    def __init__(self, store: Store, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self.settings = settings
        """Replaced at a reload."""

    def terms(self) -> Terms:
        """The terms in force. Raises TermsTrouble."""
        return current_terms(self.settings.operator.terms_file)

    async def accept(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        *,
        version: object,
        accepted_by: object,
        content_digest: object,
    ) -> Accepted:
        """Record that a person accepted the terms in force for one content, of one list.

        ``content_digest`` is the SHA-256 (hex) of the octets of the file that will be sent in.
        Raises RecordingRefused, StoreTrouble.
        """
        terms = self.terms()
        if version != terms.version:
            raise RecordingRefused(
                f"version must be {terms.version!r}, of the terms in force: read them and send that"
            )
        acceptance = Acceptance(
            tenant_id=tenant.id,
            list_id=mailing_list.id,
            accepted_by=evidence.text(accepted_by, "accepted_by", most=200),
            at=self._clock.now(),
            terms_version=terms.version,
            terms_digest=terms.digest,
            content_digest=evidence.sha256(content_digest, "content_digest", "the file"),
        )
        event = await self._store.acceptances.add(acceptance)
        return await self._shown(acceptance, event)

    async def find(
        self, tenant: Tenant, mailing_list: MailingList, content_digest: str
    ) -> Accepted | None:
        """The acceptance of the terms in force for that content (SHA-256, hex), or None.

        Raises StoreTrouble.
        """
        found = await self._store.acceptances.find(
            tenant.id,
            mailing_list.id,
            terms_digest=self.terms().digest,
            content_digest=content_digest,
        )
        return await self._shown(found, found.event_id) if found is not None else None

    async def _shown(self, acceptance: Acceptance, event: int) -> Accepted:
        return Accepted(
            seq=await self._store.changes.sequence(acceptance.tenant_id, event),
            version=acceptance.terms_version,
            digest=acceptance.terms_digest,
            content_digest=acceptance.content_digest,
            accepted_by=acceptance.accepted_by,
            at=acceptance.at,
        )


@cache
def _shipped() -> Terms:
    texts = {file.stem: file.read_text("utf-8").strip() for file in sorted(_SHIPPED.glob("*.txt"))}
    return Terms(VERSION, _digest(texts), MappingProxyType(texts))


def _digest(texts: Mapping[str, str]) -> str:
    spelled = json.dumps(texts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(spelled.encode()).hexdigest()
