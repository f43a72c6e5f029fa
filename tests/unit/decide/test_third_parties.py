"""Named parties pass; phrases behind which anybody may stand do not (clause B30)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.decide.third_parties import vague_third_parties

VAGUE = [
    ("selected partners", "selected partners"),
    ("carefully selected partners", "carefully selected partners"),
    ("Offers from our carefully-selected partners.", "our carefully selected partners"),
    ("We and our trusted partners send you news", "our trusted partners"),
    ("trusted partners", "trusted partners"),
    ("News of our partners", "our partners"),
    ("OUR PARTNERS AND YOU", "our partners"),
    ("Our   Part\u00adners", "our partners"),
    ("our\u200b part\u200bners", "our partners"),
    ("ｏｕｒ ｐａｒｔｎｅｒｓ", "our partners"),
    ("our\npartners", "our partners"),
    ("our partners Example BV and Sample Ltd", "our partners"),
    ("our business partners may write to you", "our business partners"),
    ("hand-picked companies", "hand picked companies"),
    ("Deals from selected companies", "selected companies"),
    ("your address goes to third parties", "third parties"),
    ("Third-party offers", "third party"),
    ("third parties (see our site)", "third parties"),
    ("our partners: all of them", "our partners"),
    ("offers from partners", "from partners"),
    ("Not sold. Shared with our partners.", "our partners"),
    ("Not to third parties, except our partners", "our partners"),
    ("geselecteerde partners", "geselecteerde partners"),
    ("Aanbiedingen van zorgvuldig geselecteerde partners", "zorgvuldig geselecteerde partners"),
    ("zorgvuldig door ons geselecteerde bedrijven", "zorgvuldig door ons geselecteerde bedrijven"),
    ("Nieuws van onze partners", "onze partners"),
    ("onze samenwerkingspartners", "onze samenwerkingspartners"),
    ("gelieerde ondernemingen", "gelieerde ondernemingen"),
    ("Ja, u mag mijn adres aan derden geven", "derden"),
    ("derde partijen", "derde partijen"),
    ("niet aan derden, behalve aan onze partners", "onze partners"),
    ("aanbiedingen van partners", "van partners"),
]

FINE = [
    "",
    "News about bicycles",
    "Example BV, Sample Ltd",
    "Our partners: Example BV, Sample Ltd",
    "third parties (Example BV)",
    "derden: Voorbeeld BV",
    "Jansen & Partners BV",
    "No third parties",
    "We never give your address to third parties",
    "Your address is not shared with our partners",
    "Wij geven uw adres niet aan derden",
    "geen derden",
    "Monthly update for our partners",
    "Nieuwsbrief voor onze partners",
    "Invitations for members and their partners",
    "Carefully selected offers",
    "Zorgvuldig geselecteerde aanbiedingen, elke derde week",
    "News for other companies",
    "Dance partners wanted",
]

VAGUE_LISTS = [
    "Example BV and others",
    "Example BV, etc.",
    "Example BV en anderen",
    "onder andere Voorbeeld BV",
    "Example BV and its partners",
    "Voorbeeld BV en partners",
    "partners",
    "Example BV, various shops",
    "advertisers",
    "leveranciers",
    "group companies",
    "anyone",
    "Example BV, other brands of the group",
    "our partners",
]

NAMED_LISTS = [
    "",
    "none",
    "geen",
    "no third parties",
    "Example BV, Sample Ltd",
    "EXAMPLE BV; SAMPLE LTD",
    "example.com and sample.test",
    "Jansen & Partners",
    "Jansen en Partners BV",
    "Fiets & Meer, Brand New Shop BV",
    "The Partner Company BV",
]


@pytest.mark.parametrize(("text", "phrase"), VAGUE)
def test_vague_phrases_are_found(text: str, phrase: str) -> None:
    assert vague_third_parties(text) == phrase


@pytest.mark.parametrize("text", FINE)
def test_names_denials_and_other_meanings_pass(text: str) -> None:
    assert vague_third_parties(text) is None


@pytest.mark.parametrize("text", VAGUE_LISTS)
def test_a_list_of_parties_names_each(text: str) -> None:
    assert vague_third_parties(text, listing=True)


@pytest.mark.parametrize("text", NAMED_LISTS)
def test_a_list_of_names_passes(text: str) -> None:
    assert vague_third_parties(text, listing=True) is None


@given(st.sampled_from([text for text, _ in VAGUE if not set("(:") & set(text)]), st.data())
def test_spelling_hides_nothing(text: str, data: st.DataObject) -> None:
    dressed = "".join(
        data.draw(st.sampled_from((char, char.upper(), char + "\u00ad", char + "\u200b")))
        if char.isalpha()
        else data.draw(st.sampled_from((char, char + " ", " " + char)))
        if char == " "
        else char
        for char in text
    )
    assert vague_third_parties(dressed)


@pytest.mark.parametrize(
    ("text", "names", "phrase"),
    [
        ("News from Partners in Care Ltd", ("Partners in Care Ltd",), None),
        ("Nieuws van PARTNERS  IN CARE ltd.", ("Partners in Care Ltd",), None),
        ("News from Partners in Care Ltd", ("Partners",), None),
        ("Nieuws van Partners in Zorg B.V (wekelijks)", ("Partners in Zorg B.V.",), None),
        ("News from Partners in Care Ltd", ("Care",), "from partners"),
        ("From Partners in Care and our partners", ("Partners in Care",), "our partners"),
        ("News from partnership", ("Partners", "Part"), "from partnership"),
        ("Offers of Shop Ltd and partners", ("Shop Ltd",), "partners"),
        ("Offers from Shop Ltd & Partners", ("Shop Ltd",), "partners"),
        ("Ja, nieuws van Shop BV en partners.", ("Shop BV",), "partners"),
        ("Nieuws van Shop BV en haar partners", ("Shop BV",), "haar partners"),
        ("Offers of Shop Ltd, and affiliates", ("Shop Ltd",), "affiliates"),
        ("Offers of Shop Ltd and partners: Example BV", ("Shop Ltd",), None),
        ("News of Shop & Partners Ltd", ("Shop & Partners Ltd", "Shop"), None),
        ("Shop Ltd partners with farmers", ("Shop Ltd",), None),
        ("selected partners", ("", " "), "selected partners"),
        ("selected partners", (".*", "("), "selected partners"),
    ],
)
def test_a_name_names_somebody(text: str, names: tuple[str, ...], phrase: str | None) -> None:
    assert vague_third_parties(text, names=names) == phrase


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    vague_third_parties(text)
    vague_third_parties(text, listing=True)
