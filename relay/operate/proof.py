"""Operations that make proofs: one JSON document each, in pieces of text."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay.consent.proving import Proving
from relay.decide.keys import subject_keys
from relay.operate import names
from relay.operate.context import Context
from relay.ports import Json


async def ledger(context: Context, tenant: str) -> AsyncIterator[Json]:
    """The bundle of a tenant's whole chain."""
    owner = names.tenant(context.store.directory, tenant)
    async for piece in _proving(context).ledger(owner):
        yield piece


async def person(context: Context, address: str, tenant: str | None = None) -> AsyncIterator[Json]:
    """The bundle of what is on record about one person, at one tenant or all."""
    owner = names.tenant(context.store.directory, tenant) if tenant is not None else None
    who = names.address(address, "the address")
    keys = subject_keys(context.keys.pepper, who)
    async for piece in _proving(context).person(who, keys, owner):
        yield piece


def _proving(context: Context) -> Proving:
    return Proving(context.store, context.clock, context.settings.hostname)
