"""``config/relay.toml`` is what the code says: same text, same values."""

import itertools
import tomllib
from pathlib import Path

import pytest

from relay.operate.reference import reference_toml
from relay.settings import Settings

FILE = Path(__file__).parents[2] / "config" / "relay.toml"


def test_file_is_fresh() -> None:
    assert FILE.read_text("utf-8") == reference_toml(), (
        "run: python -m relay.operate.reference > config/relay.toml"
    )


def test_values_are_the_defaults() -> None:
    assert Settings.model_validate(tomllib.loads(reference_toml())) == Settings()


def test_every_key_is_shown_with_a_comment() -> None:
    lines = reference_toml().splitlines()
    for name, field in Settings.model_fields.items():
        assert field.description or field.annotation.__doc__, name
    for before, line in itertools.pairwise(lines):
        if " = " in line and not line.startswith("# "):
            assert before.startswith("# "), line


def test_given_values_stand_in_place_of_defaults() -> None:
    text = reference_toml(
        {
            "hostname": 'a"b\\c',
            "upstream.address": "192.0.2.1:2500",
            "upstream.username": "relay",
            "smtp.listeners": [{"address": "[::1]:587", "tls": "starttls"}],
        }
    )
    settings = Settings.model_validate(tomllib.loads(text))
    assert settings.hostname == 'a"b\\c'
    assert settings.upstream.address == "192.0.2.1:2500"
    assert settings.upstream.username == "relay"
    (listener,) = settings.smtp.listeners
    assert (listener.address, listener.tls, listener.name) == ("[::1]:587", "starttls", "smtp")


def test_a_value_for_no_key_is_refused() -> None:
    with pytest.raises(KeyError, match=r"smtp\.adress"):
        reference_toml({"smtp.adress": "x"})
