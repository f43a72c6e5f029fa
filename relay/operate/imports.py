"""Operations that take in a file of consents or opt-outs, a chunk at a time.

The command line reads the file (the daemon may not be able to) and sends rows; nothing counts
before ``commit``, and what was never committed by the next start is cleared then.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from relay.consent.rows import Reader, Row, consent_row, optout_row, read_rows
from relay.model import Basis, Source
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json
from relay.store.people.consents import scope_of
from relay.store.people.imports import ImportClosed

_IMPORTABLE: Final = (Basis.APPROVED, Basis.CUSTOMER, Basis.ATTESTED, Basis.OFFLINE)


async def begin_consents(context: Context, tenant: str, list: str, source: str) -> Json:  # noqa: A002
    """Open an import of consents; ``{import}`` is its id."""
    directory = context.store.directory
    owner = names.tenant(directory, tenant)
    mailing_list = names.mailing_list(directory, owner, list)
    brand_id, list_id = scope_of(mailing_list)
    number = await context.store.imports.begin(
        "consent",
        owner.id,
        at=context.clock.now(),
        brand_id=brand_id,
        list_id=list_id,
        source_id=_source(context, source).id,
    )
    return {"import": number}


async def begin_optouts(context: Context, tenant: str) -> Json:
    """Open an import of opt-outs from a whole tenant."""
    owner = names.tenant(context.store.directory, tenant)
    number = await context.store.imports.begin("optout", owner.id, at=context.clock.now())
    return {"import": number}


async def consent_rows(
    context: Context,
    number: int,
    source: str,
    rows: list[Row],
) -> Json:
    """Stage a chunk; the answer is ``[[line, why], …]`` of those that are bad."""
    read = partial(
        consent_row,
        keys=context.store.keys,
        now=context.clock.now(),
        source=_source(context, source),
        bases=_IMPORTABLE,
        # The operator's shell stands in for the source's signature (recorded as such).
        said={"signed_by": "operator"},
    )
    return await _stage(context, number, rows, read)


async def optout_rows(context: Context, number: int, rows: list[Row]) -> Json:
    """Stage a chunk of opt-outs; a missing date is now. Answers as ``consent_rows``."""
    read = partial(optout_row, keys=context.store.keys, now=context.clock.now())
    return await _stage(context, number, rows, read)


async def commit(context: Context, number: int) -> Json:
    """Make all staged rows count at once."""
    began = context.clock.now()
    try:
        result = await context.store.imports.commit(number)
    except ImportClosed as error:
        raise OperationError(str(error)) from error
    if result.kind == "optout" and result.rows:
        owner = context.store.directory.tenants[result.tenant_id]
        context.optout(owner.slug, "import", result.rows)
        context.optout_in_force(max(0.0, context.clock.now() - began))
    event = await context.store.changes.sequence(result.tenant_id, result.event_id)
    return {"rows": result.rows, "opted_out": result.opted_out, "event": event}


async def abort(context: Context, number: int) -> Json:
    """Take all staged rows back."""
    await context.store.imports.abort(number)
    return None


async def _stage(context: Context, number: int, rows: Sequence[Row], read: Reader) -> Json:
    good, bad = read_rows(rows, read)
    if good:
        try:
            await context.store.imports.stage(number, good)
        except ImportClosed as error:
            raise OperationError(str(error)) from error
    return [[line, why] for line, why in bad]


def _source(context: Context, slug: str) -> Source:
    found = context.store.directory.sources.get(slug)
    if found is None:
        raise OperationError(f"there is no source {slug!r}")
    return found
