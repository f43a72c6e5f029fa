"""The one query per message: everything on record about its recipients, for one tenant.

It runs for every message, so it lists a person's own acts one by one and folds together what
repeats without limit: the same people imported again every week.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from relay.model import Act, Automation, Basis, StandingState, SubjectKeys
from relay.store.sqlite.transaction import Session

# ``outs``: the first time each person left this tenant, whatever part of it, by the ledger. What
# came after is kept apart from what came before: neither may hide the other in a group.
# Of repeated consents the one with the latest sign of life stands for all (a single max() makes
# the other columns those of its row). An imported opt-out of the very same moment is the same one
# told again, and counts since it was told first: the file that comes every week must not send away
# who came back between. Of different ones the latest time and the latest event, even of two rows:
# whoever comes back must have done so after both.
_ACTS: Final = """
WITH outs (key, event) AS MATERIALIZED (
  SELECT k.key, min(coalesce(s.event_id, i.event_id))
    FROM json_each(?2) k
    CROSS JOIN suppressions s ON s.wide = k.value AND s.tenant_id = ?3
    LEFT JOIN imports i ON i.id = s.import_id
   WHERE s.state IN ('withdrawn', 'complained') AND (s.import_id IS NULL OR i.committed = 1)
   GROUP BY k.key
)
SELECT k.key, c.state, c.at, coalesce(c.event_id, i.event_id) AS event, c.tenant_id, c.brand_id,
       c.list_id, c.basis, c.own_act, c.expires_at, '', c.automated, c.used_at,
       coalesce(coalesce(c.event_id, i.event_id) > o.event, 0) AS after_optout,
       max(max(c.at, coalesce(c.used_at, c.at)))
  FROM json_each(?1) k
  CROSS JOIN consents c ON c.exact = k.value AND c.tenant_id = ?3
  LEFT JOIN imports i ON i.id = c.import_id
  LEFT JOIN outs o ON o.key = k.key
 WHERE c.import_id IS NULL OR i.committed = 1
 GROUP BY k.key, c.brand_id, c.list_id, c.state, c.basis, c.automated, c.expires_at, after_optout,
       iif(c.own_act, c.id, 0)
UNION ALL
SELECT b.key, b.state, max(b.at), max(b.event), b.tenant_id, b.brand_id, b.list_id, 'none', 0,
       b.expires_at, b.detail, 0, NULL, 0, NULL
  FROM (
    SELECT k.key, s.state, s.at, min(coalesce(s.event_id, i.event_id)) AS event, s.tenant_id,
           s.brand_id, s.list_id, s.expires_at, s.detail, iif(s.import_id IS NULL, s.id, 0) AS own
      FROM json_each(?2) k
      CROSS JOIN suppressions s ON s.wide = k.value AND (s.tenant_id = ?3 OR s.tenant_id IS NULL)
      LEFT JOIN imports i ON i.id = s.import_id
     WHERE s.import_id IS NULL OR i.committed = 1
     GROUP BY k.key, s.tenant_id, s.brand_id, s.list_id, s.state, s.detail, s.expires_at, own, s.at
  ) b
 GROUP BY b.key, b.tenant_id, b.brand_id, b.list_id, b.state, b.detail, b.expires_at, b.own
"""


def read_acts(
    session: Session, tenant_id: int, keys: Sequence[SubjectKeys]
) -> Sequence[tuple[Act, ...]]:
    """All acts on record for each recipient, in the order of ``keys``, oldest first."""
    exact = json.dumps([key.exact.hex() for key in keys])
    wide = json.dumps([key.wide.hex() for key in keys])
    rows = session.raw.execute(_ACTS, (exact, wide, tenant_id)).fetchall()
    if not rows:
        return [()] * len(keys)
    found: list[list[Act]] = [[] for _ in keys]
    for index, *columns in rows:
        found[index].append(_act(*columns))
    return [tuple(sorted(acts, key=_by_time)) if len(acts) > 1 else tuple(acts) for acts in found]


def _by_time(act: Act) -> tuple[float, int]:
    return act.at, act.event_id


def _act(
    state: str,
    at: float,
    event_id: int,
    tenant_id: int | None,
    brand_id: int | None,
    list_id: int | None,
    basis: str,
    own_act: int,
    expires_at: float | None,
    detail: str,
    automated: int,
    used_at: float | None,
    after_optout: int,
    _last_sign: float | None,
) -> Act:
    return Act(
        StandingState(state),
        at,
        event_id,
        tenant_id,
        brand_id,
        list_id,
        Basis(basis),
        bool(own_act),
        expires_at,
        detail,
        Automation(automated),
        used_at,
        bool(after_optout),
    )
