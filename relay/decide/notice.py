"""A notice: what a person is shown before consenting, as one value with one digest (B5-B11, B30).

A consent points at the version of the notice that was shown, so the same words always make the
same digest, and any other word makes another.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

from relay.decide.address import mixes_scripts
from relay.decide.third_parties import vague_third_parties
from relay.ports import Json

LONGEST: Final = 1_000
"""Characters of what is sent, and of the list of third parties."""
LONGEST_QUESTION: Final = 2_000
"""Characters of a question: ours repeats what is sent, how often, and by whom."""
_WORD: Final = re.compile(r"\w+")


class NoticeRefused(ValueError):
    """A notice that nobody may be shown; the message is for the tenant, and says what to write."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is sent, how often, by whom, who else gets the address, and the question."""

    language: str
    """Of the question: ISO 639 code."""
    purpose: str
    """What is sent (B8)."""
    promise: str
    """How often (B9): ``N/day|week|month``."""
    sender: str
    """Name of the brand, or of the party itself."""
    party: str
    """Name of the legal person (B11)."""
    postal_address: str
    registration: str
    """Empty when there is none."""
    contact: str
    """Mail address."""
    third_parties: str
    """Named parties that the address is given to; empty: to nobody (B10)."""
    question: str
    """The text beside the box that the person ticks (B7)."""
    scope: str = "list"
    """What the consent covers: this ``list``, or everything of the ``brand`` or ``tenant`` (B21).
    """


def canonical(notice: Notice) -> str:
    """The one JSON spelling of a notice: sorted keys, no spaces, no escapes but the needed."""
    return json.dumps(asdict(notice), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(notice: Notice) -> str:
    """SHA-256 over ``canonical``, in UTF-8, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(notice).encode()).hexdigest()


def from_json(said: Mapping[str, Json]) -> Notice:
    """The notice whose ``canonical`` was read back. Raises KeyError for what is none."""
    return Notice(**{field.name: str(said[field.name]) for field in fields(Notice)})


def check(notice: Notice) -> None:
    """Raises NoticeRefused for a notice that cannot be the ground of an informed consent."""
    for what, text in (("purpose", notice.purpose), ("question", notice.question)):
        if not text.strip():
            raise NoticeRefused(f"the {what} is empty: say what the person agrees to")
    names = (notice.sender, notice.party)
    for fault in (
        fault_of(notice.purpose, "the purpose", names=names),
        fault_of(notice.question, "the question", names=names, longest=LONGEST_QUESTION),
        fault_of(notice.third_parties, "the third parties", names=names, listing=True),
    ):
        if fault is not None:
            raise NoticeRefused(fault)


def fault_of(
    text: str,
    where: str,
    *,
    names: Sequence[str],
    listing: bool = False,
    longest: int = LONGEST,
) -> str | None:
    """Why nobody may be shown ``text`` (called ``where``), as one sentence; None when they may.

    ``listing``: it is the list of third parties; ``names``: of the sender, which may be called
    anything.
    """
    if len(text) > longest:
        return f"{where} has more than {longest} characters: nobody reads it"
    for word in _WORD.findall(text):
        if mixes_scripts(word):
            return f'"{word}" in {where} mixes alphabets that look alike: write it in one of them'
    phrase = vague_third_parties(text, listing=listing, names=names)
    return None if phrase is None else vague_sentence(phrase, where)


def vague_sentence(phrase: str, where: str) -> str:
    """Why a phrase in ``where`` is refused and what to write instead, as one sentence (B30)."""
    return (
        f'"{phrase}" in {where} does not tell a person who gets the address: name every party '
        f'("our partners: Example BV, Sample Ltd"), or leave it out when nobody else gets it'
    )
