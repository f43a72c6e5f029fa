"""A person's record in that person's words: which consents there are, and what happened.

Nothing here reads or writes; nothing of another tenant or of the operator's work comes through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from relay.decide.standing import OPTED_OUT, brand_itself, level, standing
from relay.model import Act, Directory, MailingList, ScopeLevel, StandingState, Tenant
from relay.ports import Json
from relay.store.people.notice_versions import NoticeVersion
from relay.store.people.own_events import OwnRecord
from relay.web.own_view import OwnConsent, OwnEvent

_GIVEN: Final = (StandingState.GRANTED, StandingState.PENDING)
_AS_SHOWN: Final[Mapping[str, str]] = {
    "consent.imported": "consent.granted",
    "optout.imported": "optout",
}
_SHOWN: Final = frozenset(
    {
        "consent.pending",
        "confirmation.mailed",
        "consent.granted",
        "copy.delivered",
        "optout",
        "complaint",
        "bounce",
        "suppression.lifted",
        "erasure",
    }
)


@dataclass(frozen=True, slots=True)
class Given:
    """The consent, or request for one, that says most about a scope."""

    act: Act
    scope: ScopeLevel
    state: StandingState
    """How things stand at this scope now."""

    @property
    def scope_id(self) -> int:
        """Of the brand or list; 0 for the tenant."""
        return self.act.list_id or self.act.brand_id or 0


@dataclass(frozen=True, slots=True)
class AskedFor:
    """A consent with the evidence behind it."""

    given: Given
    record: OwnRecord | None
    """The event that recorded it; None when it was erased, or is older than what is read."""
    notice: NoticeVersion | None
    """What the person was shown."""


@dataclass(frozen=True, slots=True)
class PersonsRecord:
    """All that one tenant has on record about one person."""

    at: float
    """When it was read, epoch seconds."""
    tenant: Tenant
    address: str
    asked: tuple[AskedFor, ...]
    records: tuple[OwnRecord, ...]
    complete: bool
    """``records`` are all there are."""
    all_stopped: bool


def given(
    acts: Sequence[Act], tenant: Tenant, directory: Directory, now: float
) -> tuple[Given, ...]:
    """One for each scope at which the person ever consented or was asked, widest first.

    ``acts`` are of all spellings of the address; ``now`` in seconds since the epoch.
    """
    found: dict[tuple[int | None, int | None], Act] = {}
    for act in acts:
        if act.tenant_id == tenant.id and act.state in _GIVEN:
            key = (act.brand_id, act.list_id)
            known = found.get(key)
            found[key] = act if known is None else max(known, act, key=_says)
    return tuple(
        sorted(
            (
                Given(act, level(act), _state(act, acts, tenant, directory, now))
                for act in found.values()
            ),
            key=lambda one: (one.act.list_id or 0, one.act.brand_id or 0),
        )
    )


def consent_of(asked: AskedFor, tenant: Tenant, directory: Directory) -> OwnConsent:
    """One consent as the page shows it; without a notice on record, in the list's own words."""
    act, notice = asked.given.act, asked.notice.content if asked.notice is not None else None
    mailing_list = directory.lists.get(act.list_id or 0)
    shown = notice or mailing_list
    return OwnConsent(
        scope=asked.given.scope.value,
        scope_id=asked.given.scope_id,
        name=name_of(tenant, directory, act.brand_id, act.list_id),
        state=asked.given.state.value,
        basis=act.basis.value,
        since=act.at,
        asked_at=asked_at(asked.record),
        words=notice.question if notice is not None else "",
        promise=shown.promise if shown is not None else "",
        third_parties=shown.third_parties if shown is not None else "",
    )


def all_stopped(acts: Sequence[Act], tenant: Tenant, now: float) -> bool:
    """Whether an opt-out from the whole tenant is in force."""
    person = standing(acts, tenant_id=tenant.id, mailing_list=None, now=now)
    return person.state in OPTED_OUT


def name_of(tenant: Tenant, directory: Directory, brand_id: object, list_id: object) -> str:
    """What a scope covers, in words: purpose of the list, name of the brand or of the sender."""
    mailing_list = directory.lists.get(list_id) if isinstance(list_id, int) else None
    if mailing_list is not None and mailing_list.tenant_id == tenant.id:
        return mailing_list.purpose or mailing_list.slug
    brand = directory.brands.get(brand_id) if isinstance(brand_id, int) else None
    if brand is not None and brand.tenant_id == tenant.id:
        return brand.name
    return tenant.party.name


def history(
    records: Sequence[OwnRecord], tenant: Tenant, directory: Directory
) -> Iterator[tuple[OwnRecord, OwnEvent]]:
    """What concerns the person, oldest first; each with what the page says of it."""
    for record in records:
        kind = _AS_SHOWN.get(record.type, record.type)
        if kind not in _SHOWN:
            continue
        name = name_of(tenant, directory, record.data.get("brand"), record.data.get("list"))
        channel = "import" if record.line else str(record.data.get("channel") or "")
        yield record, OwnEvent(record.at, kind, name, channel)


def notice_of(record: OwnRecord | None) -> int | None:
    """Id of the notice version that was shown, as the evidence has it."""
    found = _first(record, "notice")
    return found if isinstance(found, int) else None


def asked_at(record: OwnRecord | None) -> str:
    """Where it was asked: the form's URL or the source; empty when unknown."""
    if record is None:
        return ""
    for name in ("form_url", "origin", "collected_by", "source"):
        found = _first(record, name)
        if found:
            return str(found)
    return record.source


def _first(record: OwnRecord | None, name: str) -> Json:
    evidence = record.data.get("evidence") if record is not None else None
    if not isinstance(evidence, Mapping):
        return None
    signup = evidence.get("signup")
    places = (evidence, signup) if isinstance(signup, Mapping) else (evidence,)
    return next((place[name] for place in places if place.get(name)), None)


def _says(act: Act) -> tuple[bool, float, int]:
    return act.state is StandingState.GRANTED, act.at, act.event_id


def _state(
    act: Act, acts: Sequence[Act], tenant: Tenant, directory: Directory, now: float
) -> StandingState:
    person = standing(acts, tenant_id=tenant.id, mailing_list=_at(act, tenant, directory), now=now)
    # A request that was never answered leaves nothing behind.
    return StandingState.EXPIRED if person.state is StandingState.ABSENT else person.state


def _at(act: Act, tenant: Tenant, directory: Directory) -> MailingList | None:
    """A list that stands exactly at the scope of an act."""
    if act.list_id is None and act.brand_id is None:
        return None
    brand = brand_itself(tenant.id, act.brand_id)
    if act.list_id is None:
        return brand
    return directory.lists.get(act.list_id) or replace(brand, id=act.list_id)
