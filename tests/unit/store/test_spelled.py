"""An address is found however it is spelled in octets."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from relay.store.erasure.spelled import search, spellings

WHO = "jane.quixotic@person.test"


@pytest.mark.parametrize(
    "octets",
    [
        WHO.encode(),
        WHO.upper().encode(),
        WHO.encode("utf-16-le"),
        WHO.encode("utf-16-be"),
        b"mail=jane.quixotic%40person.test",
        b"To: jane.quixotic=40person.test",
        *(base64.b64encode(b"To: <"[: 3 + n] + WHO.encode() + b">, more") for n in range(3)),
    ],
)
def test_every_spelling_is_found(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "a").mkdir()
    # Across the border of two reads, too.
    for at in (0, 1, (1 << 20) - len(octets) // 2):
        (tmp_path / "a" / "file").write_bytes(b"." * at + octets + b"...")
        assert search(tmp_path, spellings([WHO.title()]), frozenset()) == ("a/file",)
    (tmp_path / "a" / "file").write_bytes(octets[: len(octets) // 2] + b"...")
    assert search(tmp_path, spellings([WHO]), frozenset({"keys"})) == ()


def test_keys_are_not_looked_at_and_nothing_is_sought_for_nobody(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "pepper").write_text(WHO)
    assert search(tmp_path, spellings([WHO]), frozenset({"keys"})) == ()
    assert not spellings([])


@pytest.mark.parametrize(
    "octets",
    [
        "JÖrg@bücher.test".encode(),
        b"J\xc3\x96rg@xn--bcher-kva.test",
        "jörg@bücher.test".encode(),
        "jörg@bücher.test".encode("utf-16-le"),
        json.dumps("JÖrg@xn--bcher-kva.test").encode(),
        b"j%C3%B6rg%40b%c3%bccher.test",
        b"j=C3=B6rg@b=C3=BCcher.test",
        base64.b64encode("To: JÖrg@xn--bcher-kva.test".encode()),
        base64.b64encode("To: jörg@bücher.test".encode()),
    ],
)
@pytest.mark.parametrize("domain", ["bücher.test", "xn--bcher-kva.test"])
def test_letters_beyond_ascii_and_both_forms_of_the_domain(domain: str, octets: bytes) -> None:
    assert spellings([f"JÖrg@{domain}"]).stand_in(b"..." + octets + b"...")


def test_base64_hides_the_case_of_letters() -> None:
    """So the spelling that was given counts as well as lower case."""
    for spelled in ("Jane.Quixotic@person.test", WHO):
        octets = base64.b64encode(b"Dear " + spelled.encode() + b",")
        assert spellings(["Jane.Quixotic@person.test"]).stand_in(octets)
