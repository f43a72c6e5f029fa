"""The catalogues are whole and fresh: no text without its translation, no stale ``.mo``."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

import relay
from relay.web.language import LANGUAGES, NAMES, negotiate

PACKAGE = Path(relay.__file__).parent
LOCALES = PACKAGE / "web/locales"
TRANSLATED = LANGUAGES[1:]
_FIELD = re.compile(r"%\(\w+\)[sd]")


def _catalogue(language: str) -> Catalog:
    with (LOCALES / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def _source() -> set[tuple[object, str | None]]:
    with (LOCALES / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    found = extract_from_dir(PACKAGE, methods, options, keywords=DEFAULT_KEYWORDS)
    return {(text, context) for _, _, text, _, context in found}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_nothing_else(language: str) -> None:
    catalogue = _catalogue(language)
    assert {(message.id, message.context) for message in catalogue if message.id} == _source()
    assert not catalogue.obsolete
    for message in catalogue:
        if not message.id:
            continue
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(texts), message.id
        assert not message.fuzzy, message.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_keep_the_fields(language: str) -> None:
    for message in _catalogue(language):
        if message.id and isinstance(message.id, str):
            assert sorted(_FIELD.findall(message.id)) == sorted(_FIELD.findall(message.string))


@pytest.mark.parametrize("language", TRANSLATED)
def test_compiled_catalogue_is_fresh(language: str) -> None:
    made = io.BytesIO()
    write_mo(made, _catalogue(language))
    kept = (LOCALES / language / "LC_MESSAGES" / "messages.mo").read_bytes()
    assert kept == made.getvalue(), "run pybabel compile (see relay/web/locales/babel.cfg)"


def test_every_catalogue_is_a_language_that_names_itself() -> None:
    assert sorted(path.name for path in LOCALES.iterdir() if path.is_dir()) == sorted(TRANSLATED)
    assert {"en", "nl"} <= set(LANGUAGES)
    assert len(set(NAMES.values())) == len(LANGUAGES)


def test_letters_are_translated_too() -> None:
    texts = {text for text, _ in _source()}
    sentence = "If it was not you, do nothing: you will get no mail."
    assert sentence in texts, "of a letter's template"
    assert "Do you want mail from %(sender)s? Please confirm" in texts, "of the letters' code"


def test_a_language_comes_by_adding_a_file(tmp_path: Path) -> None:
    """German in a copy of the package: spoken at once, with English for what is not translated."""
    copy = tmp_path / "relay"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    catalogue = Catalog(locale="de")
    catalogue.add("English", "Deutsch", context="the name of this language, in itself")
    catalogue.add("Unsubscribe", "Abmelden")
    folder = copy / "web/locales/de/LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "messages.mo").open("wb") as file:
        write_mo(file, catalogue)
    script = (
        "from relay.web.language import LANGUAGES, NAMES, negotiate, translations;"
        "print(LANGUAGES, NAMES['de'], negotiate('de-AT'), translations('de').gettext('Sign up'),"
        " translations('de').gettext('Unsubscribe'))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert said == "('en', 'de', 'nl') Deutsch de Sign up Abmelden\n"
    assert negotiate("de-AT") == "en", "not in this package"
