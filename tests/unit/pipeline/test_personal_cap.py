"""The share of a message in its tenant's day: claimed at once, given back unless committed."""

from __future__ import annotations

import pytest

from relay.pipeline.personal_cap import PersonalCap
from tests.unit.pipeline.conftest import House

NOON = 43_200.0
MORROW = NOON + 86_400


def before(cap: PersonalCap, at: float = NOON) -> int:
    with cap.share(1, at, 0) as share:
        return share.before


def test_messages_at_the_same_time_see_each_other(house: House) -> None:
    cap = PersonalCap(house.store.mail)
    with cap.share(1, NOON, 5), cap.share(1, NOON, 2) as second, cap.share(2, NOON, 1) as other:
        assert (second.before, other.before) == (5, 0)


def test_what_is_not_committed_is_given_back(house: House) -> None:
    cap = PersonalCap(house.store.mail)
    with cap.share(1, NOON, 5) as share:
        share.committed = 3
    assert before(cap) == 3
    with pytest.raises(ValueError, match="trouble"), cap.share(1, NOON, 4):
        raise ValueError("trouble")
    assert before(cap) == 3


def test_a_new_day_begins_with_what_is_on_record(house: House) -> None:
    cap = PersonalCap(house.store.mail)
    with cap.share(1, NOON, 5) as share:
        share.committed = 5
    assert before(cap, MORROW) == 0
