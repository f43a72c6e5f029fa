"""Tenants and what belongs to them: changed one at a time, read as one snapshot in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from relay.model import (
    Action,
    ApiKey,
    Brand,
    Credential,
    Directory,
    Kind,
    MailingList,
    Mode,
    Party,
    ScopeLevel,
    SenderDomain,
    Source,
    Tenant,
    TenantState,
)
from relay.store.schema import api_keys, brands, credentials, domains, lists, sources, tenants
from relay.store.sqlite.engine import Writer
from relay.store.sqlite.generation import Generation
from relay.store.sqlite.transaction import Transaction

_LOST_IDS: Final = 10_000
"""More of a kind than a relay makes between two backups."""

Noun = TypeVar("Noun", Tenant, Brand, MailingList, Credential, Source, ApiKey)


class DirectoryError(Exception):
    """A change to the directory that cannot be; the message is one sentence for a person."""


class Registry:
    """Changes the directory. Each method returns after the change is synced and in force.

    All raise DirectoryError when the change cannot be, and StoreTrouble.
    """

    def __init__(self, generation: Generation) -> None:
        self._generation: Final = generation
        self._snapshot = Directory()
        self._writer: Writer

    def attach(self, writer: Writer) -> None:
        """Hand over the connection."""
        self._writer = writer

    @property
    def snapshot(self) -> Directory:
        """The directory as last committed."""
        return self._snapshot

    async def add_tenant(self, tenant: Tenant) -> Tenant:
        """Add; ``id`` is given here and returned."""
        return await self._add(tenants, tenant, f"there is already a tenant {tenant.slug}")

    async def change_tenant(self, tenant: Tenant) -> None:
        """Put all fields but ``id`` in place of what is there."""
        await self._change(tenants, tenant, f"there is already a tenant {tenant.slug}")

    async def add_brand(self, brand: Brand) -> Brand:
        """Add; ``id`` is given here and returned."""
        return await self._add(brands, brand, f"the tenant already has a brand {brand.slug}")

    async def remove_brand(self, brand_id: int) -> None:
        """Remove a brand that no list uses; opt-outs from it stay on record."""
        await self._remove(brands, brands.c.id == brand_id, "a list still uses the brand")

    async def add_list(self, mailing_list: MailingList) -> MailingList:
        """Add; ``id`` is given here and returned. Archived lists keep their slug; their From
        address and List-Id go to the list that claims them anew."""
        return await self._add(lists, mailing_list, _taken(mailing_list), _released(mailing_list))

    async def change_list(self, mailing_list: MailingList) -> None:
        """Put all fields but ``id`` in place of what is there; this is also how to archive."""
        await self._change(lists, mailing_list, _taken(mailing_list), _released(mailing_list))

    async def add_domain(self, domain: SenderDomain) -> None:
        """Add a sender domain; a domain has one owner."""
        owner = self._snapshot.domains.get(domain.domain)
        taken = self._snapshot.tenants.get(owner.tenant_id) if owner is not None else None
        whose = f"tenant {taken.slug}" if taken is not None else "a tenant"
        values = {
            "domain": domain.domain,
            "tenant_id": domain.tenant_id,
            "selector": domain.selector,
        }
        await self._execute(
            lambda connection: connection.execute(insert(domains).values(values)),
            f"the domain {domain.domain} already belongs to {whose}",
        )

    async def change_domain(self, domain: SenderDomain) -> None:
        """Sign with another selector from now on."""
        where = domains.c.domain == domain.domain
        await self._touch(
            update(domains).where(where).values(selector=domain.selector),
            f"there is no domain {domain.domain}",
        )

    async def remove_domain(self, domain: str) -> None:
        """Remove a sender domain."""
        await self._remove(domains, domains.c.domain == domain, "the domain is in use")

    async def add_credential(self, credential: Credential) -> Credential:
        """Add; ``id`` is given here and returned."""
        taken = f"there is already a credential {credential.username}"
        return await self._add(credentials, credential, taken)

    async def revoke_credential(self, username: str) -> None:
        """Remove a credential."""
        await self._remove(
            credentials, credentials.c.username == username, "the credential is in use"
        )

    async def add_source(self, source: Source) -> Source:
        """Add; ``id`` is given here and returned."""
        return await self._add(sources, source, f"there is already a source {source.slug}")

    async def change_source(self, source: Source) -> None:
        """Put all fields but ``id`` in place of what is there."""
        await self._change(sources, source, f"there is already a source {source.slug}")

    async def add_api_key(self, key: ApiKey) -> ApiKey:
        """Add; ``id`` is given here and returned."""
        return await self._add(api_keys, key, f"the tenant already has an API key {key.name}")

    async def revoke_api_key(self, key_id: int) -> None:
        """Remove a key; it opens nothing any more on return."""
        await self._remove(api_keys, api_keys.c.id == key_id, "the key is in use")

    # --- in the writer's thread -------------------------------------------------------------

    def load(self, tx: Transaction) -> None:
        """Read the directory anew; it is in force once ``tx`` has committed."""
        snapshot = _load(tx.connection)

        def swap() -> None:
            self._snapshot = snapshot

        tx.after(swap)
        self._generation.grows(tx)

    async def _add(self, table: Table, noun: Noun, taken: str, before: Sequence[Any] = ()) -> Noun:
        values = _values(noun)

        def work(connection: Connection) -> int:
            for statement in before:
                connection.execute(statement)
            result = connection.execute(insert(table).values(values))
            assert result.inserted_primary_key is not None
            return int(result.inserted_primary_key[0])

        return replace(noun, id=await self._execute(work, taken))

    async def _change(
        self, table: Table, noun: Noun, taken: str, before: Sequence[Any] = ()
    ) -> None:
        statement = update(table).where(table.c.id == noun.id).values(_values(noun))
        await self._touch(statement, "there is nothing of that id", taken, before)

    async def _remove(self, table: Table, where: Any, used: str) -> None:
        await self._touch(delete(table).where(where), "there is no such entry", used)

    async def _touch(
        self, statement: Any, missing: str, taken: str = "", before: Sequence[Any] = ()
    ) -> None:
        def work(connection: Connection) -> None:
            for earlier in before:
                connection.execute(earlier)
            if connection.execute(statement).rowcount == 0:
                raise DirectoryError(missing)

        await self._execute(work, taken)

    async def _execute(self, change: Any, taken: str) -> Any:
        def work(tx: Transaction) -> Any:
            try:
                result = change(tx.connection)
            except IntegrityError as error:
                # FOREIGN KEY is about another row, UNIQUE about this one's name.
                foreign = "FOREIGN KEY" in str(error.orig) and not taken
                raise DirectoryError("it names something unknown" if foreign else taken) from error
            self.load(tx)
            return result

        return await self._writer.write(work)


def spend_ids(tx: Transaction) -> None:
    """Leave out the ids that a lost store may have given out since its backup: mail that left and
    the opt-out journal name them, and must never mean another tenant, brand or list."""
    for table in (tenants, brands, lists):
        tx.raw.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0 WHERE NOT EXISTS"
            " (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
            (table.name,),
        )
        tx.raw.execute(
            "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = ?", (_LOST_IDS, table.name)
        )


def _released(mailing_list: MailingList) -> list[Any]:
    """What takes the list's From address and List-Id off archived lists of the tenant."""
    claimed = {
        lists.c.from_address: mailing_list.from_address,
        lists.c.list_id: mailing_list.list_id,
    }
    return [
        update(lists)
        .where(lists.c.tenant_id == mailing_list.tenant_id)
        .where(lists.c.archived == 1, lists.c.id != mailing_list.id, column == value)
        .values({column: None})
        for column, value in claimed.items()
        if value is not None and not mailing_list.archived
    ]


def _taken(mailing_list: MailingList) -> str:
    return (
        f"the tenant already has a list {mailing_list.slug}, or one with that From address or"
        " List-Id"
    )


def _values(
    noun: Tenant | Brand | MailingList | Credential | Source | ApiKey,
) -> Mapping[str, Any]:
    """The columns of a noun, without its id."""
    match noun:
        case Tenant():
            return {
                "slug": noun.slug,
                "name": noun.party.name,
                "postal_address": noun.party.postal_address,
                "contact": noun.party.contact,
                "registration": noun.party.registration,
                "state": noun.state.value,
                "state_reason": noun.state_reason,
                "mode": noun.mode.value,
                "rulebooks": json.dumps(noun.rulebooks),
                "is_operator": int(noun.is_operator),
                "action": noun.action.slug,
                "attested_admitted": int(noun.attested_admitted),
                "rate": noun.rate,
                "personal_per_day": noun.personal_per_day,
            }
        case Brand():
            return {"tenant_id": noun.tenant_id, "slug": noun.slug, "name": noun.name}
        case MailingList():
            return {
                "tenant_id": noun.tenant_id,
                "slug": noun.slug,
                "kind": noun.kind.value,
                "purpose": noun.purpose,
                "promise": noun.promise,
                "brand_id": noun.brand_id,
                "consent_scope": noun.consent_scope.value,
                "from_address": noun.from_address,
                "list_id": noun.list_id,
                "action": noun.action.slug if noun.action is not None else None,
                "list_headers_ok": int(noun.list_headers_ok),
                "third_parties": noun.third_parties,
                "archived": int(noun.archived),
            }
        case Credential():
            return {
                "username": noun.username,
                "tenant_id": noun.tenant_id,
                "list_id": noun.list_id,
                "gateway": int(noun.gateway),
                "networks": json.dumps(noun.networks),
                "secret_hash": noun.secret_hash,
            }
        case Source():
            return {
                "slug": noun.slug,
                "approved": int(noun.approved),
                "public_key": noun.public_key,
            }
        case ApiKey():
            return {
                "tenant_id": noun.tenant_id,
                "name": noun.name,
                "secret_hash": noun.secret_hash,
                "created_at": noun.created_at,
            }


def _load(connection: Connection) -> Directory:
    def rows(table: Table) -> list[Row[Any]]:
        return list(connection.execute(select(table)))

    return Directory(
        tenants=MappingProxyType({r.id: _tenant(r) for r in rows(tenants)}),
        brands=MappingProxyType(
            {r.id: Brand(r.id, r.tenant_id, r.slug, r.name) for r in rows(brands)}
        ),
        lists=MappingProxyType({r.id: _list(r) for r in rows(lists)}),
        domains=MappingProxyType(
            {r.domain: SenderDomain(r.tenant_id, r.domain, r.selector) for r in rows(domains)}
        ),
        credentials=MappingProxyType({r.username: _credential(r) for r in rows(credentials)}),
        sources=MappingProxyType(
            {r.slug: Source(r.id, r.slug, bool(r.approved), r.public_key) for r in rows(sources)}
        ),
        api_keys=MappingProxyType(
            {
                r.secret_hash: ApiKey(r.id, r.tenant_id, r.name, r.secret_hash, r.created_at)
                for r in rows(api_keys)
            }
        ),
    )


def _tenant(row: Row[Any]) -> Tenant:
    return Tenant(
        id=row.id,
        slug=row.slug,
        party=Party(row.name, row.postal_address, row.contact, row.registration),
        state=TenantState(row.state),
        state_reason=row.state_reason,
        mode=Mode(row.mode),
        rulebooks=tuple(json.loads(row.rulebooks)),
        is_operator=bool(row.is_operator),
        action=Action[row.action.upper()],
        attested_admitted=bool(row.attested_admitted),
        rate=row.rate,
        personal_per_day=row.personal_per_day,
    )


def _list(row: Row[Any]) -> MailingList:
    return MailingList(
        id=row.id,
        tenant_id=row.tenant_id,
        slug=row.slug,
        kind=Kind(row.kind),
        purpose=row.purpose,
        promise=row.promise,
        brand_id=row.brand_id,
        consent_scope=ScopeLevel(row.consent_scope),
        from_address=row.from_address,
        list_id=row.list_id,
        action=Action[row.action.upper()] if row.action is not None else None,
        list_headers_ok=bool(row.list_headers_ok),
        third_parties=row.third_parties,
        archived=bool(row.archived),
    )


def _credential(row: Row[Any]) -> Credential:
    return Credential(
        id=row.id,
        username=row.username,
        tenant_id=row.tenant_id,
        list_id=row.list_id,
        gateway=bool(row.gateway),
        networks=tuple(json.loads(row.networks)),
        secret_hash=row.secret_hash,
    )
