"""Operations that take in a file of consents or opt-outs, a chunk at a time.

The command line reads the file (the daemon may not be able to) and sends rows; nothing counts
before ``commit``, and what was never committed is cleared at the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from relay.decide.address import AddressError, parse_address
from relay.decide.keys import subject_keys
from relay.model import Address, Basis, Source
from relay.operate import names
from relay.operate.context import Context
from relay.operate.errors import OperationError
from relay.ports import Json
from relay.store.consents import scope_of
from relay.store.imports import ImportClosed, ImportRow

EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
AHEAD_SECONDS: Final = 86_400
"""How far a date may lie in the future: a day, for dates written in another time zone."""

Row: TypeAlias = tuple[int, dict[str, str]]
"""Line number in the file, and the fields by column name."""

_Reader: TypeAlias = Callable[[int, dict[str, str]], ImportRow]
_IMPORTABLE: Final = ("approved", "customer", "attested", "offline")
_COLUMNS: Final = ("address", "basis", "collected_at")


class _BadRow(Exception):
    """Why a row cannot be taken, in words that follow "line 12: "."""


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
    origin = _source(context, source)

    def read(line: int, fields: dict[str, str]) -> ImportRow:
        person = _address(fields)
        return ImportRow(
            line=line,
            keys=subject_keys(context.keys.pepper, person),
            address=person.exact,
            at=_time(fields.get("collected_at", ""), context.clock.now()),
            basis=_basis(fields.get("basis", ""), origin),
            evidence={
                "source": origin.slug,
                # The operator's shell stands in for the source's signature (recorded as such).
                "signed_by": "operator",
                **{name: value for name, value in fields.items() if name not in _COLUMNS},
            },
        )

    return await _stage(context, number, rows, read)


async def optout_rows(context: Context, number: int, rows: list[Row]) -> Json:
    """Stage a chunk of opt-outs; a missing date is now. Answers as ``consent_rows``."""
    now = context.clock.now()

    def read(line: int, fields: dict[str, str]) -> ImportRow:
        person = _address(fields)
        given = fields.get("collected_at") or fields.get("at") or ""
        return ImportRow(
            line=line,
            keys=subject_keys(context.keys.pepper, person),
            address=person.exact,
            at=_time(given, now) if given else now,
            evidence={name: value for name, value in fields.items() if name != "address"},
        )

    return await _stage(context, number, rows, read)


async def commit(context: Context, number: int) -> Json:
    """Make all staged rows count at once."""
    try:
        result = await context.store.imports.commit(number)
    except ImportClosed as error:
        raise OperationError(str(error)) from error
    return {"rows": result.rows, "opted_out": result.opted_out, "event": result.event_id}


async def abort(context: Context, number: int) -> Json:
    """Take all staged rows back."""
    await context.store.imports.abort(number)
    return None


async def _stage(context: Context, number: int, rows: Sequence[Row], read: _Reader) -> Json:
    good: list[ImportRow] = []
    bad: list[Json] = []
    for line, fields in rows:
        try:
            good.append(read(line, fields))
        except _BadRow as error:
            bad.append([line, str(error)])
    if good:
        try:
            await context.store.imports.stage(number, good)
        except ImportClosed as error:
            raise OperationError(str(error)) from error
    return bad


def _source(context: Context, slug: str) -> Source:
    found = context.store.directory.sources.get(slug)
    if found is None:
        raise OperationError(f"there is no source {slug!r}")
    return found


def _address(fields: dict[str, str]) -> Address:
    try:
        return parse_address(fields.get("address", "").strip())
    except AddressError as error:
        raise _BadRow(f"not a mail address: {error}") from error


def _basis(text: str, source: Source) -> Basis:
    word = text.strip().lower()
    if word == Basis.CONFIRMED:
        raise _BadRow("basis confirmed cannot be imported: only our own confirmation makes it")
    try:
        basis = Basis(word)
    except ValueError as error:
        raise _BadRow(f"basis {word[:40]!r} is none of {', '.join(_IMPORTABLE)}") from error
    if basis is Basis.NONE:
        raise _BadRow(f"basis none is no consent; there are {', '.join(_IMPORTABLE)}")
    if basis is Basis.APPROVED and not source.approved:
        raise _BadRow(f"basis approved needs an approved source, and {source.slug} is not")
    return basis


def _time(text: str, now: float) -> float:
    try:
        given = datetime.fromisoformat(text.strip())
        at = given.replace(tzinfo=given.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise _BadRow(
            "collected_at is not a date such as 2026-11-22 or 2026-11-22T06:29Z"
        ) from error
    if not EARLIEST <= at <= now + AHEAD_SECONDS:
        raise _BadRow("collected_at lies in the future, or before 1990")
    return min(at, now)
