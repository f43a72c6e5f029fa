"""Who gets the address: named parties, or a phrase behind which anybody may stand (clause B30).

"Specially selected partners" tells a person nothing, so a consent that rests on it is not
informed. Words are read as a person reads them: capitals, hyphens, soft hyphens and spacing make
no difference. What a notice denies ("never to third parties") it may say, and what it names
("our partners: Example BV") it has named.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+(?:[.'’][^\W_]+)*", re.UNICODE)
_SENTENCE = re.compile(r"[.;!?]+(?=\s|$)")
# What follows takes the denial before it back: "not to third parties, except our partners".
_EXCEPTION = frozenset(
    {"but", "except", "excepting", "unless", "only", "besides", "apart"}
    | {"maar", "behalve", "tenzij", "alleen", "uitgezonderd", "enkel", "slechts"}
)
_DENIAL = frozenset(
    {"no", "not", "never", "none", "nor", "neither", "without", "nobody", "don't", "don’t"}
    | {"won't", "won’t", "cannot", "niet", "nooit", "geen", "zonder", "niemand", "noch"}
)

_PARTNERS = frozenset(
    {"partner", "partners", "partnership", "partnerships", "copartners", "affiliates"}
    | {"partnerbedrijf", "partnerbedrijven", "partnerorganisatie", "partnerorganisaties"}
    | {"samenwerkingspartner", "samenwerkingspartners", "zakenpartner", "zakenpartners"}
    | {"mediapartner", "mediapartners", "advertentiepartners", "handelspartners"}
)
_THIRD = frozenset({"derden"})
_THIRD_PARTY = {
    "third": frozenset({"party", "parties"}),
    "derde": frozenset({"partij", "partijen"}),
}
# Who is meant only with a word such as "selected" before them.
_COMPANIES = frozenset(
    {"company", "companies", "firm", "firms", "business", "businesses", "party", "parties"}
    | {"organisation", "organisations", "organization", "organizations", "entities"}
    | {"advertiser", "advertisers", "sponsor", "sponsors"}
    | {"bedrijf", "bedrijven", "onderneming", "ondernemingen", "partij", "partijen"}
    | {"organisatie", "organisaties", "adverteerder", "adverteerders", "sponsoren"}
)
_SELECTED = frozenset(
    {"selected", "select", "chosen", "picked", "handpicked", "trusted", "preferred", "reputable"}
    | {"reliable", "approved", "affiliated", "associated", "vetted", "selective", "other"}
    | {"geselecteerd", "geselecteerde", "uitgeselecteerde", "uitgekozen", "gekozen", "uitgezocht"}
    | {"uitgezochte", "vertrouwde", "betrouwbare", "gelieerd", "gelieerde", "verbonden"}
    | {"aangesloten", "goedgekeurde", "andere", "overige"}
)
# Say nothing about who, and may stand between the words above and the noun.
_FILLING = frozenset(
    {"carefully", "specially", "especially", "hand", "thoroughly", "some", "certain", "various"}
    | {"the", "a", "an", "all", "any", "few", "number", "business", "commercial", "marketing"}
    | {"advertising", "media", "network", "industry", "external", "relevant", "and", "or", "by"}
    | {"us", "for", "you", "of", "group"}
    | {"zorgvuldig", "speciaal", "de", "het", "een", "alle", "enkele", "sommige", "bepaalde"}
    | {"diverse", "verschillende", "commerciële", "commerciele", "externe", "relevante", "en"}
    | {"of", "door", "ons", "voor", "u", "zakelijke"}
)
_OTHER = frozenset({"other", "andere", "overige"})
_JOINING = frozenset({"and", "or", "of", "en", "by", "the", "de", "a", "an", "een"})
_OURS = frozenset({"our", "ours", "its", "onze", "ons", "haar", "diens"})
_FROM = frozenset(
    {"from", "by", "with", "to", "via", "through", "among"}
    | {"van", "door", "met", "aan", "namens", "bij"}
)
_DRESSING = _FILLING | _SELECTED | _OURS
# "News for our partners": they are the ones who read it.
_READERS = frozenset({"for", "voor"})
# After a colon or in brackets these name nobody either.
_NO_NAME = frozenset(
    {"see", "such", "like", "including", "include", "all", "our", "the", "any", "and", "or", "who"}
    | {"e.g", "eg", "for", "etc", "various", "selected", "that", "which", "with", "we", "in"}
    | {"zie", "zoals", "alle", "onze", "de", "het", "een", "en", "of", "waaronder", "bijvoorbeeld"}
    | {"bijv", "diverse", "die", "met", "wij", "we", "geselecteerde", "a", "an", "on", "op"}
)
_OPEN_END = re.compile(
    r"\b(?:and|or|en|of|&)\s+(?:many\s+|several\s+|some\s+|any\s+|vele\s+|nog\s+|enkele\s+)?"
    r"(?:others?|more|similar|suchlike|affiliates|companies|firms|anderen?|meer|overigen?"
    r"|soortgelijke?|dergelijken?|bedrijven)\b(?:\s+[^\W_]+)*"
    r"|\b(?:et\s?cetera|etc|et\s+al|e\.a|among\s+others|amongst\s+others|onder\s+ande?ren?|o\.a)\b"
    r"|\b(?:and|or|en|of)\s+(?:[^\W_]+\s+)?partners?\s*$"
)
_SOMEBODY = "N.N"
"""Stands for a name; read as one."""
_AND = frozenset({"and", "or", "en", "of"})
_ITEM = re.compile(r"[,;\n]+")
_NOBODY = _DENIAL | frozenset({"nee", "nvt", "n.v.t", "n"})


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    """Lower case."""
    start: int
    end: int
    capital: bool
    """Written as names are: a capital first, or a domain name."""


def vague_third_parties(
    text: str, *, listing: bool = False, names: Sequence[str] = ()
) -> str | None:
    """The first phrase of ``text`` that gives an address to parties without naming them.

    Takes any text in Dutch or English; ``listing``: the text is the list of third parties itself,
    where an open end ("and others") and a bare noun ("advertisers") name nobody either. ``names``
    name somebody, whatever words are in them: "Partners in Care Ltd" may be the sender. Returns the
    phrase in lower case, or None. Raises nothing.
    """
    plain = _plain(text)
    # Without the full stop that may end a sentence; the longer first: one may be part of the other.
    known = {_plain(name).rstrip(".") for name in names} - {""}
    for name in sorted(known, key=len, reverse=True):
        plain = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", _SOMEBODY, plain, flags=re.IGNORECASE)
    for sentence in _SENTENCE.split(plain):
        words = _words(sentence)
        for index in range(len(words)):
            phrase = _phrase(words, index, sentence)
            if phrase is not None and not _denied(words, index):
                return phrase
    return _vague_item(plain) if listing else None


def _plain(text: str) -> str:
    """Compatibility form, without what nobody sees, hyphens as spaces."""
    folded = unicodedata.normalize("NFKC", text)
    shown = "".join(char for char in folded if unicodedata.category(char) not in ("Cf", "Mn"))
    spaced = re.sub(r"[-‐‑‒–—_/]", " ", shown)
    return re.sub(r"[^\S\n]+", " ", spaced).strip()


def _words(text: str) -> list[_Word]:
    return [
        _Word(
            match[0].casefold(),
            match.start(),
            match.end(),
            match[0][0].isupper() or "." in match[0].strip("."),
        )
        for match in _WORD.finditer(text)
    ]


def _phrase(words: Sequence[_Word], index: int, text: str) -> str | None:
    """The phrase whose noun stands at ``index``, when it names nobody."""
    noun, last = words[index].text, index
    if noun in _THIRD:
        first = index
    elif noun in _THIRD_PARTY:
        if index + 1 == len(words) or words[index + 1].text not in _THIRD_PARTY[noun]:
            return None
        first, last = index, index + 1
    elif noun in _PARTNERS or noun in _COMPANIES:
        before = _before(words, index)
        passed = {word.text for word in words[before + 1 : index]}
        lead = words[before].text if before >= 0 else ""
        partner = noun in _PARTNERS
        chosen = passed & (_SELECTED if partner else _SELECTED - _OTHER)
        if chosen or (partner and passed & _OURS and lead not in _READERS):
            first = before + 1
        elif partner and lead in _FROM:
            first = before
        elif partner and _after_sender(words, before, index, text):
            first = index
        else:
            return None
    else:
        return None
    if _named(words, last, text):
        return None
    while first < index and words[first].text in _JOINING:
        first += 1
    return re.sub(r"\s+", " ", text[words[first].start : words[last].end]).casefold()


def _before(words: Sequence[_Word], index: int) -> int:
    """Index of the word before the noun and all that only dresses it up; -1: none."""
    at = index - 1
    while at >= 0 and words[at].text in _DRESSING:
        if words[at].text in _READERS and words[at + 1].text in _OURS | _PARTNERS | _FILLING:
            break
        at -= 1
    return at


def _after_sender(words: Sequence[_Word], before: int, index: int, text: str) -> bool:
    """Whether the noun at ``index`` is joined to a name that is known: "Shop Ltd and partners"."""
    if before < 0 or words[before].text != _SOMEBODY.casefold():
        return False
    passed = {word.text for word in words[before + 1 : index]}
    return bool(passed & _AND) or "&" in text[words[before].end : words[index].start]


def _named(words: Sequence[_Word], last: int, text: str) -> bool:
    """Whether names follow, in brackets or after a colon."""
    if last + 1 == len(words):
        return False
    following = words[last + 1]
    if text[words[last].end : following.start].strip() not in (":", "("):
        return False
    return following.capital and following.text not in _NO_NAME


def _denied(words: Sequence[_Word], index: int) -> bool:
    """Whether the sentence says that it does not happen."""
    for word in reversed(words[:index]):
        if word.text in _EXCEPTION:
            return False
        if word.text in _DENIAL:
            return True
    return False


def _vague_item(plain: str) -> str | None:
    """The first entry of a list of parties that is no name."""
    lower = plain.casefold()
    words = [word.text for word in _words(plain)]
    if not words or words[0] in _NOBODY:
        return None
    found = _OPEN_END.search(lower)
    if found is not None:
        return found[0].strip()
    nameless = _PARTNERS | _THIRD | _COMPANIES | _SELECTED | _FILLING | _OURS | _FROM | _GENERIC
    for item in _ITEM.split(lower):
        said = [word.text for word in _words(item)]
        if said and all(word in nameless for word in said):
            return item.strip()
    return None


_GENERIC = frozenset(
    {"supplier", "suppliers", "vendor", "vendors", "brand", "brands", "shop", "shops", "store"}
    | {"stores", "retailer", "retailers", "subsidiary", "subsidiaries", "sister", "parent"}
    | {"network", "networks", "member", "members", "third", "yes", "others", "everyone", "anyone"}
    | {"leverancier", "leveranciers", "merk", "merken", "winkel", "winkels", "webshop", "webshops"}
    | {"dochteronderneming", "dochterondernemingen", "zusterondernemingen", "groep", "concern"}
    | {"relaties", "netwerk", "leden", "ja", "anderen", "iedereen", "derde", "sponsors"}
)
