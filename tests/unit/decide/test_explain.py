from __future__ import annotations

import json

from relay.decide.explain import Fate, explain, lines
from relay.decide.judge import judge
from relay.model import Basis, Classification, Kind, Standing, StandingState
from tests.unit.decide.samples import NEWS, case, shipped

POLICY = shipped()
CAMPAIGN = Classification(Kind.COMMERCIAL, True, ("list news is commercial",), NEWS)


def fate(standing: Standing) -> Fate:
    return Fate(standing, judge(case(classification=CAMPAIGN, standing=standing), POLICY))


HELD = fate(Standing(StandingState.GRANTED, Basis.OFFLINE, 0.0, 5))
PASSED = fate(Standing(StandingState.GRANTED, Basis.CONFIRMED, 86_400.0, 6))
BLOCKED = fate(Standing(StandingState.ABSENT, bounce_suppressed=True, operator_suppressed=True))


def test_lines() -> None:
    assert lines(CAMPAIGN, [HELD, PASSED]) == (
        "kind: commercial (declared), list news",
        "  list news is commercial",
        "someone@example.test: quarantine (basis-too-weak, by strict-opt-in/basis-too-weak)",
        "  standing: granted (offline) since 1970-01-01T00:00:00Z",
        "  quarantine: strict-opt-in/basis-too-weak (basis-too-weak): A consent is on record, "
        "but not on a ground that can be verified. [A5, A6, A8, A9, B13, B14, B15, B16]",
        "someone@example.test: deliver",
        "  standing: granted (confirmed) since 1970-01-02T00:00:00Z",
        "  no rule objects",
    )


def test_lines_of_suppressions() -> None:
    text = lines(Classification(Kind.PERSONAL, False, ()), [BLOCKED])
    assert text[0] == "kind: personal (inferred), no list"
    assert "  standing: absent, suppressed after a hard bounce, suppressed by the operator" in text


def test_json() -> None:
    report = json.loads(json.dumps(explain(CAMPAIGN, [HELD, PASSED])))
    assert report["classification"] == {
        "kind": "commercial",
        "declared": True,
        "list": "news",
        "unmarked_bulk": False,
        "evidence": ["list news is commercial"],
    }
    held, passed = report["recipients"]
    assert (held["action"], held["reason"]) == ("quarantine", "basis-too-weak")
    assert held["findings"][0]["cite"][0] == "A5"
    assert held["standing"]["since"] == "1970-01-01T00:00:00Z"
    assert (passed["action"], passed["reason"], passed["consent_event"]) == ("deliver", None, 6)
    assert passed["digest"] == POLICY.digest
