"""Consents that were given elsewhere, recorded one at a time with their evidence (issue: bases).

Only a signed event of an approved source is the person's own act. What a tenant says, from a
shop's checkout, a list on paper or its own form, never counts against the person's own words:
after an opt-out it is not even recorded.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from relay.consent import evidence
from relay.consent.evidence import RecordingRefused as RecordingRefused
from relay.consent.sender_of import sender_name
from relay.consent.signed import SignedConsent, read_notice, read_token
from relay.consent.terms import TermsDesk
from relay.decide.address import one_spelling
from relay.decide.standing import OPTED_OUT, standing
from relay.decide.third_parties import vague_third_parties
from relay.model import (
    Act,
    Address,
    Basis,
    MailingList,
    StandingState,
    SubjectKeys,
    Tenant,
)
from relay.ports import Clock, Json, NewEvent
from relay.settings import Settings
from relay.store.people.consents import scope_of
from relay.store.people.recordings import Number, NumberTaken
from relay.store.store import Store

_LATEST: Final = 2**62
_CHANNELS: Final = ("paper", "phone")
_STRICT: Final = "strict-opt-in"
_HELD: Final = {
    Basis.CUSTOMER: (
        "mail on this ground is held: the four-part test of existing customers does not exist yet"
    ),
    Basis.ATTESTED: (
        "mail on this ground is held until the operator admits your own word for consent"
    ),
    Basis.OFFLINE: "mail on this ground is held until the person confirms it by e-mail",
}
_LEFT: Final = (
    "nothing was recorded: the person has opted out since. Only the person brings this back, by"
    " answering our confirmation mail or by a later act at an approved source"
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a consent that was sent in."""

    basis: Basis
    seq: int | None
    """Number of the event in the tenant's own chain; None when nothing was recorded."""
    effective: bool
    """False: the person has opted out, and this does not bring them back."""
    note: str = ""
    """What the tenant should know: why mail may be held all the same, or why nothing counts."""

    @property
    def state(self) -> str:
        """``recorded`` or ``without effect: opted out``."""
        return "recorded" if self.effective else "without effect: opted out"


class Recording:
    """Records consents of every basis but ``confirmed``, which only a confirmation to us makes.

    All methods raise RecordingRefused, and StoreTrouble: then nothing is recorded.
    """

    def __init__(
        self, store: Store, clock: Clock, pepper: bytes, settings: Settings, desk: TermsDesk
    ) -> None:
        self._store = store
        self._clock = clock
        self._pepper = pepper
        self.settings = settings
        """Replaced at a reload."""
        self._desk = desk

    async def approved(self, tenant: Tenant, mailing_list: MailingList, token: object) -> Recorded:
        """A consent that an approved source signed (clauses A10, B5): a JWT, see ``signed``.

        The same number (``jti``) of a source is the same event: sent again, it changes nothing.
        An event from before an opt-out never undoes it, whenever it is sent.
        """
        _check(tenant, mailing_list)
        if not isinstance(token, str):
            raise RecordingRefused("token must be a JWT, as a text")
        signed = read_token(
            token,
            sources=self._store.directory.sources,
            tenant=tenant.slug,
            mailing_list=mailing_list.slug,
            audiences=self._audiences(),
            now=self._clock.now(),
        )
        shown = await self._notice(tenant, mailing_list, signed.notice)
        keys = self._store.keys(signed.address)
        if not await self._counts(tenant, mailing_list, keys, signed.at, own_act=True):
            return Recorded(Basis.APPROVED, None, effective=False, note=_LEFT)
        said = {
            "source": signed.source.slug,
            **signed.said,
            **shown,
            "jwt": token,
            "public_key": signed.public_key,
        }
        try:
            return await self._grant(
                tenant,
                mailing_list,
                signed.address,
                Basis.APPROVED,
                signed.at,
                said,
                self._number(signed),
            )
        except NumberTaken as error:
            raise RecordingRefused(
                "jti: this number was used for another consent: give each its own"
            ) from error

    async def customer(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        *,
        address: object,
        order_hash: object,
        date: object,
        product_group: object,
        notice: object,
        optout_offered: object,
    ) -> Recorded:
        """An existing customer (clauses A6, A7, B13 to B16).

        ``order_hash`` is the SHA-256 (hex) of the order number; ``date`` that of the sale;
        ``notice`` the id of the stored version shown at checkout; ``optout_offered`` whether the
        person could refuse there.
        """
        _check(tenant, mailing_list)
        person = evidence.address(address, "address")
        if not isinstance(notice, int) or isinstance(notice, bool):
            raise RecordingRefused("notice must be the id of the version shown at checkout")
        return await self._tenants_word(
            tenant,
            mailing_list,
            person,
            Basis.CUSTOMER,
            evidence.date(date, "date", self._clock.now()),
            {
                "order_hash": evidence.sha256(order_hash, "order_hash", "the order number"),
                "product_group": evidence.text(product_group, "product_group", most=200),
                "optout_offered": evidence.flag(optout_offered, "optout_offered"),
                **await self._notice(tenant, mailing_list, read_notice(notice)),
            },
        )

    async def attested(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        *,
        address: object,
        collected_at: object,
        origin: object,
        version: object,
        accepted_by: object,
        notice: object = None,
        form_url: object = None,
        ip: object = None,
        user_agent: object = None,
    ) -> Recorded:
        """A consent on the tenant's own word (clauses A11, B27), which a person accepts the terms
        for: ``accepted_by`` is their name, ``version`` that of the terms in force. ``origin`` says
        where and how the consent was collected.
        """
        _check(tenant, mailing_list)
        person = evidence.address(address, "address")
        at = evidence.date(collected_at, "collected_at", self._clock.now())
        said: dict[str, Json] = {"origin": evidence.text(origin, "origin", most=500)}
        if notice is not None:
            said |= await self._notice(tenant, mailing_list, read_notice(notice))
        if form_url is not None:
            said["form_url"] = evidence.url(form_url, "form_url")
        if ip is not None:
            said["ip"] = evidence.ip(ip, "ip")
        if user_agent is not None:
            said["user_agent"] = evidence.text(user_agent, "user_agent", most=300, empty=True)
        keys = self._store.keys(person)
        if not await self._counts(tenant, mailing_list, keys, at, own_act=False):
            return Recorded(Basis.ATTESTED, None, effective=False, note=_LEFT)
        accepted = await self._desk.accept(
            tenant,
            mailing_list,
            version=version,
            accepted_by=accepted_by,
            # Keyed: a plain hash of so little would give the address away after its erasure.
            content_digest=self._keyed(
                b"record", _canonical({"address": person.exact, "at": at, **said})
            ),
        )
        said |= {"accepted_by": accepted.accepted_by, "acceptance": accepted.seq}
        return await self._grant(tenant, mailing_list, person, Basis.ATTESTED, at, said)

    async def offline(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        *,
        address: object,
        channel: object,
        date: object,
        collected_by: object,
    ) -> Recorded:
        """A consent on paper or by phone (clauses A8, A9): recorded, and nothing raises it but the
        person's own confirmation. ``collected_by`` is who took it down."""
        _check(tenant, mailing_list)
        if channel not in _CHANNELS:
            raise RecordingRefused(f"channel must be one of {', '.join(_CHANNELS)}")
        return await self._tenants_word(
            tenant,
            mailing_list,
            evidence.address(address, "address"),
            Basis.OFFLINE,
            evidence.date(date, "date", self._clock.now()),
            {
                "channel": channel,
                "collected_by": evidence.text(collected_by, "collected_by", most=200),
            },
        )

    async def _tenants_word(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        person: Address,
        basis: Basis,
        at: float,
        said: Mapping[str, Json],
    ) -> Recorded:
        keys = self._store.keys(person)
        if not await self._counts(tenant, mailing_list, keys, at, own_act=False):
            return Recorded(basis, None, effective=False, note=_LEFT)
        return await self._grant(tenant, mailing_list, person, basis, at, said)

    async def _grant(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        person: Address,
        basis: Basis,
        at: float,
        said: Mapping[str, Json],
        number: Number | None = None,
    ) -> Recorded:
        brand_id, list_id = scope_of(mailing_list)
        event = NewEvent(
            tenant.id,
            "consent.granted",
            at,
            self._store.keys(person),
            {
                "brand": brand_id,
                "list": list_id,
                "basis": basis.value,
                "own_act": basis is Basis.APPROVED,
                "expires_at": None,
                "automated": [],
                "evidence": dict(said),
            },
        )
        recorded = await self._store.recordings.record(
            event, address=one_spelling(person.wire), number=number
        )
        if recorded is None:
            return Recorded(basis, None, effective=False, note=_LEFT)
        seq = await self._store.changes.sequence(tenant.id, recorded)
        return Recorded(basis, seq, effective=True, note=_note(tenant, basis))

    async def _counts(
        self,
        tenant: Tenant,
        mailing_list: MailingList,
        keys: SubjectKeys,
        at: float,
        *,
        own_act: bool,
    ) -> bool:
        """Whether this consent, recorded now, would be of any effect: the one rule of standing
        says so, about the acts on record and this one."""
        (acts,) = await self._store.consents.acts(tenant.id, [keys])
        left = any(act.tenant_id == tenant.id and act.state in OPTED_OUT for act in acts)
        if not own_act:
            return not left
        brand_id, list_id = scope_of(mailing_list)
        new = Act(
            StandingState.GRANTED,
            at,
            _LATEST,
            tenant.id,
            brand_id,
            list_id,
            Basis.APPROVED,
            own_act=True,
            after_optout=left,
        )
        person = standing(
            (*acts, new), tenant_id=tenant.id, mailing_list=mailing_list, now=self._clock.now()
        )
        return person.state is StandingState.GRANTED

    async def _notice(
        self, tenant: Tenant, mailing_list: MailingList, notice: int | str
    ) -> dict[str, Json]:
        """The notice as evidence. Raises RecordingRefused."""
        if isinstance(notice, str):
            names = (
                tenant.party.name,
                sender_name(tenant, mailing_list, self._store.directory),
            )
            vague = vague_third_parties(notice, names=names)
            if vague is not None:
                raise RecordingRefused(f"notice: {vague!r} names nobody: name the parties")
            return {"notice_text": notice}
        version = await self._store.notice_versions.version(notice)
        if version is None or version.list_id != mailing_list.id:
            raise RecordingRefused(f"notice: list {mailing_list.slug} has no version {notice}")
        return {"notice": notice, "notice_digest": version.digest}

    def _audiences(self) -> tuple[str, ...]:
        url = self.settings.http.public_url.rstrip("/")
        names = (url, urlsplit(url).hostname or "", self.settings.hostname)
        return tuple(dict.fromkeys(name for name in names if name))

    def _number(self, signed: SignedConsent) -> Number:
        return Number(
            source_id=signed.source.id,
            jti=self._keyed(b"jti", signed.jti),
            content=self._keyed(b"claims", signed.claims),
        )

    def _keyed(self, purpose: bytes, text: str) -> str:
        return hmac.new(self._pepper, purpose + b"\0" + text.encode(), hashlib.sha256).hexdigest()


def _check(tenant: Tenant, mailing_list: MailingList) -> None:
    if mailing_list.tenant_id != tenant.id:
        raise RecordingRefused("list: there is no such list")
    if mailing_list.archived:
        raise RecordingRefused(f"list: {mailing_list.slug} is archived: nothing is sent to it")


def _note(tenant: Tenant, basis: Basis) -> str:
    if _STRICT not in tenant.rulebooks or (basis is Basis.ATTESTED and tenant.attested_admitted):
        return ""
    return _HELD.get(basis, "")


def _canonical(value: Mapping[str, Json]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
