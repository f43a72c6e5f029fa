from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.decide.standing import standing, widest_consent
from relay.model import Act, Automation, Basis, MailingList, Standing, StandingState
from tests.unit.decide.samples import NEWS, NOW, SHOP, act

GRANTED, PENDING, EXPIRED = StandingState.GRANTED, StandingState.PENDING, StandingState.EXPIRED
WITHDRAWN, COMPLAINED = StandingState.WITHDRAWN, StandingState.COMPLAINED
SUPPRESSED, ABSENT = StandingState.SUPPRESSED, StandingState.ABSENT

TENANT_WIDE: dict[str, Any] = {}
BRAND: dict[str, Any] = {"brand_id": 5}
LIST: dict[str, Any] = {"brand_id": 5, "list_id": 11}
OTHER_LIST: dict[str, Any] = {"list_id": 12}


def state(*acts: Act, mailing_list: MailingList | None = NEWS) -> Standing:
    return standing(acts, tenant_id=1, mailing_list=mailing_list, now=NOW)


def granted(at: float, event: int, **changes: Any) -> Act:
    return act(GRANTED, at, event, **({"basis": Basis.CONFIRMED, "own_act": True} | changes))


def test_nothing_on_record() -> None:
    assert state() == Standing(ABSENT)


@pytest.mark.parametrize("scope", [TENANT_WIDE, BRAND, LIST])
def test_a_consent_covers_everything_below_its_scope(scope: dict[str, Any]) -> None:
    given = granted(NOW - 1, 7, **scope)
    assert state(given) == Standing(GRANTED, Basis.CONFIRMED, NOW - 1, 7)


@pytest.mark.parametrize(
    "scope", [OTHER_LIST, {"brand_id": 6}, {"tenant_id": 2}, {"tenant_id": 2, "list_id": 11}]
)
def test_acts_elsewhere_do_not_count(scope: dict[str, Any]) -> None:
    assert state(granted(1, 7, **scope)).state is ABSENT
    assert state(granted(1, 7), act(WITHDRAWN, 2, 8, **scope)).state is GRANTED


def test_without_a_list_only_tenant_wide_acts_count() -> None:
    assert state(granted(1, 7, **BRAND), mailing_list=None).state is ABSENT
    assert state(granted(1, 7, **LIST), mailing_list=None).state is ABSENT
    assert state(granted(1, 7), mailing_list=None).state is GRANTED
    assert state(granted(1, 7), act(WITHDRAWN, 2, 8, **LIST), mailing_list=None).state is GRANTED


@pytest.mark.parametrize("block", [WITHDRAWN, COMPLAINED, SUPPRESSED])
@pytest.mark.parametrize("scope", [TENANT_WIDE, BRAND, LIST])
def test_a_block_stops_its_scope_and_all_below_whatever_stands_above(
    block: StandingState, scope: dict[str, Any]
) -> None:
    assert state(granted(1, 7), act(block, 2, 8, **scope)) == Standing(block, since=2, event_id=8)


def test_order_on_record_does_not_matter() -> None:
    assert state(act(WITHDRAWN, 2, 8), granted(1, 7)).state is WITHDRAWN


def test_a_later_own_act_reopens() -> None:
    assert state(act(WITHDRAWN, 2, 8), granted(3, 9, **LIST)).state is GRANTED
    assert state(act(WITHDRAWN, 2, 8), granted(2, 9, **LIST)).state is GRANTED


def test_imports_never_count_after_an_opt_out() -> None:
    imported = granted(3, 9, basis=Basis.APPROVED, own_act=False)
    assert state(act(WITHDRAWN, 2, 8), imported).state is WITHDRAWN
    assert state(act(WITHDRAWN, 2, 8), replace(imported, at=1)).state is WITHDRAWN


AFTERWARDS: dict[str, Any] = {"own_act": False, "after_optout": True}


@pytest.mark.parametrize("basis", [Basis.APPROVED, Basis.CUSTOMER, Basis.ATTESTED, Basis.OFFLINE])
def test_what_others_record_after_a_person_left_counts_nowhere(basis: Basis) -> None:
    """Not for a second list, another brand, or the list made anew."""
    elsewhere = act(WITHDRAWN, 2, 8, **OTHER_LIST)
    assert state(granted(3, 9, basis=basis, **AFTERWARDS), elsewhere) == Standing(ABSENT)
    assert state(granted(1, 9, basis=basis, **AFTERWARDS), elsewhere) == Standing(ABSENT)
    before = granted(1, 7, basis=basis, own_act=False)
    assert state(before, elsewhere).state is GRANTED
    assert state(before, granted(3, 9, basis=basis, **AFTERWARDS), elsewhere).event_id == 7


def test_the_persons_own_act_counts_after_leaving_another_list() -> None:
    elsewhere = act(WITHDRAWN, 2, 8, **OTHER_LIST)
    assert state(granted(3, 9, after_optout=True), elsewhere).state is GRANTED
    assert state(granted(3, 9, after_optout=True, **LIST), act(WITHDRAWN, 2, 8)).state is GRANTED


def test_an_own_act_reopens_only_what_it_covers() -> None:
    back = granted(3, 9, after_optout=True, **LIST)
    assert state(act(WITHDRAWN, 2, 8), back, mailing_list=SHOP).state is WITHDRAWN
    assert state(act(WITHDRAWN, 2, 8), back, granted(1, 7), mailing_list=SHOP).state is WITHDRAWN


def test_a_fresh_request_is_still_pending_after_leaving_another_list() -> None:
    asked = act(PENDING, 3, 9, after_optout=True)
    assert state(act(WITHDRAWN, 2, 8, **OTHER_LIST), asked).state is PENDING


def test_only_the_reopening_consent_counts_after_an_opt_out() -> None:
    old = granted(1, 7)
    fresh = granted(3, 9, basis=Basis.APPROVED)
    result = state(old, act(WITHDRAWN, 2, 8), fresh)
    assert (result.state, result.basis, result.event_id) == (GRANTED, Basis.APPROVED, 9)
    gone = replace(fresh, expires_at=NOW)
    assert state(old, act(WITHDRAWN, 2, 8), gone).state is EXPIRED


def test_a_pending_request_does_not_reopen() -> None:
    assert state(act(WITHDRAWN, 2, 8), act(PENDING, 3, 9, own_act=True)).state is WITHDRAWN


@pytest.mark.parametrize("block", [WITHDRAWN, COMPLAINED])
def test_a_clock_that_was_set_does_not_change_what_came_last(block: StandingState) -> None:
    """What we witnessed stands in the ledger in the order in which it happened."""
    assert state(act(block, 9, 7), granted(5, 8)).state is GRANTED
    assert state(granted(9, 7), act(block, 5, 8)).state is block


def test_doubt_about_the_order_goes_against_sending() -> None:
    # an old event of an approved source, recorded late
    assert state(act(WITHDRAWN, 5, 8), granted(4, 9, basis=Basis.APPROVED)).state is WITHDRAWN
    # an old opt-out from a file, brought in after the confirmation
    assert state(granted(5, 8), act(WITHDRAWN, 1, 9)).state is WITHDRAWN
    # reopens one block, not the other
    assert state(act(COMPLAINED, 1, 9), act(WITHDRAWN, 2, 3), granted(3, 5)).state is WITHDRAWN


def test_the_latest_block_names_the_reason() -> None:
    assert state(act(WITHDRAWN, 1, 1), act(COMPLAINED, 2, 2)).state is COMPLAINED


def test_the_strongest_living_consent_counts() -> None:
    weak = act(GRANTED, 9, 9, basis=Basis.ATTESTED)
    strong = granted(1, 1)
    assert state(weak, strong).basis is Basis.CONFIRMED
    assert state(weak, replace(strong, expires_at=NOW)).basis is Basis.ATTESTED
    newer = granted(2, 2)
    assert state(strong, newer).event_id == 2


def test_a_confirmation_that_looks_automated_is_marked_and_counts_for_little() -> None:
    scanned = granted(5, 9, automated=Automation.CERTAIN)
    assert state(scanned).automated is Automation.CERTAIN
    assert not state(granted(1, 7)).automated
    assert state(scanned, granted(1, 7)).event_id == 7
    attested = act(GRANTED, 1, 7, basis=Basis.ATTESTED)
    assert (state(scanned, attested).basis, state(scanned, attested).automated) == (
        Basis.ATTESTED,
        Automation.NO,
    )
    quick = granted(5, 9, automated=Automation.SUSPECTED)
    assert (state(quick, attested).basis, state(quick).automated) == (
        Basis.CONFIRMED,
        Automation.SUSPECTED,
    )
    paper = act(GRANTED, 1, 7, basis=Basis.OFFLINE)
    assert state(scanned, paper).automated


def test_what_is_certainly_a_machines_brings_nobody_back() -> None:
    left = act(WITHDRAWN, 2, 8, **LIST)
    assert state(left, granted(5, 9, automated=Automation.CERTAIN)).state is WITHDRAWN
    assert state(left, granted(5, 9, automated=Automation.SUSPECTED)).state is GRANTED


def test_disuse_is_counted_from_the_grant_or_the_last_use() -> None:
    day = 86_400
    assert state(granted(NOW - 3 * day, 7)).unused_days == 3
    assert state(granted(NOW - 3 * day + 1, 7)).unused_days == 2
    assert state(granted(NOW - 9 * day, 7, used_at=NOW - 2 * day)).unused_days == 2
    assert state(granted(NOW - 2 * day, 7, used_at=NOW - 9 * day)).unused_days == 2
    assert state(granted(NOW + 5, 7)).unused_days == 0
    assert state(granted(NOW - 3 * day, 7, expires_at=NOW)).unused_days == 0


def test_a_weaker_ground_never_keeps_a_stronger_one_alive() -> None:
    day = 86_400
    old = granted(NOW - 9 * day, 7)
    attested = act(GRANTED, NOW - 1 * day, 9, basis=Basis.ATTESTED)
    assert (state(old, attested).basis, state(old, attested).unused_days) == (Basis.CONFIRMED, 9)
    approved = granted(NOW - 1 * day, 9, basis=Basis.APPROVED)
    assert (state(old, approved).basis, state(old, approved).unused_days) == (Basis.CONFIRMED, 1)
    scanned = granted(NOW - 1 * day, 9, automated=Automation.CERTAIN)
    assert state(old, scanned).unused_days == 9


def test_expiry_is_at_the_second() -> None:
    assert state(granted(1, 7, expires_at=NOW + 1)).state is GRANTED
    assert state(granted(1, 7, expires_at=NOW)) == Standing(EXPIRED, Basis.CONFIRMED, 1, 7)


def test_pending() -> None:
    asked = act(PENDING, 1, 7)
    assert state(asked).state is PENDING
    assert state(replace(asked, expires_at=NOW)).state is ABSENT
    assert state(granted(1, 1, expires_at=2), asked).state is PENDING
    assert state(granted(1, 1), asked).state is GRANTED


def test_opt_outs_never_expire() -> None:
    assert state(act(WITHDRAWN, 1, 7, expires_at=2)).state is WITHDRAWN
    assert state(act(COMPLAINED, 1, 7, expires_at=2)).state is COMPLAINED
    assert state(act(SUPPRESSED, 1, 7, expires_at=2)).state is ABSENT


def test_bounce_suppression_is_a_flag_beside_the_consent() -> None:
    bounced = act(SUPPRESSED, 2, 8, detail="bounce 5.1.1", **OTHER_LIST)
    result = state(granted(1, 7), bounced)
    assert (result.state, result.bounce_suppressed) == (GRANTED, True)
    assert not state(replace(bounced, expires_at=NOW)).bounce_suppressed
    assert not state(replace(bounced, tenant_id=2)).bounce_suppressed


def test_operator_suppression_is_global() -> None:
    blocked = act(SUPPRESSED, 2, 8, tenant_id=None)
    result = state(granted(1, 7), blocked)
    assert (result.state, result.operator_suppressed) == (GRANTED, True)
    assert not state(replace(blocked, expires_at=NOW)).operator_suppressed
    assert not state(granted(1, 7)).operator_suppressed


# --- What an opt-out closes -----------------------------------------------------------------


def widest(*acts: Act, mailing_list: MailingList | None = NEWS) -> int | None:
    found = widest_consent(acts, tenant_id=1, mailing_list=mailing_list, now=NOW)
    return found.event_id if found is not None else None


def test_the_widest_consent_in_force_is_closed() -> None:
    assert widest(granted(3, 3, **LIST), granted(2, 2, **BRAND), granted(1, 1)) == 1
    assert widest(granted(3, 3, **LIST), granted(2, 2, **BRAND)) == 2
    assert widest(granted(3, 3, **LIST), granted(2, 2, **BRAND), mailing_list=SHOP) is None


def test_without_any_consent_there_is_none() -> None:
    assert widest() is None
    assert widest(act(PENDING, 1, 1), act(WITHDRAWN, 2, 2)) is None


def test_a_dead_wider_consent_is_not_widened_to() -> None:
    assert widest(granted(1, 1), act(WITHDRAWN, 2, 2), granted(3, 3, **LIST)) == 3
    assert widest(granted(1, 1, expires_at=2), granted(3, 3, **LIST)) == 3


def test_what_does_not_count_is_not_closed() -> None:
    assert widest(granted(1, 1, **LIST), granted(3, 9, **AFTERWARDS)) == 1
    assert widest(granted(3, 9, **AFTERWARDS)) is None


def test_a_narrower_block_leaves_the_wider_consent_in_force() -> None:
    assert widest(granted(1, 1), act(WITHDRAWN, 2, 2, **LIST)) == 1


def test_a_second_click_closes_the_same_scope() -> None:
    assert widest(granted(1, 1, **LIST), act(WITHDRAWN, 2, 2, **LIST)) == 1
