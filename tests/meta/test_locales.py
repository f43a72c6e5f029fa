"""The catalogues are whole and fresh: no text without its translation, no stale ``.mo``."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

import relay.web
from relay.web.language import LANGUAGES

WEB = Path(relay.web.__file__).parent
LOCALES = WEB / "locales"
TRANSLATED = LANGUAGES[1:]
_FIELD = re.compile(r"%\(\w+\)[sd]")


def _catalogue(language: str) -> Catalog:
    with (LOCALES / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def _source() -> set[object]:
    with (LOCALES / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    return {
        found[2] for found in extract_from_dir(WEB, methods, options, keywords=DEFAULT_KEYWORDS)
    }


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_nothing_else(language: str) -> None:
    catalogue = _catalogue(language)
    assert {message.id for message in catalogue if message.id} == _source()
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


def test_a_language_without_catalogue_would_be_noticed() -> None:
    assert sorted(path.name for path in LOCALES.iterdir() if path.is_dir()) == sorted(TRANSLATED)
