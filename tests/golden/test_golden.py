"""Whole messages as they come and as they leave; ``GOLDEN_UPDATE=1`` writes what leaves anew."""

import os

import pytest

from tests.golden.cases import FOLDER, NAMES, run


def test_there_are_cases():
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_what_leaves_is_what_is_on_file(name):
    case = run(name)
    left = case.header + case.body
    path = FOLDER / f"{name}.out.eml"
    if os.environ.get("GOLDEN_UPDATE"):
        path.write_bytes(left)
    assert left == path.read_bytes()


@pytest.mark.parametrize("name", ["forwarded", "smime", "transactional-list", "eight-bit"])
def test_what_needs_nothing_leaves_octet_for_octet(name):
    case = run(name)
    assert case.header + case.body == case.came
