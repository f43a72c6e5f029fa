"""Proofs that can be checked without us: bundles of events, chain links and signed heads.

A bundle is one JSON document, made piece by piece. ``relay/verify_bundle.py`` checks it, and its
text says what each part means.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from relay.model import Address, Directory, SubjectKeys, Tenant
from relay.ports import Clock, Json
from relay.store.ledger.chain import IMPORTED
from relay.store.ledger.heads import Line
from relay.store.ledger.proofs import Mentioned, StoredNotice
from relay.store.store import Store

FORMAT: Final = "consent-relay proof"
VERSION: Final = 1
CONTEXT: Final = b"consent-relay proof 1\n"
"""In front of what the seal signs: nothing else that the key signs begins so."""
BARE: Final = 2
"""Members of an imported row that is not shown: line and commitment."""
PIECE: Final = 65_536
"""Characters, about, that are handed on at once."""

_REFERENCES: Final = ("consent", "signup", "event")
"""Keys whose value is the id of another event."""


class Proving:
    """Makes bundles."""

    def __init__(self, store: Store, clock: Clock, hostname: str) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._hostname: Final = hostname

    def ledger(self, tenant: Tenant) -> AsyncIterator[str]:
        """The bundle of a whole chain, in pieces of text. Raises StoreTrouble."""
        return self._sealed(self._ledger(tenant))

    def person(
        self, address: Address, keys: SubjectKeys, tenant: Tenant | None = None
    ) -> AsyncIterator[str]:
        """The bundle of what is on record about one person, at one tenant or all, in pieces of
        text. Raises StoreTrouble."""
        return self._sealed(self._person(address, keys, tenant))

    async def _sealed(self, pieces: AsyncIterator[str]) -> AsyncIterator[str]:
        """Some kilobytes at a time, and the signature over all of it at the end."""
        digest, gathered, size = hashlib.sha256(), [""], 0
        async for piece in pieces:
            gathered.append(piece)
            size += len(piece)
            if size >= PIECE:
                text, gathered, size = "".join(gathered), [""], 0
                digest.update(text.encode())
                yield text
        text = "".join(gathered)
        digest.update(text.encode())
        yield text
        yield f',"signature":"{self._store.proofs.seal(CONTEXT + digest.digest()).hex()}"}}\n'

    async def _ledger(self, tenant: Tenant) -> AsyncIterator[str]:
        proofs = self._store.proofs
        await self._store.ledger.sign()
        last = await proofs.last_seq(tenant.id)
        heads = await proofs.heads_by_day(tenant.id)
        notices = await proofs.notices(tenant.id)
        yield self._opening("ledger", None)
        yield self._tenant(tenant, [line for line in heads if line.heads[tenant.id].seq <= last])
        async for piece in self._runs(tenant.id, [(1, last)] if last else [], _words(notices)):
            yield piece
        yield "}\n]"

    async def _person(
        self, address: Address, keys: SubjectKeys, tenant: Tenant | None
    ) -> AsyncIterator[str]:
        await self._store.ledger.sign()
        found = await self._store.proofs.of_person(keys.wide)
        directory = self._store.directory
        yield self._opening(
            "person",
            {"address": address.wire, "exact": keys.exact.hex(), "wide": keys.wide.hex()},
        )
        between = ""
        for number, group in groupby(found, key=lambda one: one.tenant_id):
            owner = directory.tenants.get(number)
            if tenant is None or tenant.id == number:
                async for piece in self._of_person(number, owner, list(group), keys):
                    yield between + piece
                    between = ""
                between = ","
        yield "]"

    async def _of_person(
        self, number: int, owner: Tenant | None, found: Sequence[Mentioned], keys: SubjectKeys
    ) -> AsyncIterator[str]:
        notices = await self._store.proofs.notices(number)
        full = await self._full(number, found, keys.wide, notices)
        heads = await self._store.proofs.heads_around(number, sorted(full))
        yield self._tenant(owner or number, heads)
        spans = _spans(sorted(full), number, heads)
        async for piece in self._runs(number, spans, _words(notices), keys.wide, full):
            yield piece
        yield "}\n"

    async def _full(
        self,
        number: int,
        found: Sequence[Mentioned],
        wide: bytes,
        notices: Sequence[StoredNotice],
    ) -> frozenset[int]:
        """The places of what a person's bundle shows in full: the person's events, and what they
        refer to: notices, batches, other events."""
        said = [json.loads(one.content) for one in found if one.content is not None]
        for batch in found:
            if batch.import_id is not None:
                async for row in self._store.proofs.rows(batch.import_id, wide):
                    if len(row) > BARE:
                        said.append(json.loads(str(row[-1])))
        digests, events, accepted = (
            {value for one in said for value in _values(one, names)}
            for names in (("notice_digest",), _REFERENCES, ("acceptance",))
        )
        referred = await self._store.proofs.referred(
            number,
            wide,
            ids={value for value in events if isinstance(value, int)},
            acceptances={value for value in accepted if isinstance(value, int)},
        )
        shown = {notice.seq for notice in notices if notice.digest in digests}
        return frozenset({one.seq for one in found} | shown | set(referred))

    async def _runs(
        self,
        number: int,
        spans: Sequence[tuple[int, int]],
        words: Mapping[int, str],
        wide: bytes | None = None,
        full: Collection[int] | None = None,
    ) -> AsyncIterator[str]:
        """Runs of links. ``words`` are those of the notices, by place; the content of those in
        ``full`` (places; None is all) comes along, and of imports the rows of ``wide`` (or all)."""
        yield ',"runs":['
        for index, (first, last) in enumerate(spans):
            yield "," if index else ""
            between = "[\n"
            async for link in self._store.proofs.events(number, first, last, full):
                if link["seq"] in words and "content" in link:
                    link["words"] = words[link["seq"]]
                yield between + _text(link)[:-1]
                if link["type"] in IMPORTED and "content" in link:
                    async for piece in self._rows(str(link["content"]), wide):
                        yield piece
                yield "}"
                between = ",\n"
            yield "]"
        yield "]"

    async def _rows(self, content: str, wide: bytes | None) -> AsyncIterator[str]:
        yield ',"rows":['
        between = "\n"
        async for row in self._store.proofs.rows(json.loads(content)["data"]["import"], wide):
            yield between + _text(row)
            between = ",\n"
        yield "]"

    def _opening(self, kind: str, person: Json) -> str:
        key = self._store.proofs.key
        said: dict[str, Json] = {
            "format": FORMAT,
            "version": VERSION,
            "kind": kind,
            "relay": self._hostname,
            "made": _iso(self._clock.now()),
            "key": {"algorithm": "Ed25519", "fingerprint": key.fingerprint, "pem": key.pem},
            "person": person,
        }
        return _text(said)[:-1] + ',"tenants":[\n'

    def _tenant(self, owner: Tenant | int, heads: Sequence[Line]) -> str:
        """Who it is, the names of what is called by number elsewhere, and the signed heads."""
        number = owner if isinstance(owner, int) else owner.id
        directory = self._store.directory
        said: dict[str, Json] = {"id": number, "slug": None, "party": None}
        if isinstance(owner, Tenant):
            party = owner.party
            said["slug"] = owner.slug
            said["party"] = {
                "name": party.name,
                "postal_address": party.postal_address,
                "contact": party.contact,
                "registration": party.registration,
            }
        said |= {**_names(directory, number), "heads": [line.proof(number) for line in heads]}
        return _text(said)[:-1]


def _names(directory: Directory, tenant_id: int) -> dict[str, Json]:
    return {
        "brands": [
            {"id": brand.id, "slug": brand.slug, "name": brand.name}
            for brand in directory.brands.values()
            if brand.tenant_id == tenant_id
        ],
        "lists": [
            {
                "id": one.id,
                "slug": one.slug,
                "kind": one.kind.value,
                "purpose": one.purpose,
                "brand": one.brand_id,
            }
            for one in directory.lists.values()
            if one.tenant_id == tenant_id
        ],
    }


def _words(notices: Sequence[StoredNotice]) -> dict[int, str]:
    return {notice.seq: notice.content for notice in notices}


def _spans(seqs: Sequence[int], number: int, heads: Sequence[Line]) -> list[tuple[int, int]]:
    """For each event the run of links from the signed head before it to the one after it; runs
    that touch are one."""
    ends = sorted({line.heads[number].seq for line in heads})
    spans: list[tuple[int, int]] = []
    for seq in seqs:
        first = max((end for end in ends if end < seq), default=0) + 1
        last = min((end for end in ends if end >= seq), default=seq)
        if spans and first <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(last, spans[-1][1]))
        else:
            spans.append((first, last))
    return spans


def _values(said: Any, keys: Collection[str]) -> list[Any]:
    """Every value that stands under one of some keys, at any depth."""
    found: list[Any] = []
    if isinstance(said, Mapping):
        for key, value in said.items():
            if key in keys and isinstance(value, int | str):
                found.append(value)
            else:
                found += _values(value, keys)
    elif isinstance(said, list):
        for value in said:
            found += _values(value, keys)
    return found


def _text(value: Json) -> str:
    # Octets that no terminal and no locale changes on the way: the seal is over all of them.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")
