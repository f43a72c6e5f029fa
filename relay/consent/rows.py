"""What a row of an imported file says of one person, as the store takes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from typing import Final, TypeAlias

from relay.consent import evidence
from relay.consent.evidence import RecordingRefused
from relay.decide.address import AddressError, one_spelling, parse_address
from relay.model import Address, Basis, Source, SubjectKeys
from relay.ports import Json
from relay.store.people.imports import ImportRow

Row: TypeAlias = tuple[int, dict[str, str]]
"""Line number in the file, and the fields by column name."""
Bad: TypeAlias = tuple[int, str]
"""Line number, and why the row cannot be taken, in words that follow "line 12: "."""
Reader: TypeAlias = Callable[[int, dict[str, str]], ImportRow]
"""Raises RecordingRefused."""
Keys: TypeAlias = Callable[[Address], SubjectKeys]

CONSENT_COLUMNS: Final = ("address", "basis", "collected_at")
"""What a file of consents must have; all other columns are evidence."""

_LAST_OF_DAY: Final = 86_399.999
"""Seconds after midnight."""


def read_rows(rows: Iterable[Row], read: Reader) -> tuple[list[ImportRow], list[Bad]]:
    """The rows that are good, and the lines of those that are not."""
    good: list[ImportRow] = []
    bad: list[Bad] = []
    for line, fields in rows:
        try:
            good.append(read(line, fields))
        except RecordingRefused as error:
            bad.append((line, str(error)))
    return good, bad


def consent_row(
    line: int,
    fields: Mapping[str, str],
    *,
    keys: Keys,
    now: float,
    source: Source,
    bases: Collection[Basis],
    said: Mapping[str, Json],
) -> ImportRow:
    """A consent of one of ``bases``; ``said`` is evidence that the file cannot overrule.

    Raises RecordingRefused.
    """
    person = _address(fields)
    return ImportRow(
        line=line,
        keys=keys(person),
        address=one_spelling(person.wire),
        at=evidence.date(fields.get("collected_at", ""), "collected_at", now),
        basis=_basis(fields.get("basis", ""), source, bases),
        evidence={**_other(fields, CONSENT_COLUMNS), "source": source.slug, **said},
    )


def optout_row(line: int, fields: Mapping[str, str], *, keys: Keys, now: float) -> ImportRow:
    """An opt-out, of the time in ``collected_at`` or ``at``: of the end of that day when only a
    date is given, and of now without one; never later than now. Raises RecordingRefused."""
    person = _address(fields)
    return ImportRow(
        line=line,
        keys=keys(person),
        address=one_spelling(person.wire),
        at=_left_at(optout_date(fields), now),
        evidence=_other(fields, ("address",)),
    )


def optout_date(fields: Mapping[str, str]) -> str:
    """What a row says about when the person left; empty when it says nothing."""
    return (fields.get("collected_at") or fields.get("at") or "").strip()


def _left_at(said: str, now: float) -> float:
    if not said:
        return now
    at = evidence.date(said, "collected_at", now)
    try:
        date.fromisoformat(said)
    except ValueError:
        return at
    # Who comes back and leaves again on one day has left: the row may be of the second time.
    return min(at + _LAST_OF_DAY, now)


def _address(fields: Mapping[str, str]) -> Address:
    try:
        return parse_address(fields.get("address", "").strip())
    except AddressError as error:
        raise RecordingRefused(f"not a mail address: {error}") from error


def _other(fields: Mapping[str, str], known: Collection[str]) -> dict[str, Json]:
    return {name: value for name, value in fields.items() if name not in known}


def _basis(text: str, source: Source, bases: Collection[Basis]) -> Basis:
    word = text.strip().lower()
    names = ", ".join(bases)
    if word == Basis.CONFIRMED:
        raise RecordingRefused(
            "basis confirmed cannot be imported: only our own confirmation makes it"
        )
    if word == Basis.NONE:
        raise RecordingRefused(f"basis none is no consent; there are {names}")
    if word == Basis.APPROVED and word not in bases:
        raise RecordingRefused("basis approved needs the signature of its source: send it as token")
    if word not in bases:
        raise RecordingRefused(f"basis {word[:40]!r} is none of {names}")
    if word == Basis.APPROVED and not source.approved:
        raise RecordingRefused(f"basis approved needs an approved source, and {source.slug} is not")
    return Basis(word)
